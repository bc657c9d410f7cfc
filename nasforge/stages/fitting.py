"""The largest batch, and the fewest shards, with which a stage fits into a memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nasforge.recipe import Recipe
from nasforge.runs.scope import TRAIN
from nasforge.stages.memory import Measured, Rehearsal, StageMemory

__all__ = ["Fit", "find_fit", "find_shards"]

ROUND = 8
"""Batches are a multiple of it, from twice as many images on."""

TRIES = 8
"""Steps of the search for the largest batch."""


@dataclass(frozen=True)
class Fit:
    """Whether a stage fits into a memory.

    Attributes:
        memory: The stage, as the recipe says.
        option: The option with its batch size, such as ``"data.batch_size"``; empty if there is none.
        fits: Whether the batch of the recipe fits.
        largest: The largest batch that fits; 0 if none does.
        least: The smallest batch that trains.
        least_need: Bytes with that batch.
    """

    memory: StageMemory
    option: str
    fits: bool
    largest: int = 0
    least: int = 1
    least_need: int = 0


def find_fit(rehearsal: Rehearsal, memory: StageMemory, limit: int) -> Fit:
    """Find the largest batch with which a stage fits.

    The need grows with the batch by pieces of straight lines that bend upwards, because it is the maximum
    over the moments of a step. A line through a batch that fits and one that does not is therefore above the
    need in between, and every batch that it allows fits. Where it allows no larger one, the next is counted.

    Args:
        rehearsal: Counts with other batches.
        memory: The stage.
        limit: Bytes.
    """
    assert memory.worst is not None, "a stage that could not be counted has no fit"
    option, fits = _find_option(rehearsal.recipe, memory), memory.worst.peak <= limit
    if not option:
        return Fit(memory, "", fits)
    least, need = _count_least(rehearsal, memory)
    if need.peak > limit:
        return Fit(memory, option, False, 0, least, need.peak)
    low, high = (least, need.peak), (memory.batch, memory.worst.peak)
    if low[0] >= high[0]:
        return Fit(memory, option, fits, memory.batch, least, need.peak)
    for _ in range(TRIES):
        beyond = high[1] <= limit
        best = high if beyond else low
        guess = _between(low, high, best[0], limit, rehearsal.shards)
        if not beyond and guess >= high[0]:
            break
        found = (guess, rehearsal.count_with(memory, guess, rehearsal.shards).peak)
        if found[1] > limit:
            low, high = best, found
        elif beyond:
            low, high = high, found
        else:
            low = found
    largest = max(batch for batch, peak in (low, high) if peak <= limit)
    return Fit(memory, option, fits, largest, least, need.peak)


def find_shards(rehearsal: Rehearsal, fits: Sequence[Fit], limit: int) -> int | None:
    """Find the fewest shards with which all stages fit with the batches of the recipe; None if none do.

    Args:
        rehearsal: Counts with shards.
        fits: All stages.
        limit: Bytes.
    """
    fitted = [one for one in fits if one.option]
    if any(not one.fits and one not in fitted for one in fits) or any(not one.largest for one in fitted):
        return None
    batches = [one.memory.batch for one in fitted]
    for count in _divisors(batches, rehearsal.shards, max(one.least for one in fitted)):
        # A shard needs what a batch of its size needs, and a sum of gradients.
        if any(one.largest * count < one.memory.batch * rehearsal.shards for one in fitted):
            continue
        counted = (rehearsal.count_with(one.memory, one.memory.batch, count) for one in fitted)
        if all(one.peak <= limit for one in counted):
            return count
    return None


def _count_least(rehearsal: Rehearsal, memory: StageMemory) -> tuple[int, Measured]:
    """Count with the smallest batch that trains: norms over single values refuse one image."""
    shards = rehearsal.shards
    try:
        return shards, rehearsal.count_with(memory, shards, shards)
    except ValueError:
        return 2 * shards, rehearsal.count_with(memory, 2 * shards, shards)


def _between(low: tuple[int, int], high: tuple[int, int], best: int, limit: int, shards: int) -> int:
    """Return the batch that needs ``limit`` on the line through two batches, rounded down, above ``best``."""
    slope = max(1.0, (high[1] - low[1]) / (high[0] - low[0]))
    exact = low[0] + (limit - low[1]) / slope
    unit = shards if exact < 2 * ROUND * shards else ROUND * shards
    return max(int(exact // unit) * unit, (best // unit + 1) * unit)


def _divisors(batches: Sequence[int], above: int, least: int) -> Iterator[int]:
    """Yield numbers of shards that divide all batches into parts of at least ``least`` images."""
    for count in range(above + 1, min(batches, default=0) // least + 1):
        if all(batch % count == 0 for batch in batches):
            yield count


def _find_option(recipe: Recipe, memory: StageMemory) -> str:
    """Return the option of the recipe that has the batch size of a stage."""
    if not memory.batch:
        return ""
    for table, part in recipe.parts.items():
        if (table.split(".")[0] == TRAIN.stage) != (memory.stage.scope == TRAIN):
            continue
        for option in part.config.trained_batches():
            where = option if "." in option else f"{table}.{option}"
            owner, _, name = where.rpartition(".")
            if owner in recipe.parts and getattr(recipe.parts[owner].config, name, None) == memory.batch:
                return where
    return ""
