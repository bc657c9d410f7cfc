"""The badges of the README, as files that load nothing. Renew them with ``python docs/badges.py``.

They are written from the metadata of the project; a test compares them.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "badges"

LETTER = 7.0
"""Width of a letter of 11 pixels, on average."""


def badges() -> dict[str, str]:
    """Return every badge by the name of its file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]
    ends = [(one.partition(" :: ")[0], one.rpartition(" :: ")[2]) for one in project["classifiers"]]
    pythons = [end for start, end in ends if start == "Programming Language" and end.startswith("3.")]
    (status,) = (end for start, end in ends if start == "Development Status")
    torch = next(one.partition(">=")[2] for one in project["dependencies"] if one.startswith("torch>"))
    return {
        "python.svg": badge("python", " | ".join(pythons), "#3949ab"),
        "torch.svg": badge("torch", f"{torch} or newer", "#c1440e"),
        "license.svg": badge("license", project["license"], "#2e7d32"),
        "status.svg": badge("status", status.partition(" - ")[2].lower(), "#8d6e00"),
    }


def badge(name: str, value: str, colour: str) -> str:
    """Draw two boxes side by side: a name, and its value in white on a colour."""
    left, right = (len(text) * LETTER + 14 for text in (name, value))
    texts = ((left / 2, name, left), (left + right / 2, value, right))
    shown = "".join(
        f'<text x="{x:g}" y="14" textLength="{width - 14:g}" lengthAdjust="spacingAndGlyphs">{text}</text>'
        for x, text, width in texts
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right:g}" height="20" role="img" '
        f'aria-label="{name}: {value}"><title>{name}: {value}</title>'
        f'<rect width="{left + right:g}" height="20" rx="4" fill="#444"/>'
        f'<path d="M{left:g} 0h{right - 4:g}a4 4 0 0 1 4 4v12a4 4 0 0 1-4 4h-{right - 4:g}z" '
        f'fill="{colour}"/>'
        f'<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f"{shown}</g></svg>\n"
    )


if __name__ == "__main__":
    for file, drawn in badges().items():
        (FOLDER / file).write_text(drawn, encoding="utf-8")
