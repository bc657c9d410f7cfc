"""Environments of their own, which see the packages of this one but not its checkout; without downloads."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import nasforge

ROOT = Path(nasforge.__file__).parents[1]
"""The checkout, if nasforge is installed as an editable."""

EXAMPLES = ROOT / "examples"
DISTRIBUTIONS = sorted(path.parent for path in EXAMPLES.glob("*/pyproject.toml"))
"""The plugins in examples/ that are distributions."""

OFFLINE = {
    "PIP_NO_INDEX": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # as a variable, 0 is yes: build with the hatchling that is here
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_QUIET": "1",
    "OMP_NUM_THREADS": "1",
    "NO_COLOR": "1",
}


def new_environment(folder, *, with_editables=False, scripts=(), beside=None):
    """Make a virtual environment that sees what is installed here; return its Python.

    What is installed here as an editable is seen ``with_editables`` alone: their .pth files are not read
    where a folder stands in another .pth file. ``scripts`` names modules that shall be commands, as if they
    had been installed into it. ``beside`` is a folder of packages that are seen before all others.
    """
    venv.create(folder, with_pip=False)
    site = next((folder / "lib").glob("python*/site-packages"))
    outer = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    if beside:
        outer.insert(0, str(beside))
    lines = [f"import site; site.addsitedir({path!r})" if with_editables else path for path in outer]
    (site / "outer.pth").write_text("".join(f"{line}\n" for line in lines))
    python = folder / "bin" / "python"
    for name in scripts:
        script = python.with_name(name)
        script.write_text(f'#!/bin/sh\nexec "{python}" -m {name} "$@"\n')
        script.chmod(0o755)
    return python


def run_in(python, arguments, cwd, **environment):
    """Run a Python that is not this one; nothing of this process is on its import path."""
    return run_beside(python, [python, *arguments], cwd, **environment)


def run_beside(python, command, cwd, **environment):
    """Run any command as if the environment of a Python were activated."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "NASFORGE_DISABLE")}
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=cwd,
        env={**inherited, **OFFLINE, "PATH": path, "VIRTUAL_ENV": str(python.parents[1]), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def succeed(done):
    """Return what a command printed; show all of it if it failed."""
    assert done.returncode == 0, f"{done.args}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout


def build_wheel(source, into):
    """Build the wheel of a distribution and return its path."""
    before = set(into.glob("*.whl"))
    build = ["-m", "hatchling", "build", "-t", "wheel", "-d", str(into)]
    succeed(run_in(Path(sys.executable), build, source))
    (wheel,) = set(into.glob("*.whl")) - before
    return wheel


def build_distributions(source, into):
    """Build the wheel and the source distribution; return their paths."""
    succeed(run_in(Path(sys.executable), ["-m", "hatchling", "build", "-d", str(into)], source))
    (wheel,), (sources,) = into.glob("*.whl"), into.glob("*.tar.gz")
    return wheel, sources


def install(python, *what, cwd):
    """Install wheels or, after ``-e``, folders, whatever this environment has of the same name."""
    arguments = ["-m", "pip", "install", "--no-deps", "--ignore-installed", *map(str, what)]
    succeed(run_in(python, arguments, cwd))
