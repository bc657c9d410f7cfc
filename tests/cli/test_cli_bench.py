"""``nasforge bench`` and ``nasforge compare``."""

import json

import pytest

from nasforge.benches import run as benchmark
from nasforge.cli import run_command

RECIPE = "search_nasbench201_table"
QUICK = ["bench", RECIPE, "--searchers", "evolution,s=evolution", "--seeds", "2", "--budget", "30"]


def out(tmp_path):
    return ["--out", str(tmp_path)]


def test_a_table_is_printed_and_stored(tmp_path, capsys):
    assert run_command([*QUICK, "--option", "s.population=5", *out(tmp_path)]) == 0
    shown, told = capsys.readouterr()
    lines = shown.splitlines()
    assert lines[0].split()[:2] == ["searcher", "runs"]
    assert [line.split()[0] for line in lines[1:4]] == ["random", "evolution", "s"]
    assert "paired by seed" in shown
    assert "6 of 6 runs" in told
    folder = tmp_path / "search-nasbench201-table"
    assert str(folder) in shown
    assert {"summary.md", "summary.csv", "summary.json", "runs.csv"} <= {f.name for f in folder.iterdir()}
    assert (folder / "summary.md").read_text().count("\n") == 5


def test_again_with_more_seeds_goes_on(tmp_path, capsys):
    assert run_command([*QUICK[:-4], "--seeds", "1", "--budget", "30", *out(tmp_path)]) == 0
    assert run_command([*QUICK, "--json", *out(tmp_path)]) == 0
    shown, _ = capsys.readouterr()
    found = json.loads(shown[shown.index("[\n") :])
    assert [(line["name"], line["runs"]) for line in found] == [("random", 2), ("evolution", 2), ("s", 2)]
    assert found[1]["difference"]["confidence"] == 0.95
    assert run_command([*QUICK, *out(tmp_path)]) == 0
    assert "6 runs were finished before." in capsys.readouterr().out


def test_some_searchers_of_a_recipe_can_be_picked_and_the_options_of_others_do_not_matter(tmp_path, capsys):
    few = ["bench", "bench_nasbench201", "--searchers", "evolution", "--seeds", "1", "--budget", "30"]
    assert run_command([*few, *out(tmp_path)]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:3]] == ["random", "evolution"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--searchers", "evolutoin,darts"],
            ["Did you mean 'evolution'?", "'darts' proposes no architectures"],
        ),
        (
            ["--searchers", " ,,"],
            ["--searchers: ' ,,' names no searcher. Give names from nasforge plugins list."],
        ),
        (["--budget", "0"], ["--set bench.budget: must be one evaluation or more"]),
        (["--budget", "soon"], ["must be a number of evaluations, or a time such as"]),
        (["--option", "evolution.popu=3"], ["bench.options.evolution.popu: no such option"]),
        (["--option", "evoluton.population=3"], ["no searcher of this bench has that name. Did you mean"]),
        (["--option", "evolution"], ["write table.key=value"]),
        (["--seeds", "0"], ["seeds"]),
        (["--set", "evaluator.use='x'"], ["no evaluator named 'x'"]),
    ],
)
def test_mistakes(arguments, words, tmp_path, capsys):
    assert run_command(["bench", RECIPE, *arguments, *out(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert all(word in told for word in words)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_bench_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    search, done = benchmark.search_once, []

    def interrupted(job):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job)
        return search(job)

    monkeypatch.setattr(benchmark, "search_once", interrupted)
    assert run_command([*QUICK, *out(tmp_path)]) == 130
    assert "interrupted. The same command resumes" in capsys.readouterr().err
    monkeypatch.setattr(benchmark, "search_once", search)
    assert run_command([*QUICK, *out(tmp_path)]) == 0
    assert "2 runs were finished before." in capsys.readouterr().out


def test_a_failed_bench_exits_with_one(tmp_path, capsys):
    assert run_command(["bench", RECIPE, "--seeds", "1", "--budget", "9 s", *out(tmp_path)]) == 1
    assert "9 seconds is smaller than one evaluation" in capsys.readouterr().err


def test_compare(tmp_path, capsys):
    assert run_command([*QUICK, *out(tmp_path)]) == 0
    capsys.readouterr()
    folder = str(tmp_path / "search-nasbench201-table")
    assert run_command(["compare", folder, "--baseline", "evolution"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("score\n")
    assert "difference to evolution" in shown
    assert run_command(["compare", folder, "--metric", "macs", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["metric"], found["baseline"], len(found["searchers"])) == ("macs", "random", 3)
    assert run_command(["compare", folder, str(tmp_path)]) == 1
    assert "is neither a run nor a bench" in capsys.readouterr().err
    assert run_command(["compare"]) == 2
