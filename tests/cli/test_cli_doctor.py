"""`nasforge doctor` on machines that lack something."""

import importlib.metadata
import json
import shutil
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import Mock

import pytest

from nasforge.cli import installation, run_command
from nasforge.plugins import Diagnosis, Registry
from nasforge.plugins.diagnosis import diagnose_plugins
from nasforge.plugins.plugin import find_fault
from nasforge_plugins.kernels import door
from support.recipe_samples import plugin

OLD, NEW = "2.3.1", "3.1.0"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NASFORGE_NATIVE", "0")  # compiling takes seconds
    monkeypatch.setenv("NASFORGE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("NASFORGE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def ask(capsys) -> tuple[int, dict[str, Diagnosis]]:
    """Return the exit status and the diagnoses by subject; the last one of a subject counts."""
    status = run_command(["doctor", "--json"])
    told = json.loads(capsys.readouterr().out)
    found = [Diagnosis(**one) for one in told["diagnoses"]]
    assert told["problems"] == sum(one.state == "problem" for one in found)
    return status, {one.subject: one for one in found}


def test_a_healthy_machine_has_no_problem(here, capsys):
    status, found = ask(capsys)
    assert status == 0
    wanted = {"python", "nasforge", "torch", "torchvision", "device", "memory", "runs", "data", "cache"}
    assert wanted | {"extras", "kernels", "plugins"} <= set(found)
    assert str(here / "cache") in found["cache"].finding
    left = [file for file in here.rglob("*") if file.is_file() and file.parent != here / "cache" / "plugins"]
    assert not left, "the command left something behind"


def test_the_table_ends_with_what_to_do(here, capsys):
    assert run_command(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "note  kernels" in text
    assert "switched off by NASFORGE_NATIVE=0" in text
    assert "what to do:\n" in text
    assert text.rstrip().endswith("notes.") or text.rstrip().endswith("note.")


@pytest.fixture
def versions(monkeypatch):
    """Pretends that distributions have other versions; None is a missing one."""
    changed: dict[str, str | None] = {}
    real = importlib.metadata.version

    def version(name):
        found = changed.get(name, real)
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name) if found is real else found

    monkeypatch.setattr(installation, "version", version)
    return changed


@pytest.mark.parametrize(("found", "state"), [(OLD, "problem"), (NEW, "note"), (None, "problem")])
def test_versions_of_torch(here, capsys, versions, found, state):
    versions["torch"] = found
    told = [one for one in installation.diagnose_installation() if one.subject == "torch"]
    assert told[0].state == state
    if found is None:
        assert told[0].finding == "not installed"
    else:
        assert told[0].finding.startswith(found)
    if state == "note":
        assert told[0].remedy.startswith("If something")
    else:
        assert told[0].remedy == "Run pip install 'torch>=2.4' torchvision."


@pytest.mark.parametrize(
    ("running", "state", "finding"),
    [
        ((3, 10, 14), "problem", "but nasforge needs >=3.11"),
        ((3, 11, 0), "ok", sys.executable),
        ((3, 13, 9), "ok", sys.executable),
        ((3, 14, 0), "note", "newer than the newest version that was tested (3.13)"),
    ],
)
def test_versions_of_python(monkeypatch, running, state, finding):
    monkeypatch.setattr(sys, "version_info", (*running, "final", 0))
    told = next(installation.diagnose_installation())
    monkeypatch.undo()
    assert (told.subject, told.state) == ("python", state)
    assert finding in told.finding
    assert bool(told.remedy) == (state != "ok")


def test_a_checkout_that_is_not_installed(here, capsys, monkeypatch):
    def requires(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(installation, "requires", requires)
    status, found = ask(capsys)
    assert status == 1
    assert "is not installed" in found["nasforge"].finding
    assert "pip install -e ." in found["nasforge"].remedy


def test_torch_that_cannot_be_imported(here, capsys, monkeypatch):
    def broken(name):
        raise OSError("libcudart.so.13: cannot open shared object file")

    monkeypatch.setattr(installation, "import_module", broken)
    status, found = ask(capsys)
    assert status == 1
    assert found["torch"].finding.startswith("cannot be imported: OSError: libcudart.so.13")
    assert "device" not in found


def test_a_driver_without_a_usable_gpu(here, capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi" if name == "nvidia-smi" else None)
    status, found = ask(capsys)
    assert (status, found["device"].state) == (1, "problem")
    assert "built for CPUs only" in found["device"].finding


@pytest.mark.parametrize(("gibibytes", "state"), [(4.9, "note"), (0.05, "problem"), (0, "problem")])
def test_a_disk_that_is_nearly_full(here, capsys, monkeypatch, gibibytes, state):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2**40, 2**39, gibibytes * 2**30))
    status, found = ask(capsys)
    assert status == (state == "problem")
    assert [found[subject].state for subject in ("runs", "data", "cache")] == [state] * 3
    assert f"{gibibytes:.1f} GiB free" in found["runs"].finding
    assert found["cache"].remedy == "Free some space. Set NASFORGE_CACHE to a folder that you can write to."


def test_a_home_that_cannot_be_written(here, capsys, monkeypatch):
    """A file in the place of the folder: permissions do not stop root, which runs tests in containers."""
    (here / "home").write_text("")
    monkeypatch.delenv("NASFORGE_CACHE")
    monkeypatch.delenv("NASFORGE_DATA")
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", classmethod(lambda cls: here / "home"))
    status, found = ask(capsys)
    assert status == 1
    assert "cannot be written: Not a directory" in found["cache"].finding
    assert found["cache"].remedy == "Set NASFORGE_CACHE to a folder that you can write to."
    assert found["data"].remedy == "Set NASFORGE_DATA to a folder that you can write to."


def test_a_broken_plugin(here, capsys, monkeypatch):
    registry = Registry([], [("mine = mine (mine 1.0)", "ImportError: no tea")])
    monkeypatch.setattr(Registry, "discover", classmethod(lambda cls, **options: registry))
    status, found = ask(capsys)
    assert (status, found["plugins"].state) == (1, "problem")
    assert found["plugins"].finding == "mine = mine (mine 1.0): ImportError: no tea"


def test_diagnoses_of_plugins_run_once_and_may_fail(monkeypatch):
    module = ModuleType("own_diagnosis")
    calls = []
    module.works = lambda: calls.append(1) or [Diagnosis("licence", "valid until May")]

    def fails():
        raise ValueError("no tea")

    module.fails = fails
    monkeypatch.setitem(sys.modules, "own_diagnosis", module)
    targets = {"a": "own_diagnosis:works", "b": "own_diagnosis:works", "c": "own_diagnosis:fails", "d": ""}
    described = [replace(plugin("space", name), diagnosis=target) for name, target in targets.items()]
    found = list(diagnose_plugins(described))
    assert calls == [1]
    assert found[0] == Diagnosis("licence", "valid until May")
    assert (found[1].subject, found[1].state) == ("space c", "problem")
    assert "raised ValueError: no tea" in found[1].finding
    assert len(found) == 2


def test_a_diagnosis_has_the_form_of_a_target():
    assert "is not of the form 'module:function'" in find_fault(
        replace(plugin("space", "a"), diagnosis="nothing")
    )


@pytest.mark.parametrize(
    ("tools", "finding"),
    [({}, "no C compiler (cc, gcc, clang) was found"), ({"cc": "/bin/false"}, "/bin/false cannot compile")],
)
def test_kernels_that_cannot_be_compiled(tmp_path, monkeypatch, tools, finding):
    from nasforge_plugins.kernels.c import compiling

    monkeypatch.setenv("NASFORGE_CACHE", str(tmp_path))
    monkeypatch.delenv("NASFORGE_NATIVE", raising=False)
    monkeypatch.setattr(shutil, "which", tools.get)
    compiling.compiled.cache_clear()
    (found,) = door.diagnose()
    compiling.compiled.cache_clear()  # other tests compile
    assert (found.subject, found.state) == ("kernels", "note")
    assert found.finding.startswith(finding)
    assert found.remedy


@pytest.mark.parametrize(
    ("load", "finding"),
    [
        (Mock(side_effect=OSError("undefined symbol: _ZN3c10")), "OSError: undefined symbol: _ZN3c10"),
        (Mock(), "RuntimeError: its compiled operators are missing"),
    ],
)
def test_torchvision_that_does_not_fit_torch(load, finding):
    operators = SimpleNamespace(load_library=load, torchvision=SimpleNamespace())
    found = installation._torchvision(SimpleNamespace(ops=operators))
    assert (found.state, found.finding) == ("problem", f"cannot be imported: {finding}")
    assert Path(load.call_args.args[0]).parent.name == "torchvision"
    assert "in one command and from one index" in found.remedy
