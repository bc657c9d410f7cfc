"""Wheels for a machine without a package index, from the metadata of packages."""

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the installed package does not contain the benchmarks

from benchmarks.wheels import HAS, download_command, main, missing_wheels

STATED = {
    "project": ["torch>=2", "Typed_Options>=1", "cli; python_version >= '3.8'", "extra-one; extra == 'all'"],
    "torch": ["typing-extensions", "driver; sys_platform == 'linux'"],
    "typed-options": ["typed-core==3", "typing-extensions", "old; python_version < '3.8'"],
    "typed-core": [],
    "cli": ["typed-options", "shell[colour]"],
    "shell": ["paint; extra == 'colour'", "print; extra == 'printing'"],
    "paint": [],
}


def stated(name):
    if name not in STATED:
        raise PackageNotFoundError(name)
    return STATED[name]


def test_what_a_machine_lacks_is_followed_from_the_project():
    assert missing_wheels("project", ["torch", "cli"], stated) == ["typed-core", "typed-options"]
    everything = ["cli", "paint", "shell", "typed-core", "typed-options"]
    assert missing_wheels("project", ["torch"], stated) == everything


def test_a_package_that_is_not_here_is_an_error():
    with pytest.raises(PackageNotFoundError):
        missing_wheels("project", [], stated, {"sys_platform": "linux"})  # the driver of torch


def test_a_bare_machine_lacks_the_options(capsys):
    missing = missing_wheels("nasforge", HAS)
    assert {"pydantic", "pydantic-core", "annotated-types"} <= set(missing)
    assert not {"torch", "numpy", "scipy", "pillow", "rich", "typer"} & set(missing)
    main(["--python", "3.12"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[: len(missing)]] == missing
    assert "--python-version 3.12" in lines[-2]


def test_the_command_pins_versions():
    command = download_command({"a": "1.0", "b": "2"}, "3.11", "here")
    assert command.startswith("pip download --no-deps --only-binary :all: ")
    assert command.endswith(" -d here a==1.0 b==2")
