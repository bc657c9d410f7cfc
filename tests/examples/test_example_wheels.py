"""The plugins in examples/ as strangers get them: from wheels beside nasforge's, without the checkout."""

import json
import shutil
from pathlib import Path

import pytest

from nasforge.plugins import KINDS
from support.environments import DISTRIBUTIONS, ROOT, build_wheel, install, new_environment, run_in, succeed

pytestmark = pytest.mark.slow

RECIPE = """
# The examples in one run: images, space and distiller in the search, the evaluator in the training.
[run]
name = "together"
observers = ["csv-steps"]

[data]
use = "idx-files"
limit_train = 80
limit_test = 40
batch_size = 8

[space]
use = "resnet-widths"
blocks = 2
channels = 4
search_channels = 4
widths = [50, 100]

[searcher]
use = "cdarts"
iterations = 2
warmup_epochs = 1

[distiller]
use = "relational"

[train]
use = "common-corruptions"
epochs = 1
batch_size = 16
"""
SECOND = """
extends = "recipe.toml"

[run]
name = "second"

[searcher]
use = "reinforce"
evaluations = 2

[evaluator]
use = "common-corruptions"
epochs = 1
batch_size = 16
severities = [3]
"""
WRITE_DIGITS = """
import sys
from pathlib import Path
import torch
from sklearn.datasets import load_digits
from idx_files.idx import write_idx
digits, folder = load_digits(), Path(sys.argv[1])
for part, rows in (("train", slice(0, 200)), ("t10k", slice(200, 300))):
    write_idx(folder / f"{part}-images-idx3-ubyte.gz", torch.from_numpy(digits.images[rows]).byte() * 15)
    write_idx(folder / f"{part}-labels-idx1-ubyte.gz", torch.from_numpy(digits.target[rows]).byte())
"""
ORIGINS = """
import json, sys
from importlib.metadata import entry_points
from importlib import import_module
modules = [import_module(point.value) for point in entry_points(group="nasforge")]
print(json.dumps([sys.path, [module.__file__ for module in modules]]))
"""


def beside(source):
    """Return a folder for what belongs to a distribution; called like its package, it would hide it."""
    return f"{source.name}-example"


def parts(python, folder):
    """Return what an installation has: plugins, recipes, and every option with its default."""
    listed = json.loads(succeed(run_in(python, ["-m", "nasforge", "plugins", "list", "--json"], folder)))
    recipes = json.loads(succeed(run_in(python, ["-m", "nasforge", "recipes", "list", "--json"], folder)))
    schema = json.loads(succeed(run_in(python, ["-m", "nasforge", "schema"], folder)))
    return listed, [{**recipe, "path": None} for recipe in recipes], schema


@pytest.mark.campaign
def test_wheels_of_nasforge_and_of_every_example_work_together(tmp_path):
    pytest.importorskip("hatchling", reason="hatchling, the build backend, is not installed")
    wheels, work = tmp_path / "wheels", tmp_path / "work"
    wheels.mkdir()
    python = new_environment(tmp_path / "env")
    install(python, *(build_wheel(source, wheels) for source in (ROOT, *DISTRIBUTIONS)), cwd=tmp_path)
    for source in DISTRIBUTIONS:  # what a distribution brings besides its package
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source / "tests", work / beside(source) / "tests", ignore=ignored)
        shutil.copy(source / "recipe.toml", work / beside(source))

    paths, files = json.loads(succeed(run_in(python, ["-c", ORIGINS], work)))
    assert not [path for path in paths if path and Path(path).resolve().is_relative_to(ROOT / "nasforge")]
    assert str(ROOT) not in paths
    assert [file for file in files if not Path(file).is_relative_to(tmp_path)] == []

    listed, *rest = parts(python, work)
    assert (listed["broken"], listed["warnings"]) == ([], [])
    names = {p["name"]: p["kind"] for p in listed["plugins"] if not p["origin"].startswith("nasforge ")}
    assert sorted(names) == [source.name for source in DISTRIBUTIONS]
    assert sorted(names.values()) == sorted(KINDS)

    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", "--rootdir=."]
    done = succeed(run_in(python, [*tests, *(f"{beside(source)}/tests" for source in DISTRIBUTIONS)], work))
    assert " passed" in done
    assert "skipped" not in done
    for source in DISTRIBUTIONS:
        succeed(run_in(python, ["-m", "nasforge", "check", f"{beside(source)}/recipe.toml"], work))

    (work / "recipe.toml").write_text(RECIPE)
    (work / "second.toml").write_text(SECOND)
    succeed(run_in(python, ["-c", WRITE_DIGITS, "data/idx"], work))
    for recipe, name in (("recipe.toml", "together"), ("second.toml", "second")):
        succeed(run_in(python, ["-m", "nasforge", "run", recipe], work, NASFORGE_DATA="data"))
        tested = json.loads((work / "runs" / name / "test" / "result.json").read_text())
        assert 0 <= tested["blur_accuracy"] <= 100
        assert " | " in tested["notation"]
        assert (work / "runs" / name / "steps.csv").read_text().startswith("stage,step,architecture,")

    editable = new_environment(tmp_path / "editable")
    folders = [argument for source in (ROOT, *DISTRIBUTIONS) for argument in ("-e", source)]
    install(editable, *folders, cwd=tmp_path)
    assert str(ROOT) in json.loads(succeed(run_in(editable, ["-c", ORIGINS], work)))[0]
    assert parts(editable, work) == (listed, *rest)
