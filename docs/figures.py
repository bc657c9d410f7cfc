"""The pictures of the site, drawn by nasforge. Renew them with ``python docs/figures.py``.

They are kept as files, so that they are there wherever a page is read; a test compares them with these.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from nasforge.drawing import Canvas, draw

_SPEC = importlib.util.spec_from_file_location(
    "docs_concepts", Path(__file__).with_name("concept_figures.py")
)
concept_figures = importlib.util.module_from_spec(_SPEC)  # the tests load this file by its path
_SPEC.loader.exec_module(concept_figures)

ASSETS = Path(__file__).parent / "assets"

RECIPE, PART, SEARCHER, STAGE = "#fff8e1", "#e8eaf6", "#c5cae9", "#e8f5e9"
BROWN, GREEN = "#c79100", "#2e7d32"
NARROW = 360
"""Width that a phone shows without making letters smaller."""


def figures() -> dict[str, str]:
    """Return every picture by the name of its file."""
    return {
        "rooms.svg": rooms(),
        "parts.svg": parts(760, columns=4),
        "parts-narrow.svg": parts(NARROW, columns=2),
        "cdarts-networks.svg": networks(),
        "cdarts-cycle.svg": cycle(),
        "cell-darts-normal.svg": cell("darts", "CDARTS_cifar", 0),
        "cell-darts-reduce.svg": cell("darts", "CDARTS_cifar", 1),
        "cell-nasbench201.svg": cell("nasbench201", "resnet", 0),
        **concept_figures.figures(),
    }


def cell(space: str, arch: str, which: int) -> str:
    """Draw a cell of a published architecture, as ``nasforge inspect --svg`` does."""
    from nasforge.plugins import Registry
    from nasforge.recipe import Part, parse_options
    from nasforge.runs.build import build

    plugin = Registry.discover().get("space", space)
    built = build(Part("space", plugin, parse_options(plugin, [], source="docs")))
    return draw([built.graphs(built.parse(arch))[which]])


def labelled(
    canvas: Canvas,
    box: tuple[float, float, float, float],
    fill: str,
    title: str,
    *lines: str,
    stroke: str = "",
) -> None:
    """Draw a box with a bold line and smaller ones below it."""
    x, y, width, height = box
    canvas.box(*box, fill, **({"stroke": stroke} if stroke else {}))
    middle = y + height / 2 - 8 * len(lines)
    canvas.text(x + width / 2, middle, title, bold=True)
    for number, line in enumerate(lines, start=1):
        canvas.text(x + width / 2, middle + 16 * number, line, size=12)


def parts(width: int, columns: int) -> str:
    """Draw how the parts of a run compose: the picture of the start page."""
    rows, high, gap = 4 // columns, 54, 12
    canvas = Canvas(width, 300 + rows * (high + gap), "How the parts of a run compose")
    whole, middle = width - 32, width / 2
    labelled(
        canvas,
        (16, 14, whole, 48),
        RECIPE,
        "recipe.toml",
        "names a plugin for every part, and its options",
        stroke=BROWN,
    )
    top, frame = 90.0, rows * (high + gap) + gap
    canvas.line(f"M{middle:g} 62V{top - 2:g}", arrow="end")
    canvas.line(f"M16 {top:g}H{16 + whole}V{top + frame:g}H16Z", dashed=True)
    each = (whole - gap * (columns + 1)) / columns
    for number, (name, about) in enumerate(
        [
            ("space", "choices, networks"),
            ("data", "images by role"),
            ("distiller", "one teaches another"),
            ("evaluator", "scores architectures"),
        ]
    ):
        row, column = divmod(number, columns)
        place = 16 + gap + column * (each + gap), top + gap + row * (high + gap)
        labelled(canvas, (*place, each, high), PART, name, about)
    y = top + frame
    canvas.line(f"M{middle:g} {y:g}V{y + 26:g}", arrow="end")
    labelled(
        canvas,
        (16, y + 28, whole, 54),
        SEARCHER,
        "searcher",
        "one step at a time, a checkpoint after each",
    )
    y += 82
    each = (whole - 3 * 22) / 4
    canvas.line(f"M{16 + each / 2:g} {y:g}V{y + 26:g}", arrow="end")
    for number, name in enumerate(["search", "derive", "train", "test"]):
        x = 16 + number * (each + 22)
        labelled(canvas, (x, y + 28, each, 40), STAGE, name, stroke=GREEN)
        if number:
            canvas.line(f"M{x - 22:g} {y + 48:g}H{x - 2:g}", arrow="end")
    canvas.height = y + 82
    return canvas.svg()


ROOMS = (
    ("cli",),
    ("api",),
    ("report",),
    ("benches",),
    ("stages",),
    ("parallel", "testing"),
    ("runs",),
    ("confirm", "exports"),
    ("cost", "images", "recipe", "tables", "training"),
    ("contracts", "runtime"),
    ("nn", "plugins"),
    ("ground",),
)
"""The rooms of the core from top to bottom: each imports from lower rows only."""


def rooms() -> str:
    """Draw the rooms of the core, and who may import whom."""
    high, gap, left, right = 34, 18, 14.0, NARROW - 14.0
    canvas = Canvas(NARROW, 2 * 14 + len(ROOMS) * (high + gap) - gap, "The rooms of nasforge")
    flat = {"api", "contracts", "ground"}
    for row, names in enumerate(ROOMS):
        y = 14 + row * (high + gap)
        each = (right - left - 10 * (len(names) - 1)) / len(names)
        for column, name in enumerate(names):
            fill, stroke = (RECIPE, BROWN) if name in flat else (PART, "")
            x = left + column * (each + 10)
            canvas.box(x, y, each, high, fill, **({"stroke": stroke} if stroke else {}))
            canvas.text(x + each / 2, y + high / 2, name, bold=True)
        if row:
            canvas.line(f"M{NARROW / 2:g} {y - gap:g}V{y - 2:g}", arrow="end")
    return canvas.svg()


def networks() -> str:
    """Draw the two networks of a CDARTS search, what they share, and what passes between them."""
    canvas = Canvas(NARROW, 470, "The two networks of a CDARTS search")
    left, right, wide = 14.0, 206.0, 140.0
    labelled(canvas, (120, 14, 120, 30), RECIPE, "images", stroke=BROWN)
    labelled(canvas, (100, 66, 160, 32), SEARCHER, "stem, shared")
    canvas.line("M180 44V64", arrow="end")
    for x, name, about in [
        (left, "search network", "shallow, all operations"),
        (right, "evaluation network", "deep, one architecture"),
    ]:
        middle = x + wide / 2
        canvas.text(middle, 130, name, bold=True)
        canvas.text(middle, 147, about, size=12)
        start = 132 if x == left else 228
        canvas.line(f"M{start:g} 98L{middle:g} 118", arrow="end")
        for stage, y in enumerate((164, 212, 260), start=1):
            labelled(canvas, (x, y, wide, 32), PART, f"stage {stage}")
            canvas.line(f"M{middle:g} {y + 32:g}V{y + 46:g}", arrow="end")
        labelled(canvas, (x, 308, wide, 32), STAGE, "logits", stroke=GREEN)
    for y in (180, 228, 276, 324):
        canvas.line(f"M{left + wide + 3:g} {y}H{right - 3:g}", arrow="both", dashed=True)
        canvas.text(180, y - 8, "D", size=12)
    labelled(canvas, (left, 396, wide, 58), RECIPE, "architecture", "one weight per option", stroke=BROWN)
    labelled(canvas, (right, 396, wide, 58), RECIPE, "bank", "weights of all", "operations", stroke=BROWN)
    canvas.line("M40 396V342", arrow="end")
    canvas.text(46, 374, "weighs", size=12, anchor="start")
    canvas.line("M320 396V342", arrow="both")
    canvas.text(314, 374, "inherits", size=12, anchor="end")
    canvas.line(f"M{left + wide:g} 418L{right + 24:g} 343", arrow="end")
    canvas.text(180, 440, "derive", size=12)
    return canvas.svg()


def cycle() -> str:
    """Draw the order of things in a CDARTS search."""
    canvas = Canvas(NARROW, 322, "A cycle of CDARTS")
    wide, high, left, right = 152.0, 84.0, 14.0, 194.0
    labelled(
        canvas,
        (left, 14, NARROW - 28, 46),
        RECIPE,
        "warm-up of the search network",
        "in the first cycles",
        stroke=BROWN,
    )
    canvas.line(f"M{left + wide / 2:g} 60V88", arrow="end")
    labelled(
        canvas,
        (left, 90, wide, high),
        PART,
        "1 rebuild",
        "evaluation network of",
        "the architecture, with",
        "weights of the bank",
    )
    labelled(
        canvas,
        (right, 90, wide, high),
        PART,
        "2 warm up",
        "the evaluation",
        "network alone, on",
        "arch images",
    )
    labelled(
        canvas,
        (right, 222, wide, high),
        SEARCHER,
        "3 train jointly",
        "step A on arch images,",
        "step B on weights",
        "images, in turns",
    )
    labelled(
        canvas,
        (left, 222, wide, high),
        PART,
        "4 derive",
        "the next architecture;",
        "weights go back",
        "to the bank",
    )
    canvas.line(f"M{left + wide:g} 132H{right - 2:g}", arrow="end")
    canvas.line(f"M{right + wide / 2:g} 174V220", arrow="end")
    canvas.line(f"M{right:g} 264H{left + wide + 2:g}", arrow="end")
    canvas.line(f"M{left + wide / 2:g} 222V176", arrow="end")
    canvas.text(left + wide / 2 + 8, 199, "next cycle", size=12, anchor="start")
    return canvas.svg()


if __name__ == "__main__":
    for name, picture in figures().items():
        (ASSETS / name).write_text(picture, encoding="utf-8")
