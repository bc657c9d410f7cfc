"""Damaged run folders: whatever is wrong in them is worded or put right."""

import shutil
import warnings
from random import Random

import pytest

import nasforge
from nasforge.cli import run_command
from nasforge.observer import Observer
from support.damage import damage
from support.tiny_recipe import tiny

SEARCH = tiny(
    data=None,
    train=None,
    space={"use": "nasbench201"},
    searcher={"use": "evolution", "evaluations": 6, "population": 3, "tournament": 2},
    evaluator={"use": "tabular"},
)


class Stop(Observer):
    """Interrupts a run at a step of a stage."""

    def __init__(self, stage, step):
        super().__init__()
        self.at = (stage, step)

    def step(self, stage, step, metrics, arch):
        if (stage, step) == self.at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return a search and a training, each once finished and once stopped in the middle."""
    base = tmp_path_factory.mktemp("whole")
    for name, recipe, stop in (("search", SEARCH, Stop("search", 3)), ("train", tiny(), Stop("train", 1))):
        nasforge.run(recipe, out=base / f"{name}-finished")
        with pytest.raises(KeyboardInterrupt):
            nasforge.run(recipe, out=base / f"{name}-stopped", observers=[stop])
    return sorted(path.parent for path in base.glob("*/tiny/resolved.json"))


def commands(folder):
    yield ["run", str(folder)]
    yield ["compare", str(folder)]
    if (folder / "train").exists():
        yield ["predict", str(folder), str(folder)]


@pytest.mark.parametrize("cases", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_a_damaged_folder_is_worded_or_recovered(folders, tmp_path, capsys, cases):
    draw, unworded = Random(cases), []
    for case in range(cases):
        copy = tmp_path / f"{case}"
        shutil.copytree(draw.choice(folders), copy)
        files = sorted(p for p in copy.rglob("*") if p.is_file() and p.name not in (".lock", "recipe.toml"))
        told = damage(draw.choice(files), draw)
        for command in commands(copy):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                status = run_command(command)
            said = capsys.readouterr().err
            if "(unexpected" in said or status not in (0, 1, 2) or len(said) > 4000 or "\x1b[31m" in said:
                unworded.append((case, told, command[0], said[-300:]))
        shutil.rmtree(copy)
    assert not unworded, "\n".join(map(str, unworded))
