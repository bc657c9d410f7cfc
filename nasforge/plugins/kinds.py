"""The kinds of plugins: one row per kind, read by recipes, listings, templates, checks and documentation.

A new kind is a row of `KINDS`, its contract, its template in ``nasforge/plugins/templates`` and its checks in
``nasforge/testing``. Modules are named by dotted strings, so that reading the table imports none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = [
    "GROUPS",
    "KINDS",
    "TABLES",
    "Kind",
    "KindInfo",
    "inner_tables",
    "table_abouts",
    "table_kind",
    "with_article",
]

Kind = str
"""A key of `KINDS`, such as ``"space"``."""


@dataclass(frozen=True, slots=True)
class KindInfo:
    """A kind of plugins.

    Attributes:
        plural: Name of the folder of built-in plugins and of the reference page; capitalised, the title.
        about: Short description.
        contract: ``"module:Class"``, the base class of the plugins.
        checks: ``"module:CHECKS"``, the conformance checks.
        tables: Descriptions of the recipe tables that name such a plugin, by name of the table:
            ``"train.distiller"`` lies inside ``[train]``, and ``"observers.*"`` stands for any number of
            tables inside ``[observers]``.
        capability_checks: Further conformance checks: ``"module:CHECKS"`` by the ``"module:Class"`` of a
            capability.
        paths_required: Whether options for paths may lack a default, because only users know where their
            files are.
    """

    plural: str
    about: str
    contract: str
    checks: str
    tables: Mapping[str, str]
    capability_checks: Mapping[str, str] = field(default_factory=dict)
    paths_required: bool = False

    @property
    def title(self) -> str:
        """Heading of lists of such plugins."""
        return self.plural.capitalize()


KINDS: Mapping[Kind, KindInfo] = MappingProxyType(
    {
        "data": KindInfo(
            plural="data",
            about="Images, labels, and splits by role.",
            contract="nasforge.data:DataModule",
            checks="nasforge.testing.data:CHECKS",
            tables={"data": "The images, and their splits by role."},
            paths_required=True,
        ),
        "space": KindInfo(
            plural="spaces",
            about="The architectures to choose from, and their networks.",
            contract="nasforge.space:SearchSpace",
            checks="nasforge.testing.spaces:CHECKS",
            tables={"space": "The architectures to choose from."},
            capability_checks={
                "nasforge.space:NetworkSpace": "nasforge.testing.networks:CHECKS",
                "nasforge.plugins.capabilities:KnownBaseline": "nasforge.testing.spaces:BASELINE_CHECKS",
                "nasforge.space:KnownCost": "nasforge.testing.networks:COST_CHECKS",
                "nasforge.space:ReducedNetworks": "nasforge.testing.reduced:CHECKS",
            },
        ),
        "searcher": KindInfo(
            plural="searchers",
            about="Search strategies.",
            contract="nasforge.searcher:Searcher",
            checks="nasforge.testing.searchers:CHECKS",
            tables={"searcher": "The search strategy."},
        ),
        "distiller": KindInfo(
            plural="distillers",
            about="Losses between the outputs of two networks.",
            contract="nasforge.distiller:Distiller",
            checks="nasforge.testing.distillers:CHECKS",
            tables={
                "distiller": "How the networks of a search teach each other.",
                "train.distiller": "How a finished network teaches the one that is trained.",
            },
        ),
        "evaluator": KindInfo(
            plural="evaluators",
            about="Scores of architectures.",
            contract="nasforge.evaluator:Evaluator",
            checks="nasforge.testing.evaluators:CHECKS",
            tables={
                "evaluator": "How the architectures that a searcher proposes are scored.",
                "evaluator.base": "The evaluator that the one in [evaluator] builds on.",
                "train": "How the found architecture is trained from scratch.",
            },
            capability_checks={
                "nasforge.evaluator:RepeatedTraining": "nasforge.testing.evaluators:REPEAT_CHECKS",
            },
        ),
        "observer": KindInfo(
            plural="observers",
            about="Callbacks of runs and benches: progress bars, logs, notifications.",
            contract="nasforge.observer:Observer",
            checks="nasforge.testing.observers:CHECKS",
            tables={"observers.*": "Options of the observers in `run.observers`, a table each."},
        ),
    }
)
"""Every kind, in the order of listings."""


def _tables() -> Iterator[tuple[str, Kind]]:
    single = [(table, kind) for kind, info in KINDS.items() for table in info.tables if table[-1] != "*"]
    for table, kind in single:
        if "." not in table:
            yield table, kind
            yield from ((inner, other) for inner, other in single if inner.rpartition(".")[0] == table)


TABLES: Mapping[str, Kind] = MappingProxyType(dict(_tables()))
"""The kind of the plugin that each table of a recipe names; a table stands before those inside it."""

GROUPS: Mapping[str, Kind] = MappingProxyType(
    {
        table.removesuffix(".*"): kind
        for kind, info in KINDS.items()
        for table in info.tables
        if table.endswith(".*")
    }
)
"""The kind of the plugins in tables that hold a table per plugin, such as ``[observers.csv]``."""


def with_article(kind: Kind) -> str:
    """Return ``"a space"``, ``"an observer"``."""
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def table_kind(table: str) -> Kind | None:
    """Return the kind of the plugin that a table of a recipe names, if it names one."""
    return TABLES.get(table) or GROUPS.get(table.rpartition(".")[0])


def inner_tables(table: str) -> list[str]:
    """Return the names of the tables that lie directly inside a table."""
    return [inner for inner in TABLES if inner.rpartition(".")[0] == table]


def table_abouts() -> dict[str, str]:
    """Return the description of every table that names a plugin."""
    about = {table: text for info in KINDS.values() for table, text in info.tables.items()}
    return {**{table: about[table] for table in TABLES}, **{g: about[f"{g}.*"] for g in GROUPS}}
