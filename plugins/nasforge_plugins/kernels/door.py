"""The only way to the kernels in C."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, cast

from nasforge.plugins import Diagnosis

__all__ = ["Kernel", "diagnose", "find_kernel"]

FOLDER = f"{__package__}.c"
REGISTRATION = f"{FOLDER}.registration"


class Kernel(NamedTuple):
    """The implementation of an operator in C.

    Attributes:
        fits: Returns whether ``run`` can compute an input; compiles the kernel on its first call.
        run: Computes the operator.
    """

    fits: Callable[..., bool]
    run: Callable[..., Any]


def find_kernel(operator: str, *given: Any) -> Callable[..., Any] | None:
    """Return the implementation of an operator in C, or None if the fallback has to compute.

    Reasons for None: the input does not fit, there is no compiler, the folder ``c`` was deleted, or the
    environment variable ``NASFORGE_NATIVE`` is ``0``.

    Args:
        operator: Name under which it is registered.
        given: Arguments of its ``fits``.
    """
    if os.environ.get("NASFORGE_NATIVE") == "0":
        return None
    kernel = _kernels().get(operator)
    return kernel.run if kernel is not None and kernel.fits(*given) else None


def diagnose() -> list[Diagnosis]:
    """Compile the kernels, if they can be, and report which of them are used on this machine."""
    if os.environ.get("NASFORGE_NATIVE") == "0":
        remedy = "Unset it: searches on a CPU take several times as long without kernels."
        return [Diagnosis("kernels", "switched off by NASFORGE_NATIVE=0", "note", remedy)]
    if not _kernels():
        return [Diagnosis("kernels", "this installation has none", "note")]
    return cast("list[Diagnosis]", import_module(f"{FOLDER}.diagnosis").diagnose())


@cache
def _kernels() -> Mapping[str, Kernel]:
    try:
        registration = import_module(REGISTRATION)
    except ModuleNotFoundError as error:
        if error.name not in {FOLDER, REGISTRATION}:
            raise
        return {}
    return cast("Mapping[str, Kernel]", registration.KERNELS)
