"""Notation of the model space: what differs from the original, such as ``layer1/0=w50 layer2/1=drop``."""

from __future__ import annotations

from collections.abc import Sequence

from nasforge.arch import Arch, Choice
from nasforge.errors import ArchError, suggest

__all__ = ["ORIGINAL", "read_changes", "write_changes"]

ORIGINAL = "original"
"""The notation of the network that a space was made from."""


def write_changes(arch: Arch, choices: Sequence[Choice]) -> str:
    """Write the answers that are not the first option of their choice."""
    changes = [f"{c.name}={arch[c.name][0]}" for c in choices if arch[c.name] != (c.options[0],)]
    return " ".join(changes) or ORIGINAL


def read_changes(text: str, choices: Sequence[Choice]) -> Arch:
    """Read what `write_changes` wrote; commas between changes are fine.

    Args:
        text: Changes, or ``original``.
        choices: Those of the space.

    Raises:
        ArchError: Lists every change that cannot be read.
    """
    picks = {c.name: c.options[0] for c in choices}
    words = text.replace(",", " ").split()
    if words == [ORIGINAL]:
        return Arch(picks)
    known = {c.name: c.options for c in choices}
    problems = [] if words else ["nothing is written."]
    seen: set[str] = set()
    for word in words:
        name, equals, option = word.partition("=")
        if not equals:
            problems.append(f"{word!r} is not a change: write choice=option.")
        elif name not in known:
            problems.append(f"no choice {name!r}.{_near(name, list(known))}")
        elif name in seen:
            problems.append(f"choice {name!r} is answered twice.")
        elif option not in known[name]:
            problems.append(f"choice {name!r} has no option {option!r}.{suggest(option, known[name])}")
        else:
            seen.add(name)
            picks[name] = option
    if problems:
        example = next((f"{c.name}={c.options[-1]}" for c in choices), "")
        raise ArchError(
            f"{text!r}: {' '.join(problems)} Write {ORIGINAL!r}, or what differs, such as {example!r}."
        )
    return Arch(picks)


def _near(name: str, known: list[str]) -> str:
    hint = suggest(name, known)
    return hint if len(hint) <= 200 else ""
