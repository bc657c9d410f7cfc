"""``nasforge predict``: classes of image files, by the trained network of a run."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nasforge.cli.options import Json, Trust

if TYPE_CHECKING:
    from nasforge.cli.image_arguments import NamedImage
    from nasforge.runs.predictor import Prediction

__all__ = ["predict"]


def predict(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder of a finished run.", show_default=False)],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE…",
            help="Image files, folders, or quoted patterns such as 'photos/**/*.jpg'.",
            show_default=False,
        ),
    ],
    top: Annotated[int, typer.Option("--top", "-k", min=1, metavar="K", help="Classes per image.")] = 1,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out images that cannot be read, with a warning.")
    ] = False,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1, … Overrides the recipe."),
    ] = None,
    trust: Trust = False,
) -> None:
    """Predict the classes of images with the trained network of a run.

    Images in folders that are named after the classes are counted: the accuracy is printed.
    """
    from nasforge.cli.image_arguments import find_images

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv contradict each other. Choose one.")
    found = find_images(images)

    import nasforge

    if trust:
        nasforge.trust(run)
    predictor = nasforge.load_predictor(run, device=device)
    _set_threads(run)
    if skip_broken:
        found = _readable(found)
    labels = _labels(found, predictor.class_names)
    results = predictor(_counted(found))
    right = sum(p.class_name == name for p, name in zip(results, labels, strict=True)) if labels else None
    if as_json:
        _print_json(found, results, labels, right, top, run)
    elif as_csv:
        _print_csv(found, results, labels, top)
    else:
        _print_table(found, results, labels, right, top)


def _counted(found: list[NamedImage]) -> Iterator[Path]:
    """Yield the files, and show in a terminal how many the predictor has taken."""
    from nasforge.cli.output import show_count

    for count, image in enumerate(found):
        show_count("predicting", count, len(found))
        yield image.path
    show_count("predicting", len(found), len(found))


def _set_threads(run: str) -> None:
    """Compute with as many threads as the run, whose sums may depend on it."""
    import torch

    from nasforge.runs.folder import RunFolder

    resolved = RunFolder(Path(run)).resolved or {}
    if threads := resolved.get("run", {}).get("threads"):
        torch.set_num_threads(threads)


def _readable(found: list[NamedImage]) -> list[NamedImage]:
    import warnings

    from nasforge.cli.output import show_count
    from nasforge.errors import DataError
    from nasforge.images.broken import LEFT_OUT, find_broken, list_broken

    files = [image.path for image in found]
    broken = find_broken(files, report=lambda count: show_count("reading", count, len(files)))
    if not broken:
        return found
    if len(broken) == len(found):
        raise DataError(list_broken("predict", broken, len(found), "None is left. Give other images."))
    warnings.warn(list_broken("predict", broken, len(found), LEFT_OUT), stacklevel=2)
    return [image for image in found if image.path not in broken]


def _labels(found: list[NamedImage], class_names: tuple[str, ...]) -> list[str]:
    """Return the class of every image by the name of its folder; none if folders have other names."""
    import warnings

    from nasforge.errors import suggest

    folders = [image.folder for image in found]
    strange = sorted(set(folders) - set(class_names))
    if not strange:
        return folders
    if len(strange) < len(set(folders)):
        hints = suggest(strange[0], class_names)
        warnings.warn(
            f"predict: {', '.join(map(repr, strange))} is not a class of this run, other folders are.{hints} "
            "The accuracy is not computed.",
            stacklevel=2,
        )
    return []


def _top(prediction: Prediction, top: int) -> list[tuple[str, float]]:
    return list(prediction.probabilities.items())[:top]


def _print_json(
    found: list[NamedImage],
    results: list[Prediction],
    labels: list[str],
    right: int | None,
    top: int,
    run: str,
) -> None:
    from nasforge.cli.output import print_json

    rows: list[dict[str, Any]] = []
    for number, (image, prediction) in enumerate(zip(found, results, strict=True)):
        best = [{"class": name, "probability": value} for name, value in _top(prediction, top)]
        label = {"label": labels[number]} if labels else {}
        rows.append({"image": str(image.path), **best[0], **label, "top": best})
    accuracy = {} if right is None else {"accuracy": 100 * right / len(results)}
    print_json({"run": run, **accuracy, "images": rows})


def _print_csv(found: list[NamedImage], results: list[Prediction], labels: list[str], top: int) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    top = min(top, len(results[0].probabilities))
    columns = [f"{name}{'' if place == 1 else f'_{place}'}" for place in range(1, top + 1) for name in _PAIR]
    writer.writerow(["image", *(["label"] if labels else []), *columns])
    for number, (image, prediction) in enumerate(zip(found, results, strict=True)):
        cells = [cell for name, value in _top(prediction, top) for cell in (name, f"{value:.6f}")]
        writer.writerow([image.path, *([labels[number]] if labels else []), *cells])


_PAIR = ("class", "probability")


def _print_table(
    found: list[NamedImage], results: list[Prediction], labels: list[str], right: int | None, top: int
) -> None:
    from nasforge.cli.output import print_table

    rows = []
    for number, (image, prediction) in enumerate(zip(found, results, strict=True)):
        best = [cell for name, value in _top(prediction, top) for cell in (name, f"{value:.1%}")]
        wrong = ["" if prediction.class_name == labels[number] else "wrong"] if labels else []
        rows.append([str(image.path), *best, *wrong])
    shown = min(top, len(results[0].probabilities))
    places = [cell for place in range(2, shown + 1) for cell in (f"class {place}", "")]
    head = ["image", "class", "probability", *places, *([""] if labels else [])]
    print_table(rows, head=head)
    if right is not None:
        print(
            f"\naccuracy {100 * right / len(results):.2f} %: {right:,} of {len(results):,} images are right"
        )
