"""What the command line says when something is wrong, word by word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nasforge import __version__
from nasforge.cli import run_command

GOLDEN = Path(__file__).parent / "golden"

GOOD = """\
[data]
use = "synthetic"
[space]
use = "darts"
[searcher]
use = "fixed"
"""


def nasforge(*arguments, cwd, **environment):
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "nasforge", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1", **environment},
        timeout=120,
        check=False,
    )


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_recipe_full_of_mistakes_is_told_word_by_word(here):
    for name in ("wrong.toml", "wrong_base.toml"):
        (here / name).write_text((GOLDEN / name).read_text(encoding="utf-8"), encoding="utf-8")
    arguments = ["wrong.toml", "--profile", "smoke", "--set", "data.limit_trai=9", "--set", "searcher"]
    expected = (GOLDEN / "wrong.txt").read_text(encoding="utf-8")
    for command in ("check", "run"):
        done = nasforge(command, *arguments, cwd=here)
        assert (done.stderr, done.stdout, done.returncode) == (expected, "", 2)
    assert sorted(path.name for path in here.iterdir()) == ["wrong.toml", "wrong_base.toml"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["rn"], "error: No such command 'rn'"),
        (["run"], "error: Missing argument 'RECIPE'. See nasforge run --help.\n"),
        (["run", "x.toml", "--profil", "y"], "error: No such option: --profil"),
        (["run", "x.toml", "--seed", "y"], "error: Invalid value for '--seed'"),
        (["run", "x.toml", "--seed", "-1"], "error: Invalid value for '--seed'"),
        (["run", "x.toml"], "error: x.toml: 1 problem\n  - no such file"),
        (["check", "x.toml"], "error: x.toml: 1 problem\n  - no such file"),
        (
            ["check", "good.toml", "--profile", "smoke"],
            "error: good.toml: 1 problem\n  - --profile smoke: no such",
        ),
        (["inspect", "dart"], "error: no space named 'dart'. Did you mean 'darts'?"),
        (
            ["inspect", "darts", "--set", "cels=3"],
            "error: inspect darts: 1 problem\n  - --set cels: no such option",
        ),
        (["inspect", "darts", "--arch", "DARTS_V9"], "error: "),
        (
            ["inspect", "darts", "--arch", "@nowhere.txt"],
            "error: --arch @nowhere.txt: the file cannot be read",
        ),
        (["inspect", "darts", "--image-size", "0"], "error: Invalid value for '--image-size'"),
        (["plugins", "show", "dart"], "error: no plugin named 'dart'. Did you mean 'darts'?"),
        (
            ["plugins", "show", "darts", "--kind", "spce"],
            "error: --kind spce: no such kind. Did you mean 'space'?",
        ),
        (["plugins", "show", "chain", "--kind", "data"], "error: 'chain' is a space, not a data."),
        (["recipes", "show", "zzz"], "error: zzz: 1 problem\n  - no shipped recipe of that name."),
    ],
)
def test_mistakes_end_with_status_2_and_one_message(here, capsys, arguments, expected):
    (here / "good.toml").write_text(GOOD)
    assert run_command(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(expected)
    assert captured.out == ""
    assert "Traceback" not in captured.err


def test_debug_shows_the_traceback_before_and_behind_the_command(here):
    for arguments in (["--debug", "check", "x.toml"], ["check", "x.toml", "--debug"]):
        done = nasforge(*arguments, cwd=here)
        assert "Traceback" in done.stderr
        assert "RecipeError: x.toml: 1 problem" in done.stderr
        assert done.returncode != 0


def test_the_version_is_told(capsys):
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out == f"nasforge {__version__}\n"


def test_a_reader_that_goes_away_is_no_error(here):
    done = subprocess.run(
        f"{sys.executable} -m nasforge plugins list --json | head -1",
        shell=True,
        cwd=here,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "{\n"
    assert "Traceback" not in done.stderr


HEAVY = "{'torch', 'torchvision', 'numpy', 'sklearn', 'safetensors'}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["inspect", "--help"],
        ["plugins", "list"],
        ["plugins", "list", "--json"],
        ["plugins", "show", "chain"],
        ["plugins", "check", "--help"],
        ["new", "plugin", "mine", "--kind", "space"],
        ["init"],
        ["recipes", "list"],
        ["check", "good.toml"],
        ["check", "good.toml", "--json"],
        ["check", "bad.toml"],
        ["run", "bad.toml"],
        ["run", "nowhere.toml"],
    ],
)
def test_light_commands_import_nothing_heavy(here, arguments):
    (here / "good.toml").write_text(GOOD)
    (here / "bad.toml").write_text(GOOD.replace("darts", "dart"))
    code = (
        f"import sys\nfrom nasforge.cli import run_command\nstatus = run_command({arguments!r})\n"
        f"print('\\nheavy:', *({HEAVY} & set(sys.modules)))\nprint('status:', status)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=True)
    wrong = arguments[-1].startswith(("bad", "nowhere"))
    assert done.stdout.splitlines()[-2:] == ["heavy:", f"status: {2 if wrong else 0}"]
