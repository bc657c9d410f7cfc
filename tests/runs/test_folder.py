import errno
import json
import os
from pathlib import Path

import pytest

from nasforge.errors import CheckpointError, RunError, describe_system_error
from nasforge.files import read_json, write_json, write_text
from nasforge.runs.folder import MetricsLog, RunFolder, differences, fingerprint, inputs_of
from nasforge.runs.stored import StageResult
from nasforge.runtime.seal import read_sealed

RESOLVED = {
    "run": {"name": "x", "seed": 0, "device": "auto", "threads": None, "precision": "fp32"},
    "data": {"use": "digits", "batch_size": 64},
    "space": {"use": "darts"},
    "train": None,
}


def changed(table, **options):
    return {**RESOLVED, table: {**(RESOLVED[table] or {}), **options}}


def test_a_new_folder_holds_the_recipe(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "x")
    assert folder.resolved is None
    folder.claim(RESOLVED, "# as written")
    assert folder.resolved == RESOLVED
    assert (folder.path / "recipe.toml").read_text() == "# as written"
    folder.claim(RESOLVED, "# again")
    assert (folder.path / "recipe.toml").read_text() == "# as written"


def test_another_recipe_is_refused_with_every_difference(tmp_path):
    folder = RunFolder(tmp_path / "x")
    folder.claim(RESOLVED, "")
    folder.begin("search", "0")
    other = {**changed("data", batch_size=32), "space": {"use": "chain"}, "train": {"use": "train"}}
    with pytest.raises(RunError) as caught:
        folder.claim(other, "")
    text = str(caught.value)
    assert "data.batch_size: 64 in the folder, 32 now" in text
    assert "space.use: 'darts' in the folder, 'chain' now" in text
    assert "train: nothing in the folder, use = 'train' now" in text
    folder.claim(other, "", update=True)
    assert folder.resolved == other


def test_differences_read_as_a_recipe_does():
    known = {"space": {"use": "darts", "none": True, "cells": 3}, "data": {"use": "digits", "mean": None}}
    wanted = {"space": {"use": "darts", "none": False}, "data": {"use": "digits", "mean": [0.5]}}
    assert list(differences(known, wanted)) == [
        "data.mean: nothing in the folder, [0.5] now",
        "space.cells: 3 in the folder, nothing now",
        "space.none: true in the folder, false now",
    ]


def test_a_folder_belongs_to_a_recipe_once_a_stage_has_begun(tmp_path):
    folder, other = RunFolder(tmp_path / "x"), changed("data", batch_size=32)
    folder.claim(RESOLVED, "# first")
    folder.claim(other, "# second")
    assert folder.resolved == other
    assert (folder.path / "recipe.toml").read_text() == "# second"
    assert folder.begin("search", "0") == 0
    with pytest.raises(RunError, match="belongs to another recipe"):
        folder.claim(RESOLVED, "")


def test_a_stage_that_continues_knows_its_steps(tmp_path):
    folder = RunFolder(tmp_path / "x")
    assert folder.begin("train", "0") == 0
    for step in (1, 2):
        folder.metrics.append({"stage": "train", "step": step})
    folder.metrics.append({"stage": "search", "step": 9})
    assert folder.begin("train", "0") == 2
    assert folder.begin("train", "other inputs") == 0


def test_where_a_run_computes_may_change(tmp_path):
    folder = RunFolder(tmp_path / "x")
    folder.claim(RESOLVED, "")
    folder.claim(changed("run", device="cuda", threads=1), "")
    assert folder.resolved["run"]["device"] == "cuda"


def test_a_folder_of_something_else_is_not_touched(tmp_path):
    (tmp_path / "photo.jpg").write_text("")
    with pytest.raises(RunError, match="not a run folder"):
        RunFolder(tmp_path).claim(RESOLVED, "")


def test_results_count_for_their_inputs_only(tmp_path):
    folder = RunFolder(tmp_path / "x")
    mark, other = fingerprint({"a": 1}), fingerprint({"a": 2})
    assert folder.result("search", mark) is None
    folder.store("search", {"fingerprint": mark, "steps": 3})
    assert folder.result("search", mark)["steps"] == 3
    assert folder.result("search", other) is None


def test_what_another_attempt_left_is_set_aside(tmp_path):
    folder = RunFolder(tmp_path / "x")
    for mark in ("one", "one", "two", "three"):
        folder.begin("train", mark)
        write_json(folder.stage("train") / "seen.json", {"by": mark})
    assert read_json(folder.path / "train" / "seen.json") == {"by": "three"}
    assert read_json(folder.path / "train.1" / "seen.json") == {"by": "one"}
    assert read_json(folder.path / "train.2" / "seen.json") == {"by": "two"}


def test_inputs_leave_out_where_a_run_computes():
    assert inputs_of(RESOLVED, "data") == inputs_of(changed("run", device="cuda", name="y"), "data")
    assert inputs_of(RESOLVED, "data") != inputs_of(changed("run", seed=1), "data")
    assert inputs_of(RESOLVED, "data") == inputs_of({**RESOLVED, "train": {"use": "train"}}, "data")


def test_metrics_forget_and_survive_a_torn_last_line(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for step in (1, 2, 3):
        log.append({"stage": "search", "step": step})
    with log.path.open("a") as file:
        file.write('{"stage": "sear')
    log.forget(lambda row: row["step"] <= 2)
    log.append({"stage": "search", "step": 3, "again": True})
    assert [json.loads(line) for line in log.path.read_text().splitlines()] == [
        {"stage": "search", "step": 1},
        {"stage": "search", "step": 2},
        {"stage": "search", "step": 3, "again": True},
    ]


def test_unreadable_json_says_what_to_do(tmp_path):
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(CheckpointError, match="Delete it"):
        read_json(tmp_path / "result.json")


def test_json_that_this_user_may_not_read_is_not_to_be_deleted(tmp_path, monkeypatch):
    (tmp_path / "result.json").write_text("{}")

    def refuse(self, *more, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(CheckpointError, match=r"\(permission denied\)\. Change its permissions") as caught:
        read_json(tmp_path / "result.json")
    assert "Delete" not in str(caught.value)


@pytest.mark.parametrize("odd", [{"a": 1}, "x", [], float("nan")])
def test_sizes_in_a_result_are_numbers(tmp_path, odd):
    result = {"stage": "test", "seconds": 1.0, "fingerprint": "0", "params": odd}
    (tmp_path / "result.json").write_text(json.dumps(result))
    with pytest.raises(CheckpointError, match=r"'params' is wrong: .*\. Delete it to do its stage again"):
        read_json(tmp_path / "result.json", StageResult)


def test_json_that_is_nested_too_deeply(tmp_path):
    (tmp_path / "result.json").write_text("[" * 5000 + "]" * 5000)
    with pytest.raises(CheckpointError, match=r"as JSON \(it is nested too deeply\)\. Delete it"):
        read_json(tmp_path / "result.json")


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    (tmp_path / "result.json").mkdir()
    with pytest.raises(OSError, match="directory") as caught:
        write_text(tmp_path / "result.json", "x")
    assert describe_system_error(caught.value).startswith(f"'{tmp_path / 'result.json'}': is a directory. A")


@pytest.mark.parametrize("name", [".result.json.partial", "result.json"])
def test_a_link_in_the_place_of_a_result_is_replaced_and_not_followed(tmp_path, name):
    precious, folder = tmp_path / "precious", RunFolder(tmp_path / "run")
    precious.write_text("mine")
    (tmp_path / "run" / "search").mkdir(parents=True)
    (tmp_path / "run" / "search" / name).symlink_to(precious)
    folder.store("search", {"fingerprint": "x"})
    assert precious.read_text() == "mine"
    assert not (tmp_path / "run" / "search" / "result.json").is_symlink()
    assert folder.result("search", "x") == {"fingerprint": "x"}


def test_a_link_in_the_place_of_a_log_is_not_followed(tmp_path):
    precious, folder = tmp_path / "precious", RunFolder(tmp_path)
    precious.write_text("mine")
    folder.metrics.path.symlink_to(precious)
    (tmp_path / "access.jsonl").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic"):
        folder.metrics.append({"stage": "search", "step": 1})
    with pytest.raises(OSError, match="symbolic"):
        folder.log_access({"stage": "search"})
    with pytest.raises(CheckpointError, match="symbolic"):
        folder.metrics.rows()
    assert precious.read_text() == "mine"


def test_a_damaged_row_is_left_out_and_named(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for step in range(1, 5):
        log.append({"stage": "search", "step": step})
    lines = log.path.read_text().splitlines(keepends=True)
    log.path.write_text("".join([lines[0], "[1]\n", *lines[2:], '{"stage": "se']))
    with pytest.warns(UserWarning, match=r"metrics\.jsonl: line 2 is damaged") as caught:
        assert [row["step"] for row in log.rows()] == [1, 3, 4]
    assert len(caught) == 1  # a crash cuts the last line short


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_in_the_place_of_files_are_not_waited_for(tmp_path):
    folder, pipe = RunFolder(tmp_path), tmp_path / "pipe"
    os.mkfifo(pipe)
    for read in (read_json, read_sealed):
        with pytest.raises(CheckpointError, match=r"pipe: cannot be read.*it is a pipe or a device"):
            read(pipe)
    with pytest.raises(OSError, match="it is a pipe or a device"):
        write_text(pipe, "")
    assert pipe.is_fifo()
    for name in ("recipe.toml", "metrics.jsonl"):
        os.mkfifo(tmp_path / name)
    assert folder.text == ""
    with pytest.raises(CheckpointError, match="it is a pipe or a device"):
        folder.metrics.rows()
    with pytest.raises(OSError, match="No such device"):  # nothing reads it
        folder.metrics.append({"stage": "search", "step": 1})


def test_a_place_without_a_name_cannot_be_written():
    with pytest.raises(IsADirectoryError):
        write_text(Path("/"), "report")
