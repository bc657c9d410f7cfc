"""``nasforge doctor``: what works on this machine, what does not, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import typer

from nasforge.cli.options import Json
from nasforge.plugins.diagnosis import Diagnosis, diagnose_plugins

__all__ = ["doctor"]


def doctor(as_json: Json = False) -> None:
    """Check versions, device, compiler, folders and plugins. Exits with 1 if there is a problem."""
    from nasforge.cli.output import print_json

    found = list(_diagnose())
    problems = [diagnosis for diagnosis in found if diagnosis.state == "problem"]
    if as_json:
        print_json({"problems": len(problems), "diagnoses": [diagnosis.to_json() for diagnosis in found]})
    else:
        _print(found)
    if problems:
        raise typer.Exit(1)


def _diagnose() -> Iterator[Diagnosis]:
    from nasforge.cli.installation import diagnose_installation, diagnose_registry
    from nasforge.plugins import Registry

    registry = Registry.discover(anew=True)
    yield from diagnose_installation()
    yield from diagnose_plugins(registry)
    yield from diagnose_registry(registry)


def _print(found: Sequence[Diagnosis]) -> None:
    from nasforge.cli.output import print_table, readable

    print_table([(d.state, d.subject, readable(d.finding)) for d in found])
    remedies = [d for d in found if d.remedy]
    if remedies:
        print("\nwhat to do:")
        print_table([(d.state, d.subject, d.remedy) for d in remedies], indent="  ")
    problems = sum(d.state == "problem" for d in found)
    notes = sum(d.state == "note" for d in found)
    print(f"\n{problems} problem{'' if problems == 1 else 's'}, {notes} note{'' if notes == 1 else 's'}.")
