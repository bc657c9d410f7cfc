"""The table of kinds: every row is complete, and reading it is cheap."""

import pkgutil
from pathlib import Path

import pytest

import nasforge_plugins
from nasforge.plugins import KINDS, Registry
from nasforge.plugins.kinds import GROUPS, TABLES, inner_tables, table_abouts, table_kind
from nasforge.plugins.scaffold import TEMPLATES
from nasforge.testing.kit import RULES
from support.generated_plugins import run_python


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_names_what_there_is(kind):
    info = KINDS[kind]
    contract = pkgutil.resolve_name(info.contract)
    assert isinstance(contract, type)
    assert contract.__doc__
    assert RULES[kind] == pkgutil.resolve_name(info.checks) != ()
    for capability, checks in info.capability_checks.items():
        assert RULES[pkgutil.resolve_name(capability)] == pkgutil.resolve_name(checks) != ()
    assert {"plugin.py", "config.py", f"{kind}.py", "recipe.toml"} <= {
        path.name for path in (TEMPLATES / kind).iterdir()
    }
    assert info.tables
    assert all(text.endswith(".") for text in (info.about, *info.tables.values()))


def test_built_ins_lie_in_the_folder_of_their_kind():
    (folder,) = map(Path, nasforge_plugins.__path__)
    for plugin in Registry.discover():
        if plugin.target.startswith("nasforge_plugins."):
            plural = KINDS[plugin.kind].plural
            assert plugin.target.startswith(f"nasforge_plugins.{plural}."), plugin.name
            assert (folder / plural).is_dir()


def test_a_table_stands_before_those_inside_it():
    names = list(TABLES)
    for table in names:
        assert all(names.index(inner) > names.index(table) for inner in inner_tables(table))
    assert inner_tables("train") == ["train.distiller"]
    assert set(table_abouts()) == {*TABLES, *GROUPS}


def test_the_kind_of_a_table():
    assert table_kind("train.distiller") == "distiller"
    assert table_kind("train") == "evaluator"
    assert table_kind("run") is None
    assert table_kind("train.epochs") is None


def test_the_table_of_kinds_is_read_without_a_contract(tmp_path):
    code = (
        "import sys, nasforge.plugins.kinds as k; assert k.KINDS; "
        "print([m for m in sys.modules if m.startswith(('nasforge.', 'pydantic', 'pluggy', 'torch'))])"
    )
    done = run_python(["-c", code], tmp_path)
    assert done.stdout.strip() == "['nasforge.plugins', 'nasforge.plugins.kinds']", done.stderr
