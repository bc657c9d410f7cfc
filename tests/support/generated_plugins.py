"""Generated plugins on the import path as if installed: with the metadata an installer writes."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from nasforge.plugins import KINDS, Registry
from nasforge.plugins.scaffold import PluginNames, new_plugin

NAMES = {kind: f"my-own-{kind}" for kind in KINDS}


def generate(folder: Path, kind: str, name: str | None = None) -> Path:
    """Write a new plugin below ``folder`` and return its folder."""
    return new_plugin(PluginNames(kind, name or NAMES[kind]), folder, Registry())


def fake_install(project: Path) -> list[Path]:
    """Write entry points beside the sources; return what belongs on the import path."""
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    info = project / "metadata" / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
    )
    points = "".join(f"{name} = {value}\n" for name, value in about["entry-points"]["nasforge"].items())
    (info / "entry_points.txt").write_text(f"[nasforge]\n{points}")
    return [project / "src", info.parent]


def run_python(arguments, cwd, paths=(), **environment):
    """Run Python in a process of its own, with further folders on its import path."""
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([*map(str, paths), *([inherited] if inherited else [])])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
