"""Apple's GPUs have no float64: what needs it computes on the CPU there."""

import ast
from pathlib import Path

import torch

import nasforge_plugins
from nasforge.runtime import exact_device

FILES = [
    path
    for folder in ("evaluators/zero_cost", "searchers/gradient")
    for path in sorted((Path(nasforge_plugins.__path__[0]) / folder).glob("*.py"))
]


def doubled(text):
    """What each call of ``double`` in a source text is called on."""
    calls = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)]
    return [c.func.value for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr == "double"]


def moves_first(value):
    """Whether a value was brought to a device by the call that made it."""
    return isinstance(value, ast.Call) and getattr(value.func, "attr", "") in {"cpu", "to"}


def test_the_cpu_stands_in():
    assert exact_device(torch.device("mps")) == torch.device("cpu")
    assert exact_device(torch.device("cuda:1")) == torch.device("cuda:1")


def test_values_are_moved_before_they_become_float64():
    found = [value for path in FILES for value in doubled(path.read_text(encoding="utf8"))]
    assert len(found) >= 4
    assert all(map(moves_first, found)), [ast.unparse(v) for v in found if not moves_first(v)]
    assert not moves_first(doubled("x.double().cpu()")[0])
