"""A search and a training of a second, each once finished and once stopped in the middle."""

from pathlib import Path

import pytest

import nasforge
from nasforge.observer import Observer
from support.tiny_recipe import tiny

SEARCH = tiny(
    data=None,
    train=None,
    run={"report": False},
    space={"use": "nasbench201"},
    searcher={"use": "evolution", "evaluations": 6, "population": 3, "tournament": 2},
    evaluator={"use": "tabular"},
)
TRAIN = tiny(
    run={"report": False},
    space={"use": "nasbench201", "channels": 4, "cells": 1},
    searcher={"use": "fixed", "arch": "resnet"},
    train={"epochs": 2, "batch_size": 24},
)


class Stop(Observer):
    """Interrupts a run at a step of a stage."""

    def __init__(self, stage, step):
        super().__init__()
        self.at = (stage, step)

    def step(self, stage, step, metrics, arch):
        if (stage, step) == self.at:
            raise KeyboardInterrupt


def write_runs(base: Path) -> list[Path]:
    """Return the run folders: ``{search,train}-{finished,stopped}/tiny``."""
    for name, recipe, stop in (("search", SEARCH, Stop("search", 3)), ("train", TRAIN, Stop("train", 2))):
        nasforge.run(recipe, out=base / f"{name}-finished")
        with pytest.raises(KeyboardInterrupt):
            nasforge.run(recipe, out=base / f"{name}-stopped", observers=[stop])
    return sorted(path.parent for path in base.glob("*/tiny/resolved.json"))
