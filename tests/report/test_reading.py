"""Folders are read as they are: unfinished, damaged, or none at all."""

import pytest

from nasforge.errors import RunError
from nasforge.report.reading import BenchRecord, RunRecord, read_folder
from support.run_folders import write_bench, write_run


def test_a_finished_run(tmp_path):
    record = read_folder(write_run(tmp_path / "x", steps=4, epochs=3))
    assert isinstance(record, RunRecord)
    assert (record.name, record.missing, record.problems) == ("x", (), ())
    assert [len(record.rows(stage)) for stage in ("search", "train")] == [4, 3]
    assert record.first("params") == 63_922


def test_an_unfinished_run_has_what_there_is(tmp_path):
    folder = write_run(tmp_path / "x")
    for stage in ("train", "test"):
        (folder / stage / "result.json").unlink()
    record = read_folder(folder)
    assert record.missing == ("train", "test")
    assert list(record.results) == ["search", "derive"]


def test_a_run_that_has_just_begun(tmp_path):
    folder = write_run(tmp_path / "x")
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "resolved.json":
            path.unlink()
    record = read_folder(folder)
    assert record.missing == ("search", "derive", "train", "test")
    assert record.problems == ()


def test_damaged_lines_are_counted_and_the_others_kept(tmp_path):
    folder = write_run(tmp_path / "x", steps=4, epochs=3)
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines()
    lines[1], lines[3] = '{"stage": "sea', "[1, 2]"
    path.write_text("\n".join(lines) + "\n\x00\xff")
    record = read_folder(folder)
    assert len(record.metrics) == 5
    assert record.problems == ("metrics.jsonl: 3 lines (2, 4, 8) cannot be read. The other rows are shown.",)


@pytest.mark.parametrize("content", ["{", "[]", "\xff", ""])
def test_a_damaged_result_is_named_and_left_out(tmp_path, content):
    folder = write_run(tmp_path / "x")
    (folder / "test/result.json").write_bytes(content.encode("latin1"))
    record = read_folder(folder)
    assert record.missing == ("test",)
    assert [problem.split(" ")[0] for problem in record.problems] == ["test/result.json"]


def test_without_its_recipe_a_folder_tells_nothing(tmp_path):
    folder = write_run(tmp_path / "x")
    (folder / "resolved.json").write_text("{}")
    with pytest.raises(RunError, match=r"resolved\.json: cannot be read, so it is not known what was run"):
        read_folder(folder)


def test_a_folder_that_holds_runs_names_them(tmp_path):
    write_run(tmp_path / "a")
    write_bench(tmp_path / "b")
    (tmp_path / "c").mkdir()
    with pytest.raises(RunError, match=r"is neither a run nor a bench .*It holds .*/a, .*/b: give these\."):
        read_folder(tmp_path)
    with pytest.raises(RunError, match=r"Give the folder that one made\."):
        read_folder(tmp_path / "c")


def test_a_misspelt_folder_gets_a_suggestion(tmp_path):
    write_run(tmp_path / "quickstart")
    with pytest.raises(RunError, match=r"there is no such folder\. Did you mean '.*/quickstart'\?"):
        read_folder(tmp_path / "quikstart")


def test_a_bench_whose_run_is_damaged(tmp_path):
    folder = write_bench(tmp_path / "x", seeds=3)
    (folder / "runs/random/1.json").write_text("{")
    (folder / "runs/random/0 copy.json").write_text("{}")
    (folder / "runs/random/0x.json").write_text("{}")
    record = read_folder(folder)
    assert isinstance(record, BenchRecord)
    assert [row["seed"] for row in record.runs["random"]] == [0, 2]
    assert record.problems == ("runs/random/1.json cannot be read as JSON. It is left out.",)


def test_secrets_of_recipes_are_masked(tmp_path):
    secret = {"run": {"seed": 0}, "observers": {"post": {"token": "abc123"}}}
    folder = write_run(tmp_path / "x", recipe=secret)
    (folder / "recipe.toml").write_text('[observers.post]\ntoken = "abc123"\n')
    record = read_folder(folder)
    assert record.resolved["observers"] == {"post": {"token": "***"}}
    assert record.recipe == '[observers.post]\ntoken = "***"\n'
