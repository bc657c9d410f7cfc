"""Diagnoses of the core for ``nasforge doctor``: versions, device, memory, folders, plugins.

Nothing heavy is imported at the top, because an import that fails is one of the things to report.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from nasforge.plugins.diagnosis import Diagnosis

if TYPE_CHECKING:
    from nasforge.plugins import Registry

__all__ = ["diagnose_installation", "diagnose_registry"]

NEWEST_TESTED = {"torch": Version("2.14"), "torchvision": Version("0.29")}
"""The newest minor versions that the test suite has run with."""

NEWEST_TESTED_PYTHON = Version("3.13")
"""The newest minor version of Python that the test suite has run with."""

CPU_BUILDS = "https://download.pytorch.org/whl/cpu"
"""PyTorch's package index of the builds without CUDA."""

DEVELOPERS = frozenset({"browser", "dev", "docs", "test"})
"""Extras for work on nasforge itself; users need none of them."""

GIB = 2**30
FREE = 5 * GIB
"""Free space below which a note is given: checkpoints of one search may take a gigabyte."""

FULL = GIB / 10
"""Free space below which no run can keep its checkpoints."""


def diagnose_installation() -> Iterator[Diagnosis]:
    """Check this machine and environment, in the order of a reader who looks for a cause."""
    yield _python()
    yield from _distributions()
    yield from _torch()
    yield _memory()
    yield from _folders()
    yield from _extras()


def diagnose_registry(registry: Registry) -> Iterator[Diagnosis]:
    """Report plugins that are broken, misbehave or are disabled.

    Args:
        registry: The installed plugins.
    """
    broken = [*registry.broken, *registry.conflicts]
    if not broken:
        plugins = registry.listed()
        yield Diagnosis("plugins", f"{len(plugins)} of {len({plugin.kind for plugin in plugins})} kinds")
    for plugin, reason in broken:
        yield Diagnosis("plugins", f"{plugin}: {reason}", "problem", "Update or uninstall that distribution.")
    for plugin, reason in [*registry.notes, *registry.warnings()]:
        yield Diagnosis("plugins", f"{plugin}: {reason}", "note")
    if registry.disabled:
        names = ", ".join(registry.disabled)
        yield Diagnosis("plugins", f"NASFORGE_DISABLE leaves out {names}", "note")


def _python() -> Diagnosis:
    """Compare the running Python with the requirement of this distribution."""
    found = (
        f"{platform.python_implementation()} {platform.python_version()} on {platform.platform(terse=True)} "
        f"({sys.executable})"
    )
    try:
        needed = SpecifierSet(metadata("nasforge")["Requires-Python"])
    except PackageNotFoundError:  # a diagnosis of its own
        return Diagnosis("python", found)
    # Not platform.python_version(), which is 3.14.0+ for a build between releases.
    running = Version(".".join(map(str, sys.version_info[:3])))
    if running not in needed:
        return Diagnosis(
            "python",
            f"{found}, but nasforge needs {needed}",
            "problem",
            f"Make a virtual environment with Python {NEWEST_TESTED_PYTHON} and install nasforge in it.",
        )
    if running.release[:2] > NEWEST_TESTED_PYTHON.release:
        return Diagnosis(
            "python",
            f"{found}, newer than the newest version that was tested ({NEWEST_TESTED_PYTHON})",
            "note",
            "If something fails, use that version and compare.",
        )
    return Diagnosis("python", found)


def _distributions() -> Iterator[Diagnosis]:
    """Compare what is installed with the requirements of this distribution."""
    try:
        required = [Requirement(line) for line in requires("nasforge") or ()]
        yield Diagnosis("nasforge", f"{version('nasforge')} in {Path(__file__).parents[1]}")
    except PackageNotFoundError:
        yield Diagnosis(
            "nasforge",
            f"{Path(__file__).parents[1]} is not installed, so it has no plugins",
            "problem",
            "Run pip install -e . in its checkout, or pip install nasforge.",
        )
        return
    for needed in required:
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            yield from _compare(needed)


def _compare(needed: Requirement) -> Iterator[Diagnosis]:
    install = f"pip install '{needed.name}{needed.specifier}'"
    if needed.name in NEWEST_TESTED:  # one is built for the other
        install += f" {' '.join(NEWEST_TESTED.keys() - {needed.name})}"
    try:
        found = version(needed.name)
    except PackageNotFoundError:
        yield Diagnosis(needed.name, "not installed", "problem", f"Run {install}.")
        return
    if not needed.specifier.contains(found, prereleases=True):
        finding = f"{found}, but nasforge needs {needed.specifier}"
        yield Diagnosis(needed.name, finding, "problem", f"Run {install}.")
        return
    newest = NEWEST_TESTED.get(needed.name)
    if newest and Version(found).release[:2] > newest.release[:2]:
        finding = f"{found}, newer than the newest version that was tested ({newest})"
        yield Diagnosis(needed.name, finding, "note", "If something fails, install that version and compare.")


def _torch() -> Iterator[Diagnosis]:
    """Import torch and load the library of torchvision, then look for the device that runs use."""
    try:
        torch = import_module("torch")
    except Exception as error:  # a library that is missing is an OSError
        yield _cannot_load("torch", error)
        return
    yield Diagnosis("torch", str(torch.__version__))
    yield _torchvision(torch)
    yield _device()


def _torchvision(torch: ModuleType) -> Diagnosis:
    """Load the compiled operators alone: all of torchvision takes as long to import as torch does."""
    found = find_spec("torchvision")
    places = found.submodule_search_locations if found else None
    try:
        libraries = [path for place in places or () for path in Path(place).glob("_C*") if path.is_file()]
        for library in libraries:
            torch.ops.load_library(str(library))
        if not hasattr(torch.ops.torchvision, "nms"):
            raise RuntimeError("its compiled operators are missing")
        return Diagnosis("torchvision", version("torchvision"))
    except Exception as error:  # built for another version or build of torch
        return _cannot_load("torchvision", error)


def _cannot_load(name: str, error: Exception) -> Diagnosis:
    return Diagnosis(
        name,
        f"cannot be imported: {type(error).__name__}: {' '.join(str(error).split())[:300]}",
        "problem",
        "Install torch and torchvision again, in one command and from one index, so that they fit.",
    )


def _device() -> Diagnosis:
    import torch

    if torch.cuda.is_available():
        cards = []
        for index in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(index)
            cards.append(f"{card.name}, {card.total_memory / GIB:.0f} GiB")
        return Diagnosis("device", f"cuda {torch.version.cuda}: {'; '.join(cards)}")
    if torch.backends.mps.is_available():
        return Diagnosis("device", "mps (Apple GPU)")
    threads = torch.get_num_threads()
    cpu = f"cpu: {os.cpu_count()} cores, {threads} thread{'' if threads == 1 else 's'}"
    if shutil.which("nvidia-smi"):
        built = f"is built for CUDA {torch.version.cuda}" if torch.version.cuda else "is built for CPUs only"
        return Diagnosis(
            "device",
            f"{cpu}; there is an NVIDIA driver, but torch, which {built}, finds no GPU",
            "problem",
            "Run nvidia-smi; if it lists a GPU, install a torch build for a CUDA version that the driver "
            "supports.",
        )
    if torch.version.cuda:
        return Diagnosis(
            "device",
            f"{cpu}; torch is built for CUDA {torch.version.cuda}, but no GPU was found",
            "note",
            "The build of torch for CPUs takes a seventh of the disk space, and nasforge works with either: "
            f"pip install torch torchvision --index-url {CPU_BUILDS}",
        )
    return Diagnosis("device", cpu)


def _memory() -> Diagnosis:
    """Report physical memory, and what a control group leaves of it."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on Windows
        return Diagnosis("memory", "size unknown on this system")
    limit = _group_limit()
    if limit is not None and limit < total:
        return Diagnosis("memory", f"{limit / GIB:.1f} GiB for this container, of {total / GIB:.1f} GiB")
    return Diagnosis("memory", f"{total / GIB:.1f} GiB")


def _group_limit() -> int | None:
    for place in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return int(Path(place).read_text())
        except (OSError, ValueError):  # another system, or "max"
            continue
    return None


def _folders() -> Iterator[Diagnosis]:
    from nasforge.files import cache_folder, user_folder

    named = "Set NASFORGE_{0} to a folder that you can write to."
    yield _folder("runs", Path.cwd() / "runs", "Start runs in a folder that you can write to, or use --out.")
    yield _folder("data", user_folder("tables").parent, named.format("DATA"))
    yield _folder("cache", cache_folder(), named.format("CACHE"))


def _folder(subject: str, path: Path, remedy: str) -> Diagnosis:
    """Check that files can be written in a folder, or where it would be made."""
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            free = shutil.disk_usage(place).free
    except OSError as error:
        return Diagnosis(subject, f"{path} cannot be written: {error.strerror}", "problem", remedy)
    state = "" if path.exists() else " (made when it is needed)"
    finding = f"{path}{state}, {free / GIB:.1f} GiB free"
    if free < FULL:
        return Diagnosis(subject, f"{finding}: the disk is full", "problem", f"Free some space. {remedy}")
    if free < FREE:
        return Diagnosis(subject, finding, "note", f"Free some space. {remedy}")
    return Diagnosis(subject, finding)


def _extras() -> Iterator[Diagnosis]:
    """Name the extras that are installed and those that are not."""
    try:
        extras = metadata("nasforge").get_all("Provides-Extra") or []
        required = [Requirement(line) for line in requires("nasforge") or ()]
    except PackageNotFoundError:
        return
    installed: list[str] = []
    missing: list[str] = []
    for extra in sorted(set(extras) - DEVELOPERS):
        belonging = [r for r in required if r.marker and r.marker.evaluate({"extra": extra})]
        (installed if all(_is_installed(r.name) for r in belonging) else missing).append(extra)
    finding = f"installed: {', '.join(installed) or 'none'}"
    if missing:
        finding += f"; pip install 'nasforge[NAME]' adds {', '.join(missing)}"
    yield Diagnosis("extras", finding)


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
