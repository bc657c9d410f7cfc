"""Programs that options start, besides local modules: those of a stranger's run folder wait for trust."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping

from nasforge.config import PluginConfig
from nasforge.recipe.draft import Draft
from nasforge.recipe.trust import is_trusted, is_trusted_folder, trust_code

__all__ = ["check_programs"]


def check_programs(draft: Draft, tables: Mapping[str, PluginConfig]) -> None:
    """Refuse programs of a stored recipe that the user has not trusted; announce new ones of a recipe file.

    Args:
        draft: The recipe; gets a problem for every program that must not run.
        tables: Options by the name of their table.
    """
    for table, config in tables.items():
        for option, program in config.programs().items():
            path = (*table.split("."), option)
            text = json.dumps(program, sort_keys=True)
            mark = f"sha256:{hashlib.sha256(f'{option} {text}'.encode()).hexdigest()}"
            told = text if len(text) <= 100 else f"{text[:99]}…"
            if is_trusted(mark):
                continue
            if draft.stored and not is_trusted_folder(draft.folder(path)):
                draft.add_error(
                    path,
                    f"runs {told}, which was neither run nor trusted on this computer. Read it. If you would "
                    "run a program of its author, add --trust, or call nasforge.trust(folder) in Python.",
                )
                continue
            name = ".".join(path)
            if draft.text:
                warnings.warn(f"{draft.source}: {name} runs {told}, which is new here.", stacklevel=2)
            trust_code([(mark, name)])
