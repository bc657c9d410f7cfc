import json
import warnings

import pytest

from nasforge import api
from nasforge.cli import run_command
from nasforge.errors import RunError

RECIPE = """\
[data]
use = "synthetic"
image_size = 8
train_images = 40
test_images = 20
batch_size = 8
[space]
use = "darts"
channels = 4
cells = 3
stem_multiplier = 1
[searcher]
use = "fixed"
arch = "DARTS_V1"
[run]
threads = 1
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(RECIPE)
    return tmp_path


@pytest.fixture
def called(monkeypatch):
    """Stands in for `nasforge.api.run`: notes its arguments, and does what it is told to."""

    class Calls(list):
        effect = staticmethod(lambda: None)

    calls = Calls()

    def run(recipe, overrides=(), **options):
        calls.append((recipe, overrides, options))
        calls.effect()
        return api.RunResult(options["out"] / "small", {})

    monkeypatch.setattr(api, "run", run)
    return calls


def test_a_run_reaches_its_end_and_prints_a_summary(here, capsys):
    assert run_command(["run", "small.toml", "--out", "out", "--seed", "3", "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert "search: done in " in text
    assert "\nnormal cell\n  0   = sep_conv_3x3(in1) + sep_conv_3x3(in0)\n" in text
    assert "\nreduce cell\n" in text
    assert "Genotype" not in text[text.index("normal cell") :]
    assert "folder      out/small" in text
    assert "  nasforge report out/small  written: out/small/report.html\n" in text
    resolved = json.loads((here / "out/small/resolved.json").read_text())
    assert (resolved["run"]["seed"], resolved["run"]["device"]) == (3, "cpu")
    assert run_command(["run", "out/small"]) == 0
    assert "search: was done before" in capsys.readouterr().out


def test_another_recipe_in_the_folder_is_refused_and_named(here, capsys):
    assert run_command(["run", "small.toml"]) == 0
    assert run_command(["run", "small.toml", "--seed", "3"]) == 1
    assert "run.seed" in capsys.readouterr().err
    assert run_command(["run", "small.toml", "--seed", "3", "--update"]) == 0


def test_all_options_reach_the_run(here, called):
    arguments = ["run", "small.toml", "-o", "x", "--set", "space.cells=4", "--set", "run.seed=1"]
    assert run_command([*arguments, "--update", "--device", "cuda:1", "--seed", "7"]) == 0
    ((recipe, overrides, options),) = called
    assert (recipe, overrides) == ("small.toml", ["space.cells=4", "run.seed=1"])
    assert (str(options["out"]), options["device"], options["seed"]) == ("x", "cuda:1", 7)
    assert options["update"] is True
    assert options["profile"] is None
    assert options["default_observers"] == ["progress"]


def test_a_wrong_recipe_starts_nothing(here, called, capsys):
    assert run_command(["run", "small.toml", "--set", "space.cels=4"]) == 2
    assert called == []
    assert sorted(path.name for path in here.iterdir()) == ["small.toml"]


def raising(error):
    def effect():
        raise error

    return effect


def test_a_failed_run_ends_with_status_1(here, called, capsys):
    called.effect = raising(RunError("search, epoch 3: the loss is nan. Lower the learning rate."))
    assert run_command(["run", "small.toml"]) == 1
    assert capsys.readouterr().err == "error: search, epoch 3: the loss is nan. Lower the learning rate.\n"


def test_what_nobody_expected_is_one_line_with_a_hint(here, called, capsys):
    called.effect = raising(ZeroDivisionError("division\n by zero"))
    assert run_command(["run", "small.toml"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ZeroDivisionError: division by zero (unexpected;")
    assert "--debug" in error
    assert len(error.splitlines()) == 1
    with pytest.raises(ZeroDivisionError):
        run_command(["run", "small.toml", "--debug"])


def test_an_interrupted_run_says_how_to_go_on(here, called, capsys):
    called.effect = raising(KeyboardInterrupt())
    assert run_command(["run", "small.toml"]) == 130
    assert "The same command resumes from the last checkpoint." in capsys.readouterr().err


def test_warnings_are_one_line(here, called, capsys):
    called.effect = lambda: warnings.warn("the newest file\n cannot be read", stacklevel=1)
    assert run_command(["run", "small.toml"]) == 0
    assert capsys.readouterr().err == "warning: the newest file cannot be read\n"


def test_the_summary_shows_sizes_accuracies_and_seconds(here, capsys, monkeypatch):
    results = {
        "search": {"seconds": 2.0},
        "derive": {"notation": "|conv|", "params": 1_234_567, "macs": 7, "seconds": 0.5},
        "train": {"metrics": {"train_accuracy": 99.0}, "seconds": 3.25},
        "test": {"accuracy": 97.5, "accuracy_best": 98.0, "epochs": 3, "seconds": 1.0},
    }
    monkeypatch.setattr(api, "run", lambda *args, **options: api.RunResult(here / "small", results))
    assert run_command(["run", "small.toml"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.strip().splitlines()]
    assert lines == [
        "architecture |conv|",
        "parameters 1,234,567",
        "MACs 7",
        "accuracy 97.50 %",
        "accuracy best 98.00 %",
        "train accuracy 99.00 %",
        "seconds search 2.0, derive 0.5, train 3.2, test 1.0",
        f"folder {here / 'small'}",
    ]


def test_texts_of_a_searcher_are_printed_under_their_names(here, capsys, monkeypatch):
    summary = {
        "own_words": {"text": "all is well", "step": 3},
        "silent": {"text": ""},
        "number": 7,
        "list": [],
    }
    results = {"search": {"searcher": summary}, "derive": {"notation": "|conv|"}}
    monkeypatch.setattr(api, "run", lambda *args, **options: api.RunResult(here / "small", results))
    assert run_command(["run", "small.toml"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.strip().splitlines()]
    assert lines == ["architecture |conv|", "own words all is well", f"folder {here / 'small'}"]


def test_the_verdict_of_a_guard_is_stored_and_printed(here, capsys):
    searcher = """[searcher]
use = "darts"
epochs = 4
[searcher.guard]
policy = "rollback"
start = 1
steps = 2
max_free = 0.0
"""
    space = 'use = "nasbench201"\nchannels = 4\ncells = 1\nsearch_cells = 1\n'
    recipe = RECIPE.replace('[searcher]\nuse = "fixed"\narch = "DARTS_V1"\n', searcher)
    recipe = recipe.replace('use = "darts"\nchannels = 4\ncells = 3\nstem_multiplier = 1\n', space)
    (here / "small.toml").write_text(recipe)
    assert run_command(["run", "small.toml", "--out", "out"]) == 0
    found = json.loads((here / "out" / "small" / "search" / "result.json").read_text())
    verdict = found["searcher"]["guard"]
    assert (verdict["policy"], verdict["fired"], verdict["step"]) == ("rollback", True, 2)
    assert verdict["criterion"] == "parameter_free"
    assert found["steps"] == 2
    rows = (here / "out" / "small" / "metrics.jsonl").read_text().splitlines()
    assert all("parameter_free_share" in row and "hessian_eigenvalue" in row for row in rows)
    printed = capsys.readouterr()
    assert f"warning: {verdict['text']}." in printed.err
    rows = printed.out.splitlines()
    assert verdict["text"] in next(row for row in rows if row.startswith("guard"))


LIMITED = """[searcher]
use = "fixed"
arch = "DARTS_V1"
[constraints]
max_params = 2_400
"""


@pytest.mark.parametrize(("arguments", "status"), [([], 0), (["--strict"], 3)])
def test_a_missed_limit_is_a_warning_and_a_status_with_strict(here, capsys, arguments, status):
    searcher = RECIPE[RECIPE.index("[searcher]") : RECIPE.index("[run]")]
    (here / "small.toml").write_text(RECIPE.replace(searcher, LIMITED))
    assert run_command(["run", "small.toml", *arguments]) == status
    text = capsys.readouterr().out
    assert "warning: limit missed: parameters: " in text
    assert "and constraints.max_params = 2,400; over the limit by " in text


def test_strict_accepts_what_keeps_the_limits(here, capsys):
    assert run_command(["run", "small.toml", "--strict", "--set", "constraints.max_params=1e9"]) == 0
    assert "warning" not in capsys.readouterr().out


def test_an_undecided_search_is_said_in_words(here, capsys):
    assert (
        run_command(["run", "small.toml", "--set", "searcher.use=darts", "--set", "searcher.epochs=1"]) == 0
    )
    text = capsys.readouterr().out
    assert "warning: undecided search: the option weights are close to uniform (entropy " in text


def test_next_commands_are_those_that_there_are_and_can_be_pasted(here, capsys):
    from nasforge.cli.app import app

    known = {command.name for command in app.registered_commands}
    assert run_command(["run", "small.toml", "--out", "my runs"]) == 0
    following = capsys.readouterr().out.partition("\nnext:\n")[2].splitlines()
    assert following
    for line in following:
        _, command, *_ = line.split()
        assert command in known
        assert "'my runs/small'" in line


def test_a_run_without_a_report(here):
    assert run_command(["run", "small.toml", "--set", "run.report=false"]) == 0
    assert not (here / "runs/small/report.html").exists()
    # Whether there is a report changes no result, so the run is still finished.
    assert run_command(["run", "small.toml"]) == 0
    assert (here / "runs/small/report.html").exists()


def test_a_report_of_several_runs(here, capsys):
    for seed in ("1", "2"):
        assert run_command(["run", "small.toml", "--seed", seed, "--set", f"run.name=s{seed}"]) == 0
    capsys.readouterr()
    assert run_command(["report", "runs/s1", "runs/s2", "--out", "both.html"]) == 0
    assert capsys.readouterr().out.startswith("both.html (0.")
    assert "s1 and s2, side by side." in (here / "both.html").read_text()
    assert run_command(["report", "runs"]) == 1
    assert "It holds runs/s1, runs/s2: give these." in capsys.readouterr().err
