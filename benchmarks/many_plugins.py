"""Start-up with many installed plugins: processor time of commands that need few of them.

Run ``python -m benchmarks.many_plugins --distributions 500``. Distributions with one plugin each are written
into a folder on the path. Every command runs once with an empty cache of descriptions, then ``--repeats``
times with a filled one.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["main", "measure", "write_distributions"]

COMMANDS = {
    "--help": ["--help"],
    "recipes list": ["recipes", "list"],
    "plugins list": ["plugins", "list"],
    "check": ["check", "search_nasbench201_table"],
}
KINDS = ("data", "space", "searcher", "distiller", "evaluator", "observer")
CODE = '''"""Announces a made-up plugin."""

from nasforge.config import PluginConfig
from nasforge.plugins import Plugin, hookimpl


class Config(PluginConfig):
    """Options."""

    size: int = 3
    """A number."""


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    return [Plugin("{kind}", "made-up-{number}", "made_up_{number}.part:Part", Config, "A made-up {kind}")]
'''


def write_distributions(folder: Path, count: int) -> None:
    """Write installed distributions, each with one plugin whose kind goes round.

    Args:
        folder: A folder for ``PYTHONPATH``.
        count: How many.
    """
    for number in range(count):
        name = f"made_up_{number}"
        package, metadata = folder / name, folder / f"{name}-1.0.dist-info"
        package.mkdir(parents=True)
        metadata.mkdir()
        (package / "__init__.py").write_text("")
        (package / "plugin.py").write_text(CODE.format(kind=KINDS[number % len(KINDS)], number=number))
        (package / "part.py").write_text('"""The made-up plugin."""\n\n\nclass Part:\n    """Nothing."""\n')
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: nasforge\n"
        (metadata / "METADATA").write_text(text)
        (metadata / "entry_points.txt").write_text(f"[nasforge]\n{name} = {name}.plugin\n")


def measure(counts: Sequence[int], repeats: int, folder: Path) -> dict[str, dict[str, list[float]]]:
    """Run every command with every number of distributions.

    Args:
        counts: Numbers of distributions.
        repeats: How often each command runs with a filled cache.
        folder: An empty folder.

    Returns:
        Processor seconds by number of distributions and command: first of the run with an empty cache, then
        the least of the others.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for count in counts:
        place = folder / str(count)
        place.mkdir()
        write_distributions(place, count)
        rows = found[str(count)] = {}
        for name, words in COMMANDS.items():
            cache = folder / f"cache-{count}-{name.replace(' ', '-')}"
            variables = {"PYTHONPATH": str(place), "NASFORGE_CACHE": str(cache)}
            _seconds(words, {**variables, "NASFORGE_CACHE": str(folder / "warm")})  # compiles the modules
            first = _seconds(words, variables)
            rows[name] = [first, min(_seconds(words, variables) for _ in range(repeats))]
    return found


def _seconds(words: Sequence[str], variables: Mapping[str, str]) -> float:
    """Return the processor seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "nasforge", *words],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **variables},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 3)


def main() -> None:
    """Measure and print a JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--distributions", type=int, nargs="+", default=[0, 500])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(options.distributions, options.repeats, Path(folder)), indent=1))


if __name__ == "__main__":
    main()
