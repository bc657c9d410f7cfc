"""Pages: everything is there, nothing is loaded, texts of users are escaped, large runs stay small."""

import base64
import hashlib
import html
import json
import re
import time
import warnings

import pytest

import nasforge
from nasforge.errors import RunError
from nasforge.report.write import REPORT, make_report, write_after
from support.report_page import Page
from support.run_folders import PIXEL, resolved, write_bench, write_json, write_run, write_search


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "tiny")


def test_the_page_of_a_run(run):
    page = Page(make_report([run]))
    assert page.headings == [
        *("Summary", "Architecture", "Search", "Option weights", "Training", "Accuracy and mistakes"),
        *("Recipe", "Environment"),
    ]
    for text in (
        "fixed searched the space darts on synthetic for 6 steps.",
        "is right on 90.00 % of 30 test images",
        "3 of 30 test images are classified wrongly",
        "Hessian eigenvalue",
        "train.epochs 2 50",
        "2026-01-02 03:04 UTC",
    ):
        assert text in page.text, text


def test_nothing_is_loaded_and_no_other_script_runs(run):
    text = make_report([run])
    page = Page(text)
    assert page.loads == []
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1])
    script = re.search(r"<script>(.*)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"
    )
    assert text.count("<script") == 1


def test_names_in_a_page_are_unique(run, tmp_path):
    other = write_run(tmp_path / "other", seed=1)
    benches = [write_bench(tmp_path / name) for name in ("a", "b")]
    for folders in ([run], [run, other], [run, *benches]):
        ids = Page(make_report(folders)).ids
        assert len(set(ids)) == len(ids)


def test_the_same_folder_gives_the_same_page(run):
    assert make_report([run]) == make_report([run])


NASTY = "<img src=x onerror=alert(1)>\"'&"


def test_texts_of_users_are_escaped(tmp_path):
    recipe = resolved()
    recipe["data"]["note"] = NASTY
    folder = write_run(tmp_path / "a<b>&'", classes=(NASTY, "</style>", "{{ 7 * 7 }}"), recipe=recipe)
    (folder / "recipe.toml").write_text(f"# </pre><script>alert(1)</script> {NASTY}")
    for name in ("derive", "test"):
        path = folder / name / "result.json"
        write_json(path, {**json.loads(path.read_text()), "notation": NASTY})
    write_json(folder / "environment.json", {"command": [NASTY], "cpu": "</dd><script>"})
    path = folder / "search/result.json"
    found = {**json.loads(path.read_text()), "searcher": {NASTY: {"text": NASTY}}}
    write_json(path, {**found, "failed": [{"reason": NASTY}]})
    graph = {"title": NASTY, "inputs": [NASTY], "nodes": [{"name": NASTY, "inputs": [[NASTY, NASTY]]}]}
    write_json(folder / "derive/graphs.json", {"best": [graph, {"title": 1}, None]})
    other = write_run(tmp_path / "other", seed=3)
    for folders in ([folder], [folder, other]):
        text = make_report(folders)
        page = Page(text)
        assert page.tags.count("script") == page.tags.count("style") == 1
        assert page.tags.count("img") == (1 if len(folders) == 1 else 0)
        assert "{{ 7 * 7 }}" in text or len(folders) == 2
        assert NASTY in page.text


@pytest.mark.parametrize(
    "image",
    [
        "javascript:alert(1)",
        "http://example.org/x.png",
        PIXEL + '" onload="x',
        "data:text/html;base64,AAAA",
    ],
)
def test_thumbnails_are_pictures_and_nothing_else(tmp_path, image):
    folder = write_run(tmp_path / "x")
    path = folder / "test/predictions.json"
    found = json.loads(path.read_text())
    write_json(path, {**found, "worst": [{**found["worst"][0], "image": image}, found["worst"][0]]})
    text = make_report([folder])
    assert text.count("<img") == 1
    assert PIXEL in text


def test_a_run_of_600_epochs_is_small_and_quick(tmp_path):
    classes = [f"class {i}" for i in range(20)]
    folder = write_run(tmp_path / "x", steps=600, epochs=600, choices=60, classes=classes)
    started = time.process_time()
    text = make_report([folder])
    assert time.process_time() - started < 5
    assert len(text) < 3e6


def test_many_classes_have_a_list_of_confusions(tmp_path):
    page = Page(make_report([write_run(tmp_path / "x", classes=[f"kind{i}" for i in range(120)])]))
    assert "kind0 kind1 1" in page.text
    assert page.text.count("kind") < 60


@pytest.mark.parametrize("kept", [["resolved.json"], ["resolved.json", "metrics.jsonl"]])
def test_an_unfinished_run_shows_what_there_is(tmp_path, kept):
    folder = write_run(tmp_path / "x")
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.name not in kept:
            path.unlink()
    page = Page(make_report([folder]))
    assert "Not finished yet: search, derive, train, test." in page.text
    assert ("Search" in page.headings) == ("metrics.jsonl" in kept)


def test_damaged_files_are_named(tmp_path):
    folder = write_run(tmp_path / "x")
    (folder / "metrics.jsonl").write_text('{"stage": "train", "step": 1, "loss": 2.0}\nnonsense\n')
    (folder / "test/predictions.json").write_text("{")
    text = Page(make_report([folder])).text
    assert "Metrics.jsonl: line 2 cannot be read. The other rows are shown." in text
    assert "Test/predictions.json cannot be read as JSON. It is left out." in text


def test_the_front_of_several_objectives(tmp_path):
    text = make_report([write_search(tmp_path / "x")])
    assert "Pareto front" in Page(text).headings
    rows = re.findall(r"(net-\d+)</th><td[^>]*>([\d.,]+)</td><td[^>]*>([\d,]+)<", text)
    scores = [float(score) for _, score, _ in rows]
    costs = [float(cost.replace(",", "")) for *_, cost in rows]
    assert len(rows) > 2
    assert scores == sorted(scores)
    assert costs == sorted(costs)
    tips = [html.unescape(tip) for tip in re.findall(r'class="dot front"[^>]*data-tip="([^"]+)"', text)]
    assert {tip.splitlines()[0] for tip in tips} <= {name for name, *_ in rows}


def test_runs_side_by_side(tmp_path):
    runs = [write_run(tmp_path / f"run{seed}", seed=seed) for seed in range(3)]
    page = Page(make_report(runs))
    assert page.headings[:4] == ["Results", "Paired comparison", "Differences of the recipes", "Search"]
    assert "run0, run1 and run2, side by side." in page.text
    assert "run.seed 0 1 2" in page.text
    assert "Not comparable" not in page.text


def test_runs_that_are_not_comparable_are_shown_with_the_reason(tmp_path):
    one = write_run(tmp_path / "one")
    recipe = resolved(train={"epochs": 7}, run={"seed": 1})
    page = Page(make_report([one, write_run(tmp_path / "other", recipe=recipe, seed=1)]))
    assert "Not comparable" in page.text
    assert "These runs differ in more than searcher and seed: - train.epochs: 2 in " in page.text
    assert "Shown all the same" in page.text
    assert "train.epochs 2 7" in page.text


def test_options_of_another_plugin_are_shown_apart_unless_they_were_set(tmp_path):
    one = write_run(tmp_path / "one")
    recipe = resolved()
    other = {**recipe, "searcher": {"use": "evolution", "population": 50, "sample": 7}}
    text = make_report([one, write_run(tmp_path / "other", recipe=other)])
    table, apart = text.split('aria-label="Options that differ"')[1].split("<details>", 1)
    assert "searcher.use" in table
    assert "searcher.sample<" in table
    assert "searcher.population" not in table, "it is the default of evolution"
    assert "searcher.population" in apart.split("</details>")[0]


def test_a_run_and_a_bench_on_one_page(tmp_path):
    page = Page(make_report([write_run(tmp_path / "own"), write_bench(tmp_path / "x")]))
    assert page.headings[0] == "own: Summary"
    assert page.headings[-2:] == ["x: Best so far", "x: Recipe"]
    assert "own and x" in page.text


def test_an_unfinished_run_beside_finished_ones(tmp_path):
    runs = [write_run(tmp_path / f"run{seed}", seed=seed) for seed in range(3)]
    (runs[2] / "test/result.json").unlink()
    assert "Left out, because not finished: run2." in Page(make_report(runs)).text
    (runs[1] / "test/result.json").unlink()
    text = Page(make_report(runs)).text
    assert "Fewer than two of these runs are finished; not finished: run1, run2." in text


def test_a_bench(tmp_path):
    text = make_report([write_bench(tmp_path / "x")])
    page = Page(text)
    assert page.headings == ["Standings", "Score of every run", "Best so far", "Recipe"]
    assert "2 searchers, 5 seeds, 30 evaluations for each of 10 runs." in page.text
    assert text.count('class="value ') == 10
    assert text.count('class="band ') == 4  # two searchers, by evaluations and by seconds


def test_a_bench_of_one_seed_has_no_bands(tmp_path):
    assert 'class="band ' not in make_report([write_bench(tmp_path / "x", seeds=1)])


def test_a_bench_without_curves_says_so(tmp_path):
    folder = write_bench(tmp_path / "x")
    for path in (folder / "runs").rglob("*.json"):
        row = json.loads(path.read_text())
        del row["curve"]
        write_json(path, row)
    page = Page(make_report([folder]))
    assert "Best so far" not in page.headings
    assert "so there are no curves" in page.text


def test_a_bench_says_which_runs_ended_early(tmp_path):
    folder = write_bench(tmp_path / "x")
    path = folder / "runs" / "evolution" / "3.json"
    write_json(path, {**json.loads(path.read_text()), "stopped": "nothing new"})
    assert "they proposed nothing new: evolution 1 of 5." in Page(make_report([folder])).text


def test_a_bench_without_runs(tmp_path):
    page = Page(make_report([write_bench(tmp_path / "x", seeds=0)]))
    assert page.headings == ["Standings", "Recipe"]
    assert "holds no finished run yet" in page.text


def test_the_file_lies_in_the_folder_or_where_it_should(run, tmp_path, monkeypatch):
    assert nasforge.write_report(run) == run / REPORT
    monkeypatch.chdir(tmp_path)
    assert str(nasforge.write_report([run, write_run(tmp_path / "b")])) == REPORT
    assert str(nasforge.write_report([run], "sub/x.html")) == "sub/x.html"
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"report: file/x\.html cannot be written: .*Give another --out\."):
        nasforge.write_report([run], "file/x.html")


def test_after_a_run_a_failure_is_a_warning(tmp_path, monkeypatch):
    folder = write_run(tmp_path / "x")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_after(folder)
    assert (folder / REPORT).exists()

    def broken(record):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("nasforge.report.write.run_view", broken)
    with pytest.warns(UserWarning, match=r"report: could not be written: ZeroDivisionError\('planted'\)"):
        write_after(folder)


def test_exported_formats(tmp_path):
    folder = write_run(tmp_path / "x")
    onnx = {
        "file": "model.onnx",
        "bytes": 312_000,
        "max_difference": 2.4e-6,
        "same_top1": 1.0,
        "accuracy": 90.0,
    }
    formats = {
        "onnx": {**onnx, "latency_ms": 1.25, "throughput": 2345.6, "latency": {"runs": 3}},
        "pt2": {"failed": "ImportError: <no library>"},
    }
    source = {"accuracy": 90.0, "latency_ms": 2.5, "throughput": 1000.0}
    write_json(folder / "export/result.json", {"formats": formats, "source": source})
    page = Page(make_report([folder]))
    assert "Deployment" in page.headings
    dash = "\u2013"
    assert (
        f"the network in torch {dash} {dash} {dash} {dash} 90.00 2.5 1,000 onnx model.onnx 312.0 kB"
        in page.text
    )
    assert "2.4e-06 100.0 % 90.00 1.25 2,346" in page.text
    assert "pt2 failed: ImportError: <no library>" in page.text
