"""Results as tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["fitted_exponent", "report"]


def report(results: Mapping[str, Any]) -> str:
    """Write everything as Markdown.

    Args:
        results: By row, as measured.
    """
    parts = []
    if steps := [result for result in results.values() if "operators" in result]:
        parts += [_steps(steps)]
        if counted := [result for result in steps if "arithmetic" in result]:
            parts += [_arithmetic(counted)]
    writers = {"scaling": _scaling, "rates": _images, "commands": _startup}
    for key, write in writers.items():
        parts += [write(result) for result in results.values() if key in result]
    return "\n\n".join(parts)


def fitted_exponent(values: Mapping[str, float]) -> float:
    """Return the exponent b of ``y = a x^b``, by least squares of the logarithms.

    Args:
        values: y by x.
    """
    xs = [math.log(float(x)) for x in values]
    ys = [math.log(y) for y in values.values()]
    return statistics.linear_regression(xs, ys).slope


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _ratios(result: Mapping[str, Any], other: str, what: str = "seconds") -> list[float]:
    ours, theirs = (result["time"][side][what] for side in ("nasforge", other))
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def _against(value: float, target: float | None) -> str:
    return f"{value:.3f}" if target is None else f"{value:.3f} (aim {target:.2f})"


def _steps(results: Sequence[Mapping[str, Any]]) -> str:
    head = ["row", "reference, s", "nasforge, s", "time", "processor time", "aim", "memory", "operators"]
    head += ["of nni's time", "threads"]
    rows = []
    for result in results:
        targets, time = result["targets"], result["time"]
        memory, operators = result.get("memory"), result["operators"]
        row = [result["title"]]
        row += [f"{statistics.median(time[side]['seconds']):.2f}" for side in ("reference", "nasforge")]
        row += [_spread(_ratios(result, "reference")), _spread(_ratios(result, "reference", "processor"))]
        row += [f"{targets['time']:.2f}" if "time" in targets else ""]
        # Tiny networks may take no more memory than there was.
        known = memory and memory["reference"] > 0
        row += [_against(memory["nasforge"] / memory["reference"], targets.get("memory")) if known else ""]
        row += [_against(operators["nasforge"] / operators["reference"], targets.get("operators"))]
        nni = _spread(_ratios(result, "nni")) if "nni" in time else ""
        row += [f"{nni} (aim {targets['nni']:.2f})" if nni and "nni" in targets else nni]
        rows.append([*row, str(result["threads"])])
    return _table(head, rows)


def _arithmetic(results: Sequence[Mapping[str, Any]]) -> str:
    head = ["row", "side", "operators", "peak memory, MiB", "GFLOP", "GFLOP/s", "of the matrix-product peak"]
    head += ["inside convolutions"]
    rows = []
    for result in results:
        for side in ("reference", "nasforge"):
            done, peak = result["arithmetic"][side], result["matmul_gflops"]
            rate = done["gflop"] / statistics.median(result["time"][side]["seconds"])
            inside = done["gflop"] / done["seconds"] / peak if done["seconds"] else math.nan
            memory = f"{result['memory'][side]:.0f}" if "memory" in result else ""
            row = [result["title"], side, f"{result['operators'][side]}", memory, f"{done['gflop']:.1f}"]
            rows.append([*row, f"{rate:.1f}", f"{rate / peak:.0%}", f"{inside:.0%}"])
    return _table(head, rows)


def _scaling(result: Mapping[str, Any]) -> str:
    rows = []
    for what, sizes in result["scaling"].items():
        for side in ("reference", "nasforge"):
            seconds = {str(n): statistics.median(taken[side]["seconds"]) for n, taken in sizes.items()}
            times = ", ".join(f"{n}: {value:.2f}" for n, value in seconds.items())
            rows.append([what, side, times, f"{fitted_exponent(seconds):.2f}"])
    return _table(["CDARTS step, batch 16, by", "side", "seconds", "fitted exponent"], rows)


def _images(result: Mapping[str, Any]) -> str:
    rates = result["rates"]
    rows = [
        [name, f"{rate['images_per_second']:,.0f}", f"{rate['per_processor_second']:,.0f}"]
        for name, rate in rates.items()
    ]
    augmented, slow = rates["in memory, augmented"], rates["torchvision per image, 2 processes"]
    ratios = [f"{augmented[key] / slow[key]:.1f}" for key in ("images_per_second", "per_processor_second")]
    return _table(
        ["32 px, crop, flip, normalise", "images/s", "images per processor second"],
        [*rows, ["augmented, ratio (aim 20)", *ratios]],
    )


def _startup(result: Mapping[str, Any]) -> str:
    rows = [
        [
            name,
            f"{taken['median']:.2f}",
            f"{taken['processor']:.2f}",
            "yes" if taken["imports_torch"] else "no",
        ]
        for name, taken in result["commands"].items()
    ]
    return _table(["command", "seconds (aim below 0.5)", "processor seconds", "imports torch"], rows)
