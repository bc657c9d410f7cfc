"""Index lists of the chain space, as its published architectures are written.

One list per stage: ``[[0],[3],[3,3],[3,1,3],[3,3,3,3],[3,3,3],[0]]``. The first and the last stand for the
fixed first block and the head; each number between them is the index of a block's option. Blocks that are
skipped are not listed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from nasforge.errors import ArchError

__all__ = ["PUBLISHED", "read_index_lists", "write_index_lists"]

PUBLISHED = {
    "CDARTS-a": "[[0],[3],[3,3],[3,1,3],[3,3,3,3],[3,3,3],[0]]",
    "CDARTS-b": "[[0],[3,4,2,0],[5,2,4,0],[4,3,2,2,2],[1,3,0,1],[2,4,4,2],[0]]",
}
"""Architectures of the CDARTS paper by name. The released list of CDARTS-b names the last block of stage 3
once and repeats it; here it is written twice."""


def read_index_lists(text: str, options: Sequence[str], depths: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Read the option indices of stages 1 to 5.

    Args:
        text: The lists, as JSON.
        options: Names of the options, for messages and the range of indices.
        depths: Per stage the smallest and the largest number of blocks.

    Raises:
        ArchError: Lists every stage and block that is wrong.
    """
    try:
        lists = json.loads(text)
    except json.JSONDecodeError as error:
        raise ArchError(
            f"{text!r}: cannot be read as index lists at character {error.pos + 1} ({error.msg}). "
            f"Write one list per stage, such as {PUBLISHED['CDARTS-a']}."
        ) from None
    if not isinstance(lists, list):
        raise ArchError(
            f"{text!r}: not index lists. Write one list per stage, such as {PUBLISHED['CDARTS-a']}."
        )
    expected = len(depths) + 2
    if len(lists) != expected:
        raise ArchError(
            f"{text!r}: {len(lists)} lists. A chain has {expected}: the fixed first block as [0], "
            f"stages 1 to {len(depths)}, and the head as [0]."
        )
    problems = [
        f"list {at} ({what}) must be [0], got {json.dumps(lists[at])}."
        for at, what in ((0, "the fixed first block"), (expected - 1, "the head"))
        if lists[at] != [0]
    ]
    for number, (stage, depth) in enumerate(zip(lists[1:-1], depths, strict=True), start=1):
        problems += _problems(f"stage {number}", stage, options, depth)
    if problems:
        raise ArchError(f"{text!r}: {' '.join(problems)}")
    return lists[1:-1]


def _problems(where: str, stage: Any, options: Sequence[str], depths: tuple[int, int]) -> list[str]:
    if not isinstance(stage, list):
        return [f"{where} must be a list of option indices, got {json.dumps(stage)}."]
    problems = []
    least, most = depths
    if not least <= len(stage) <= most:
        takes = f"{least} to {most}" if least < most else str(most)
        problems.append(f"{where} takes {takes} block(s), got {len(stage)} (option 'depths').")
    problems += [
        f"{where}, block {i}: no option {json.dumps(index)}. Known: "
        f"{', '.join(f'{n}={name}' for n, name in enumerate(options))}."
        for i, index in enumerate(stage)
        if type(index) is not int or not 0 <= index < len(options)
    ]
    return problems


def write_index_lists(stages: Sequence[Sequence[int]]) -> str:
    """Write the option indices of stages 1 to 5 with the two fixed lists around them."""
    return json.dumps([[0], *map(list, stages), [0]], separators=(",", ":"))
