"""Programs that options start: those of a stranger's run folder wait for trust."""

import json

import pytest

from nasforge.errors import RecipeError
from nasforge.plugins import Registry
from nasforge.recipe import check
from nasforge.recipe import trust as trusted
from nasforge.recipe.local_code import trust

SPACE = {"use": "model", "model": "subprocess:run", "arguments": {"args": ["touch", "ran"]}}
TABLES = {
    "run": {"workers": 2, "launcher": ["touch", "ran"]},
    "latency": {"backend": "touch ran {file}"},
    "space": {"use": "nasbench201"},
    "searcher": {"use": "random", "evaluations": 2},
    "evaluator": {"use": "tabular"},
}


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """Start as on a computer that trusts nothing."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(trusted, "_now", set())
    monkeypatch.setattr(trusted, "_folders", set())


@pytest.mark.parametrize(
    ("table", "option"), [("run", "launcher"), ("latency", "backend"), ("space", "model")]
)
def test_programs_of_a_stored_recipe_wait_for_trust(tmp_path, table, option):
    plain = {name: {} if name in ("run", "latency") else body for name, body in TABLES.items()}
    if table == "space":
        raw = {**plain, "space": SPACE, "evaluator": {"use": "zero-cost", "proxies": ["params"]}}
        raw["data"] = {"use": "synthetic"}
    else:
        raw = {**plain, table: TABLES[table]}
    registry = Registry.discover()
    (tmp_path / "resolved.json").write_text(json.dumps(raw))
    with pytest.raises(RecipeError, match=rf"(?s){table}\.{option}: runs .*touch.* add --trust"):
        check(raw, registry, folder=tmp_path)
    other = json.loads(json.dumps(raw).replace("touch", "echo"))
    trust(tmp_path)
    check(raw, registry, folder=tmp_path)  # and is noted
    trusted._now, trusted._folders = set(), set()
    check(raw, registry, folder=tmp_path)
    with pytest.raises(RecipeError, match="add --trust"):
        check(other, registry, folder=tmp_path)
    check(other, registry)  # a recipe of the caller
    check(other, registry, folder=tmp_path)
    assert not (tmp_path / "ran").exists()
