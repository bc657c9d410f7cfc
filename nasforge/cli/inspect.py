"""``nasforge inspect``: the choices of a space, and the cost of an architecture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nasforge.cli.options import Json, set_option

if TYPE_CHECKING:
    from nasforge.space import SearchSpace, Task

__all__ = ["inspect"]


def inspect(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="Name of a space.", show_default=False)],
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch", "-a", metavar="NAME|TEXT|@FILE", help="Published name or notation of an architecture."
        ),
    ] = None,
    sets: Annotated[list[str] | None, set_option("Set an option of the space.")] = None,
    num_classes: Annotated[
        int | None,
        typer.Option("--num-classes", min=1, help="Number of classes. Default: as published."),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option("--image-size", min=1, help="Side of the images in pixels. Default: as published."),
    ] = None,
    svg: Annotated[
        Path | None,
        typer.Option("--svg", metavar="FILE", help="Draw the architecture into this file; needs --arch."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the choices of a space, or parameters and MACs of one architecture's final network."""
    from nasforge.cli.output import print_json
    from nasforge.plugins import Registry
    from nasforge.recipe import Part, parse_options
    from nasforge.runs.build import build
    from nasforge.space import NetworkSpace, Task

    plugin = Registry.discover().get("space", space)
    config = parse_options(plugin, sets or [], source=f"inspect {space}")
    built: SearchSpace[Any] = build(Part("space", plugin, config))
    reference = built.reference_task if isinstance(built, NetworkSpace) else Task()
    task = Task(
        image_size=image_size or reference.image_size, num_classes=num_classes or reference.num_classes
    )
    report: dict[str, Any] = {
        "space": space,
        "options": config.to_json(),
        "num_classes": task.num_classes,
        "image_size": task.image_size,
    }
    report |= _describe_space(built, task) if arch is None else _describe_arch(built, task, _read(arch))
    if svg is not None:
        _draw(built, arch, svg)
    if as_json:
        print_json(report)
    else:
        _print(report)
        if svg is not None:
            print(f"\nDrawn in {svg}.")


def _read(arch: str) -> str:
    if not arch.startswith("@"):
        return arch
    from nasforge.errors import ArchError

    try:
        return Path(arch[1:]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ArchError(f"--arch {arch}: the file cannot be read: {reason}.") from None


def _describe_space(space: SearchSpace[Any], task: Task) -> dict[str, Any]:
    from nasforge.space import NetworkSpace

    params = None
    if isinstance(space, NetworkSpace):
        import torch

        from nasforge.cost import count_parameters

        with torch.device("meta"):
            params = count_parameters(space.build(task, scale="search"))
    choices = [
        {"name": c.name, "options": list(c.options), "k": c.k, "kind": c.kind, "optional": c.optional}
        for c in space.choices
    ]
    return {"size": space.size(), "choices": choices, "supernet_params": params}


def _describe_arch(space: SearchSpace[Any], task: Task, text: str) -> dict[str, Any]:
    from nasforge.space import NetworkSpace

    arch = space.parse(text)
    params = macs = None
    if isinstance(space, NetworkSpace):
        from nasforge.cost import measure_arch

        cost = measure_arch(space, task, arch)
        params, macs = cost.params, cost.macs
    return {"arch": arch.to_json(), "notation": space.notation(arch), "params": params, "macs": macs}


def _draw(space: SearchSpace[Any], arch: str | None, path: Path) -> None:
    from nasforge.drawing import draw
    from nasforge.errors import ArchError

    if arch is None:
        raise ArchError("--svg: there is no architecture to draw. Name one with --arch.")
    graphs = space.graphs(space.parse(_read(arch)))
    if not graphs:
        raise ArchError(f"--svg: {type(space).__name__} does not say how to draw its architectures (graphs).")
    try:
        path.write_text(draw(graphs), encoding="utf-8")
    except OSError as error:
        raise ArchError(f"--svg {path}: the file cannot be written: {error.strerror}.") from None


def _print(report: dict[str, Any]) -> None:
    from nasforge.cli.output import print_table
    from nasforge.recipe.toml_text import to_toml

    options = ", ".join(f"{k} = {to_toml(v)}" for k, v in report["options"].items() if v is not None)
    print(f"space {report['space']}" + (f": {options}" if options else ""))
    print(f"for {report['num_classes']} classes, images of {report['image_size']} pixels")
    if "arch" in report:
        print()
        print_table(
            [
                ("notation", report["notation"]),
                ("parameters", _count(report["params"])),
                ("MACs", _count(report["macs"])),
            ]
        )
        return
    print(
        f"{report['size']:,} architectures; search supernet: {_count(report['supernet_params'])} parameters"
    )
    print()
    rows = [
        (c["name"], f"{c['k']} of {len(c['options'])}", ", ".join(c["options"])) for c in report["choices"]
    ]
    print_table(rows, head=("choice", "pick", "options"))


def _count(number: int | None) -> str:
    if number is None:
        return "none (this space builds no networks)"
    return f"{number:,} ({number / 1e6:.3f} M)" if number >= 10_000 else f"{number:,}"
