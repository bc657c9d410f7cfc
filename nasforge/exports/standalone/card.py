"""The model card: sizes, accuracy, use, architecture and recipe of a network, as the README of its folder."""

from __future__ import annotations

from nasforge.drawing import draw
from nasforge.exports.source import ExportSource

__all__ = ["PICTURE", "write_card", "write_picture"]

PICTURE = "architecture.svg"


def write_card(source: ExportSource, size: int) -> str:
    """Return the README of a standalone folder.

    Args:
        source: The network.
        size: Bytes of its weights.
    """
    about, task = source.about, source.task
    classes = ", ".join(source.class_names[:20]) + (", …" if len(source.class_names) > 20 else "")
    rows = [
        ("input", f"float32 (N, {task.in_channels}, {task.image_size}, {task.image_size}), normalised"),
        ("output", f"logits (N, {task.num_classes})"),
        ("classes", f"{task.num_classes}: {classes}"),
        *_numbers(source),
        ("weights", f"{size / 1e6:.2f} MB"),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    parts = [
        f"# {about.get('name', 'network')}",
        "An image classifier whose architecture was found by [nasforge](https://pypi.org/project/nasforge). "
        "It needs torch alone.",
        f"|  |  |\n|---|---|\n{table}",
        "## Use",
    ]
    if source.preprocessing is not None:
        parts += [
            "```bash\npython predict.py photo.jpg\n```",
            "`images.py` reads and resizes image files exactly as in training; it needs Pillow and numpy.",
        ]
    else:
        parts.append("The images of this network do not come from files: prepare them as in its training.")
    parts += [
        "```python\nfrom model import load\n\nmodel = load()\nlogits = model(images)\n```",
        "`labels.txt` has the class names, one per line, in the order of the logits.",
        "## Architecture",
    ]
    if source.graphs:
        parts.append(f"![The cells of the network]({PICTURE})")
    if about.get("notation"):
        parts.append(f"```text\n{about['notation']}\n```")
    if source.recipe.strip():
        parts += ["## Recipe", "It was found and trained by:", f"```toml\n{source.recipe.strip()}\n```"]
    return "\n\n".join(parts) + "\n"


def write_picture(source: ExportSource) -> str | None:
    """Return the drawing of the cells as SVG, or None if the space draws none."""
    return draw(source.graphs) if source.graphs else None


def _numbers(source: ExportSource) -> list[tuple[str, str]]:
    words = {"params": "parameters", "macs": "multiply-adds per image"}
    about = source.about
    rows = [(text, f"{about[key]:,.0f}") for key, text in words.items() if key in about]
    # The best of several epochs is not the accuracy of these weights.
    accuracies = {
        name: value
        for name, value in about.items()
        if "accuracy" in name and not name.endswith("best") and isinstance(value, int | float)
    }
    rows += [(name.replace("_", " "), f"{value:.2f} %") for name, value in sorted(accuracies.items())]
    return rows
