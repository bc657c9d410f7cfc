"""Descriptions that are remembered between commands: used while nothing changed, and only if ours."""

import importlib
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nasforge.cli.app import app
from nasforge.errors import PluginError, RunError
from nasforge.plugins import Registry
from nasforge.space import KnownCost, NetworkSpace

CODE = """
from nasforge.plugins import Plugin, hookimpl
from nasforge.space import NetworkSpace
{extra}

@hookimpl
def nasforge_plugins():
    provides = frozenset([NetworkSpace])
    return [Plugin("space", "{plugin}", "{name}.part:Part", summary="Made up", provides=provides)]
"""


class Installed:
    """A folder of distributions, and a process that is always new to them."""

    def __init__(self, folder, cache):
        self.folder, self.cache = folder, cache

    def write(self, name, plugin=None, extra=""):
        package, metadata = self.folder / name, self.folder / f"{name}-1.0.dist-info"
        for place in (package, metadata):
            place.mkdir(exist_ok=True)
        (package / "__init__.py").write_text("")
        (package / "part.py").write_text("class Part: ...\n")
        (package / "plugin.py").write_text(CODE.format(name=name, plugin=plugin or name, extra=extra))
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[nasforge]\n{name} = {name}.plugin\n")

    def imported(self):
        return {name.partition(".")[0] for name in sys.modules if name.startswith("made_up")}

    def discover(self, **options):
        for name in [name for name in sys.modules if name.startswith("made_up")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        torch = sys.modules.pop("torch")  # a process with torch cannot tell who imports it
        try:
            return Registry.discover(**options)
        finally:
            sys.modules["torch"] = torch

    def file(self):
        (found,) = (self.cache / "plugins").glob("*.json")
        return found


@pytest.fixture
def installed(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("NASFORGE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    made = Installed(tmp_path / "site", tmp_path / "cache")
    made.write("made_up_one", "made-up")
    made.write("made_up_two", "other")
    return made


def test_the_second_command_imports_the_plugin_that_it_uses_alone(installed):
    first = installed.discover()
    assert installed.imported() == {"made_up_one", "made_up_two"}
    second = installed.discover()
    assert installed.imported() == set()
    assert [(p.kind, p.name, p.summary, p.origin) for p in second.listed()] == [
        (p.kind, p.name, p.summary, p.origin) for p in first
    ]
    assert second.capable("space", NetworkSpace) == first.capable("space", NetworkSpace)
    assert {"made-up", "other"} <= set(second.capable("space", NetworkSpace))
    assert not {"made-up", "other"} & set(second.capable("space", KnownCost))
    assert second.get("space", "made-up") == first.get("space", "made-up")
    assert installed.imported() == {"made_up_one"}
    assert [(p.kind, p.name) for p in second] == [(p.kind, p.name) for p in first]
    assert second.broken == second.notes == second.warnings() == []


def test_an_extended_registry_imports_nothing(installed):
    installed.discover()
    registry = installed.discover()
    more = registry.extended([registry.get("space", "made-up")])
    assert installed.imported() == {"made_up_one"}
    assert more.names("space") == registry.names("space")


def test_two_claims_to_a_name_are_a_conflict_before_they_are_imported(installed):
    installed.write("made_up_two", "made-up")
    first, second = installed.discover(), installed.discover()
    assert installed.imported() == set()
    assert first.conflicts == second.conflicts != []
    for _ in range(2):
        with pytest.raises(PluginError, match=r"made_up_one 1\.0 and made_up_two 1\.0"):
            second.get("space", "made-up")
    assert second.conflicts == first.conflicts


def test_a_changed_module_is_described_anew(installed):
    installed.discover()
    installed.write("made_up_two", "renamed")
    registry = installed.discover()
    assert installed.imported() == {"made_up_two"}
    assert {"made-up", "renamed"} <= set(registry.names("space"))
    assert "other" not in registry.names("space")
    installed.discover()
    assert installed.imported() == set()


def test_new_and_removed_distributions_are_seen(installed):
    installed.discover()
    installed.write("made_up_three", "third")
    assert "third" in installed.discover().names("space")
    (installed.folder / "made_up_three-1.0.dist-info" / "entry_points.txt").unlink()
    assert "third" not in installed.discover().names("space")


def test_a_removed_target_is_told_again(installed):
    installed.discover()
    (installed.folder / "made_up_one" / "part.py").unlink()
    assert "no module 'made_up_one.part'" in dict(installed.discover().warnings()).popitem()[1]


def test_whoever_misbehaves_is_described_every_time(installed):
    installed.write("made_up_one", "made-up", extra="print('hello')")
    installed.write("made_up_two", "No Name")
    for _ in range(2):
        registry = installed.discover()
        assert [note for _, note in registry.notes] == ["prints 'hello' when it is listed. Remove the print."]
        assert len(registry.broken) == 1
        assert "made-up" in registry.names("space")


def test_all_are_described_anew_when_asked(installed):
    installed.discover()
    installed.discover(anew=True)
    assert installed.imported() == {"made_up_one", "made_up_two"}


def test_disabled_entry_points_stay_disabled(installed, monkeypatch):
    installed.discover()
    monkeypatch.setenv("NASFORGE_DISABLE", "made_up_one")
    registry = installed.discover()
    assert registry.disabled == ["made_up_one"]
    assert "made-up" not in registry.names("space")


def test_a_module_that_broke_unnoticed_is_broken_when_it_is_needed(installed):
    installed.discover()
    path = installed.folder / "made_up_one" / "plugin.py"
    before = path.stat()
    path.write_text("raise OSError('no')".ljust(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    registry = installed.discover()
    with pytest.raises(PluginError, match=r"no space named 'made-up'.*1 broken"):
        registry.get("space", "made-up")
    assert "OSError: no" in registry.broken[0][1]


def damaged(content):
    yield b""
    yield content[: len(content) // 2]
    yield b"[1]"
    for place in range(0, len(content), len(content) // 10):
        yield content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def test_a_damaged_file_is_written_anew(installed):
    names = installed.discover().names("space")
    good = installed.file().read_bytes()
    for content in damaged(good):
        installed.file().write_bytes(content)
        assert installed.discover().names("space") == names
        assert installed.imported() == {"made_up_one", "made_up_two"}
        assert installed.file().read_bytes() == good
    installed.discover()
    assert installed.imported() == set()


def share(path):
    path.chmod(0o666)


def link(path):
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def give_away(path):
    if os.geteuid():
        pytest.skip("needs root to give files away")
    os.chown(path, 65534, 65534)


@pytest.mark.skipif(os.name != "posix", reason="owners and modes of POSIX")
@pytest.mark.parametrize("attack", [share, link, give_away])
def test_a_file_that_others_can_change_is_not_used(installed, attack):
    names = installed.discover().names("space")
    attack(installed.file())
    assert installed.discover().names("space") == names
    assert installed.imported() == {"made_up_one", "made_up_two"}


@pytest.mark.skipif(os.name != "posix", reason="owners and modes of POSIX")
def test_a_folder_of_another_user_is_neither_read_nor_written(installed):
    installed.discover()
    content = installed.file().read_bytes()
    give_away(installed.cache / "plugins")
    assert "made-up" in installed.discover(anew=True).names("space")
    assert installed.file().read_bytes() == content
    installed.discover()
    assert installed.imported() == {"made_up_one", "made_up_two"}


def test_without_a_cache_folder_all_are_described(installed, monkeypatch):
    monkeypatch.setenv("NASFORGE_CACHE", str(Path(__file__)))
    for _ in range(2):
        assert "made-up" in installed.discover().names("space")
        assert installed.imported() == {"made_up_one", "made_up_two"}


@pytest.mark.parametrize("command", ["run", "bench"])
def test_commands_discover_plugins_once(monkeypatch, command):
    found, discover = [], Registry.discover

    def count(*args, **options):
        found.append(1)
        return discover(*args, **options)

    def stop(*_, **__):
        raise RunError("enough")

    monkeypatch.setattr(Registry, "discover", count)
    monkeypatch.setattr("nasforge.stages.recipe_run.run_recipe", stop)
    monkeypatch.setattr("nasforge.benches.run.run_bench", stop)
    result = CliRunner().invoke(app, [command, "bench_nasbench201"])
    assert isinstance(result.exception, RunError)
    assert len(found) == 1
