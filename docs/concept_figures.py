"""The pictures of the concept pages: rows of boxes, from top to bottom, with arrows between rows."""

from __future__ import annotations

from collections.abc import Sequence

from nasforge.drawing import Canvas

Box = tuple[str, ...]
"""Title and smaller lines."""

DATA, PART, ACTOR, RESULT = "#fff8e1", "#e8eaf6", "#c5cae9", "#e8f5e9"
WIDTH, EDGE, BESIDE, BETWEEN, LINE = 360, 14.0, 12.0, 26.0, 16.0


def figures() -> dict[str, str]:
    """Return every picture by the name of its file."""
    return {
        "concept-spaces.svg": flow(
            "A space, an architecture and what follows from it",
            (PART, [("space", "named choices, and how to", "build networks from answers")]),
            (DATA, [("choice edge1", "3x3, 1x1, pool, skip"), ("choice edge2", "3x3, 1x1, pool, skip")]),
            (ACTOR, [("architecture", "edge1 = 3x3, edge2 = skip")]),
            (RESULT, [("network", "torch module"), ("cost", "size, MACs"), ("notation", "text")]),
        ),
        "concept-supernets.svg": flow(
            "From a supernet to the network of an architecture",
            (
                DATA,
                [("option weights", "a number per option", "of every choice"), ("images", "of one batch")],
            ),
            (PART, [("supernet", "holds every option once;", "adds them up by their weights")]),
            (ACTOR, [("architecture", "the heaviest option", "of every choice")]),
            (
                RESULT,
                [
                    ("network", "inherits weights", "of the same name"),
                    ("network", "starts anew, for", "the final training"),
                ],
            ),
        ),
        "concept-searchers.svg": flow(
            "A step of a black-box search and of a gradient search",
            (
                ACTOR,
                [
                    ("black box", "ask: propose an", "architecture"),
                    ("gradients", "train the weights", "of a supernet"),
                ],
            ),
            (PART, [("evaluator", "returns a score"), ("gradient", "of option weights")]),
            (ACTOR, [("tell", "learn from the score"), ("update", "of option weights")]),
            (DATA, [("checkpoint", "after every step, until the budget is spent")]),
            (RESULT, [("architecture", "the best one, or the heaviest options")]),
        ),
        "concept-distillation.svg": flow(
            "A teacher, a student and the loss between their outputs",
            (DATA, [("images", "the same batch for both")]),
            (
                PART,
                [
                    ("teacher", "logits, and features", "of every stage"),
                    ("student", "logits, and features", "of every stage"),
                ],
            ),
            (ACTOR, [("distiller", "a loss between two outputs")]),
            (RESULT, [("update of the student", "its own loss plus the distiller's")]),
        ),
        "concept-evaluation.svg": flow(
            "How a candidate gets its score",
            (ACTOR, [("candidate", "proposed by a searcher")]),
            (PART, [("constraints", "over a limit: not evaluated")]),
            (
                PART,
                [
                    ("training", "train"),
                    ("one-shot", "supernet"),
                    ("look-up", "tabular"),
                    ("proxy", "zero-cost"),
                ],
            ),
            (RESULT, [("evaluation", "score, metrics, cost in seconds")]),
            (DATA, [("budget", "counts evaluations or seconds")]),
        ),
        "concept-runs.svg": flow(
            "The stages of a run, and the files between them",
            (DATA, [("recipe.toml", "checked as a whole, before anything starts")]),
            (ACTOR, [("search", "images: weights, arch"), ("checkpoint", "after every step")]),
            (PART, [("derive", "reads option weights"), ("arch.json", "the architecture")]),
            (ACTOR, [("train", "images: full"), ("weights", "weights.safetensors")]),
            (PART, [("test", "images: test, once"), ("result.json", "accuracy, size")]),
            (RESULT, [("report.html", "all of it on one page")]),
        ),
    }


def flow(title: str, *rows: tuple[str, Sequence[Box]]) -> str:
    """Draw rows of boxes; each row follows from the one above it."""
    heights = [26 + LINE * max(len(box) - 1 for box in boxes) for _, boxes in rows]
    canvas = Canvas(WIDTH, 2 * EDGE + sum(heights) + BETWEEN * (len(rows) - 1), title)
    y, above = EDGE, []
    for (fill, boxes), height in zip(rows, heights, strict=True):
        wide = (WIDTH - 2 * EDGE - BESIDE * (len(boxes) - 1)) / len(boxes)
        middles = [EDGE + wide / 2 + number * (wide + BESIDE) for number in range(len(boxes))]
        for x in middles if len(middles) > len(above) else above:
            if above:
                canvas.line(f"M{x:g} {y - BETWEEN:g}V{y - 2:g}", arrow="end")
        for middle, (name, *lines) in zip(middles, boxes, strict=True):
            canvas.box(middle - wide / 2, y, wide, height, fill)
            first = y + height / 2 - LINE / 2 * len(lines)
            canvas.text(middle, first, name, bold=True)
            for number, line in enumerate(lines, start=1):
                canvas.text(middle, first + LINE * number, line, size=12)
        y, above = y + height + BETWEEN, middles
    return canvas.svg()
