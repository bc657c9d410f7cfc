"""The texts of ``images.py`` and ``predict.py``: from an image file to class names, without nasforge."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterable
from pprint import pformat

from nasforge.images import Preprocessing, decoding, resizing

__all__ = ["write_images", "write_predict"]

IMAGES = '''"""Decode and resize image files as in the training. Needs torch, numpy and Pillow."""

from __future__ import annotations

{imports}

{settings}


class ImageError(Exception):
    """An image file that cannot be read."""

    def __init__(self, where: str, path: str, reason: str) -> None:
        super().__init__(f"{{path}}: {{reason}}.")


def read(path: str | Path) -> Tensor:
    """Return an image file as bytes ``(C, H, W)`` of the size that the network reads."""
    pixels = decode(Path(path), "image", CHANNELS, BACKGROUND, upright=EXIF)
    images = torch.from_numpy(pixels)[None]
    return resize(images, SIZE, RESIZE, shorter_side=SHORTER_SIDE, background=BACKGROUND)[0].permute(2, 0, 1)


def normalize(images: Tensor) -> Tensor:
    """Return bytes ``(N, C, H, W)`` as the numbers that the network reads."""
    # (x / 255 - mean) / deviation, as one multiplication and one addition.
    scale = torch.tensor([1 / (255 * d) for d in DEVIATION]).view(1, -1, 1, 1)
    shift = torch.tensor([-m / d for m, d in zip(MEAN, DEVIATION)]).view(1, -1, 1, 1)
    return images.float() * scale + shift


{decoding}


{resizing}
'''

OWN_IMPORTS = """
from pathlib import Path
import torch
from torch import Tensor
"""

PREDICT = '''"""Name the classes of image files: python predict.py IMAGE..."""

import sys
from pathlib import Path

import torch

from images import ImageError, normalize, read
from model import load

LABELS = Path(__file__).with_name("labels.txt").read_text(encoding="utf8").splitlines()


@torch.no_grad()
def main(paths: list[str]) -> int:
    """Print the three most probable classes of every file."""
    if not paths:
        print(__doc__, file=sys.stderr)
        return 2
    model, failed = load(), 0
    for path in paths:
        try:
            image = read(path)
        except ImageError as error:
            print(error, file=sys.stderr)
            failed = 1
            continue
        probabilities = model(normalize(image[None])).softmax(1)[0]
        best = probabilities.topk(min(3, len(LABELS)))
        found = [f"{LABELS[i]} {100 * p:.1f} %" for p, i in zip(best.values.tolist(), best.indices.tolist())]
        print(f"{path}: {', '.join(found)}")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
'''


def write_images(preprocessing: Preprocessing) -> str:
    """Return ``images.py``: the settings of a preprocessing, and the code of nasforge that reads images.

    The code is copied, so that both read the same bytes.

    Args:
        preprocessing: Preprocessing that the network was trained with.
    """
    values = {
        "SIZE": preprocessing.size,
        "CHANNELS": preprocessing.channels,
        "MEAN": preprocessing.mean,
        "DEVIATION": preprocessing.deviation,
        "RESIZE": preprocessing.resize,
        "SHORTER_SIDE": preprocessing.shorter_side,
        "BACKGROUND": preprocessing.background,
        "EXIF": preprocessing.exif,
    }
    sources = [inspect.getsource(decoding), inspect.getsource(resizing)]
    return IMAGES.format(
        imports=_imports([OWN_IMPORTS, *sources]),
        settings="\n".join(f"{name} = {pformat(value)}" for name, value in values.items()),
        decoding=_body(sources[0]),
        resizing=_body(sources[1]),
    )


def write_predict() -> str:
    """Return ``predict.py``."""
    return PREDICT


def _imports(sources: Iterable[str]) -> str:
    """Return the imports of modules once each, those of the standard library first; none of nasforge."""
    whole, parts = set(), dict[str, set[str]]()
    for source in sources:
        for node in ast.parse(source).body:
            if isinstance(node, ast.Import):
                whole |= {ast.unparse(ast.Import([alias])) for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                parts.setdefault(node.module, set()).update(alias.name for alias in node.names)
    lines = [*whole, *(f"from {module} import {', '.join(sorted(parts[module]))}" for module in parts)]
    roots = {line: line.split()[1].split(".")[0] for line in lines}
    wanted = [line for line in lines if roots[line] not in ("__future__", "nasforge")]
    ours = [line for line in wanted if roots[line] in sys.stdlib_module_names]
    others = [line for line in wanted if line not in ours]
    return "\n\n".join("\n".join(sorted(some, key=_import_order)) for some in (ours, others))


def _import_order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line.split()[1].lower()


def _body(source: str) -> str:
    """Return a module without its docstring, imports and ``__all__``."""
    lines = source.splitlines()
    kept = []
    for node in ast.parse(source).body:
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_all = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        if isinstance(node, ast.Import | ast.ImportFrom) or is_all or (is_text and node.lineno == 1):
            continue
        # A string below a constant is about it.
        gap = "\n" if is_text else "\n\n" if isinstance(node, ast.Assign) else "\n\n\n"
        kept.append(gap + "\n".join(lines[node.lineno - 1 : node.end_lineno]))
    return "".join(kept).strip()
