"""The kernels in C are behind one door, and every name stands for one thing."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from nasforge_plugins.kernels import door

KERNELS = Path(door.__file__).parent
PLUGINS, ROOT = KERNELS.parent, KERNELS.parents[2]
ROOMS = [PLUGINS / "kernels", PLUGINS / "ops", PLUGINS / "spaces"]
SOURCES = [ROOT / name for name in ("nasforge", "plugins", "recipes", "tests", "pyproject.toml")]
NEVER_COPIED = ("__pycache__", ".*")

# Modules that every plugin has, or every space.
CONVENTIONAL = {"__init__", "plugin", "config", "space", "network", "notation"}

QUICK = [
    "spaces/test_darts_networks.py::test_one_path_by_index_is_one_path_by_weight",
    "spaces/test_darts_networks.py::test_every_choice_gets_a_gradient",
    "spaces/test_darts_fast.py::test_single_options_by_index",
    "spaces/test_nasbench201_networks.py::test_every_choice_gets_a_gradient",
    "spaces/test_nasbench201_networks.py::test_one_hot_and_names_laws",
    "spaces/test_chain_network.py::test_fast_execution_equals_the_reference",
    "searchers/test_gradient_parts.py",
    "evaluators/test_zero_cost_filtering.py",
]


def sources(*folders):
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def names_kernels_in_c(path):
    text = path.read_text(encoding="utf-8")
    return re.search(r"\bkernels\.c\b|\bkernels import c\b|\bkernels/c\b", text) is not None


def test_only_kernels_name_the_kernels_in_c():
    outside = [p for p in sources(ROOT / "nasforge", PLUGINS) if KERNELS not in p.parents]
    assert not [p for p in outside if names_kernels_in_c(p)]
    inside = [p for p in sources(KERNELS) if KERNELS / "c" not in p.parents]
    assert not [p for p in inside if names_kernels_in_c(p)], "only the door does, by name of its own package"
    assert door.REGISTRATION == "nasforge_plugins.kernels.c.registration"


def test_kernels_know_no_space():
    for path in sources(KERNELS):
        assert "nasforge_plugins.spaces" not in path.read_text(encoding="utf-8"), path.name


def test_no_two_classes_have_one_name():
    classes = [
        node.name
        for path in sources(*ROOMS)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    assert [name for name, times in Counter(classes).items() if times > 1] == []


def test_no_two_modules_have_one_name():
    modules = Counter(path.stem for path in sources(*ROOMS))
    assert [name for name, times in modules.items() if times > 1 and name not in CONVENTIONAL] == []


@pytest.mark.parametrize("leaves", ["nothing", "empty folder"])
def test_without_the_folder_there_are_no_kernels(leaves, tmp_path):
    copied = tmp_path / "nasforge_plugins" / "kernels"
    shutil.copytree(KERNELS, copied, ignore=shutil.ignore_patterns("c", *NEVER_COPIED))
    if leaves == "empty folder":
        (copied / "c" / "__pycache__").mkdir(parents=True)
    (tmp_path / "nasforge_plugins" / "__init__.py").touch()
    code = "from nasforge_plugins.kernels import door\nprint(len(door._kernels()), door.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == ["0", str(copied / "door.py")]


@pytest.mark.campaign
def test_everything_passes_without_the_folder(tmp_path):
    """Run quick tests of spaces, searchers and evaluators in a copy without the kernels in C."""
    for source in SOURCES:
        if source.is_dir():
            ignored = shutil.ignore_patterns(*NEVER_COPIED)
            shutil.copytree(source, tmp_path / source.name, ignore=ignored)
        else:
            shutil.copy(source, tmp_path)
    shutil.rmtree(tmp_path / "plugins" / "nasforge_plugins" / "kernels" / "c")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, tmp_path / "plugins")))}
    code = "import nasforge, nasforge_plugins.kernels as k; print(nasforge.__file__, k.__file__)"
    options = {"cwd": tmp_path, "capture_output": True, "text": True, "env": environment}
    done = subprocess.run([sys.executable, "-c", code], check=True, **options)
    assert done.stdout.count(str(tmp_path)) == 2
    tests = [f"tests/builtins/{name}" for name in QUICK]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", *tests]
    ran = subprocess.run(command, check=False, **options)
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert " passed" in ran.stdout
