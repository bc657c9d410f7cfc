"""``nasforge export``: files of a trained network that work without nasforge."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from nasforge.cli.options import Json, Trust, repeated

__all__ = ["export"]


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.", show_default=False)],
    formats: Annotated[
        list[str] | None,
        repeated(
            "--format",
            "-f",
            metavar="FORMAT",
            about="pt2, onnx, onnx-uint8, onnx-int8, executorch or standalone. Default: those of the recipe.",
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option("--images", min=0, help="Test images to compare on; 0 takes all. Overrides the recipe."),
    ] = None,
    as_json: Json = False,
    trust: Trust = False,
) -> None:
    """Export the trained network of a run, compare each file with it on test images, and time both."""
    from nasforge.cli.output import print_json
    from nasforge.recipe.export_table import check_format

    names = [check_format(name) for name in formats or ()]

    if trust:
        import nasforge

        nasforge.trust(run)
    from nasforge.stages import finished

    result = finished.write_export(run, names or None, images)
    if as_json:
        print_json(dict(result))
    else:
        _print(run, result)
    if any("failed" in found for found in result["formats"].values()):
        raise typer.Exit(1)


def _print(run: Path, result: Mapping[str, Any]) -> None:
    from nasforge.cli.output import print_error, print_table

    source = result["source"]
    rows = [("torch", "", "", "", f"{source['accuracy']:.2f} %", *_speed(source))]
    for name, found in result["formats"].items():
        if "failed" not in found:
            size, same = f"{found['bytes'] / 1e6:.2f} MB", f"{found['same_top1']:.1%}"
            difference = f"{found['max_difference']:.1e}"
            rows.append((name, size, difference, same, f"{found['accuracy']:.2f} %", *_speed(found)))
    head = ("format", "size", "difference", "same class", "accuracy", "1 image", "images/s")
    print_table(rows, head=head)
    print(
        f"\non {source['images']} test images; times on {source['threads']} CPU thread(s), "
        f"batches of {source['batch_size']} for images/s"
    )
    print(f"files: {run / 'export'}")
    for name, found in result["formats"].items():
        if "failed" in found:
            print_error(f"{name}: {found['failed']}")


def _speed(found: Mapping[str, Any]) -> tuple[str, str]:
    return f"{found['latency_ms']:.2f} ms", f"{found['throughput']:.0f}"
