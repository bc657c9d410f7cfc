"""Name the wheels that nasforge needs and a bare GPU machine lacks, and how to carry them there.

    python -m benchmarks.wheels                          what a machine with torch and a few others lacks
    python -m benchmarks.wheels --has torch numpy        another machine
    python -m benchmarks.wheels --python 3.12            with another version of Python

A machine that reaches no package index has what its image has. Requirements are followed from nasforge on, as
the packages that are installed here state them. Of the packages that the machine has, those of torch,
torchvision and scikit-learn are followed: what others require changes from version to version (some versions
of typer require pydantic), and a wheel too many does no harm.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.markers import default_environment
from packaging.requirements import Requirement

__all__ = ["download_command", "missing_wheels"]

HAS = ("torch", "torchvision", "rich", "typer", "pluggy", "safetensors", "scikit-learn")
"""Packages of a bare GPU machine."""

FOLLOWED = frozenset({"torch", "torchvision", "scikit-learn"})
"""Those whose requirements are there, too."""


def missing_wheels(
    of: str,
    has: Iterable[str],
    requirements: Callable[[str], Sequence[str] | None] = requires,
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the packages that a package needs and a machine lacks, sorted, without the package itself.

    Args:
        of: The package.
        has: Packages of the machine. What those of `FOLLOWED` require is there, too.
        requirements: Returns what a package requires, as its metadata states it.
        environment: Markers of the machine; by default, those of this one.

    Raises:
        PackageNotFoundError: The package, or one that it needs, is not installed here.
        packaging.requirements.InvalidRequirement: The metadata of a package is wrong.
    """
    markers = {name: str(value) for name, value in default_environment().items()} | dict(environment or {})
    names = frozenset(_normalize(name) for name in has)
    there = names | _follow(names & FOLLOWED, requirements, markers, missing_is_fine=True)
    needed = _follow([of], requirements, markers, without=there)
    return sorted(needed - {_normalize(of)})


def download_command(packages: Mapping[str, str], python: str, folder: str = "wheels") -> str:
    """Return the pip command that downloads wheels for Linux, to be installed without an index.

    Args:
        packages: Versions by name.
        python: Version of the machine's Python, such as ``"3.12"``.
        folder: Where they go.
    """
    pinned = " ".join(f"{name}=={number}" for name, number in packages.items())
    target = f"--only-binary :all: --python-version {python} --platform manylinux2014_x86_64"
    return f"pip download --no-deps {target} -d {folder} {pinned}"


def _follow(
    names: Iterable[str],
    requirements: Callable[[str], Sequence[str] | None],
    markers: Mapping[str, str],
    without: frozenset[str] = frozenset(),
    missing_is_fine: bool = False,
) -> frozenset[str]:
    """Return packages and all that they require, except those of ``without`` and what only they require."""
    found: set[str] = set()
    left = [(name, frozenset[str]()) for name in names]
    while left:
        name, extras = left.pop()
        name = _normalize(name)
        if name in found or name in without:
            continue
        found.add(name)
        try:
            stated = requirements(name) or ()
        except PackageNotFoundError:
            if not missing_is_fine:
                raise
            continue
        for one in map(Requirement, stated):
            wanted = [{**markers, "extra": extra} for extra in (extras or {""})]
            if one.marker is None or any(one.marker.evaluate(each) for each in wanted):
                left.append((one.name, frozenset(one.extras)))
    return frozenset(found)


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the packages and the commands.

    Args:
        arguments: Instead of those of this process.
    """
    parser = argparse.ArgumentParser(
        "python -m benchmarks.wheels",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--has", nargs="+", default=list(HAS), metavar="PACKAGE", help=" ".join(HAS))
    parser.add_argument("--python", default="3.11", help="version of Python on the machine")
    options = parser.parse_args(arguments)
    markers = {"python_version": options.python, "python_full_version": f"{options.python}.0"}
    linux = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    names = missing_wheels("nasforge", options.has, environment={**markers, **linux})
    packages = {name: version(name) for name in names}
    for name, number in packages.items():
        print(f"{name} {number}")
    if packages:
        print(f"\nhere:   {download_command(packages, options.python)}")
        print("there:  pip install --no-index --no-deps wheels/*.whl")


if __name__ == "__main__":
    main()
