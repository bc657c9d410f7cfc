"""Whether the evaluator of a recipe reports what its searchers look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from nasforge.config import EvaluatorConfig, ObjectivesConfig, PluginConfig
from nasforge.constraints import COSTS, ConstraintsConfig
from nasforge.errors import suggest
from nasforge.evaluator import KnownMetrics
from nasforge.recipe.bench_table import Bench
from nasforge.recipe.draft import Draft, Keys

if TYPE_CHECKING:
    from nasforge.recipe import Part

__all__ = ["check_metric_limits", "check_objectives", "objectives_of", "reported"]


def check_objectives(
    draft: Draft, parts: Mapping[str, Part], constraints: ConstraintsConfig | None, bench: Bench | None
) -> None:
    """Note in the draft objectives that will stay unknown, as far as the evaluator declares its metrics.

    Undeclared metrics are checked at the first evaluation.

    Args:
        draft: The tables.
        parts: The tables of plugins whose options are right.
        constraints: The ``[constraints]`` table; None if something is wrong with it.
        bench: The ``[bench]`` table, if there is one.
    """
    untimed = constraints is not None and constraints.latency is None
    # Whether a space knows the other costs is seen when it is made: networks may be built for them.
    told = {"score", *COSTS} - ({"latency_ms"} if untimed else set())
    doubtful = [(path, n) for path, n in _objectives(draft, parts, bench) if n.removeprefix("-") not in told]
    if not doubtful or (metrics := _metrics(draft, parts)) is None:
        return
    evaluator = parts["evaluator"].plugin.name
    for path, name in doubtful:
        metric = name.removeprefix("-")
        if metric in metrics:
            continue
        if metric == "latency_ms":
            advice = (
                " Set constraints.latency to a table that 'nasforge latency build RECIPE' measured, or to "
                '"measured".'
            )
        else:
            advice = suggest(metric, {"score", *COSTS, *metrics})
        draft.add_error(path, f"{name!r}: evaluator {evaluator!r} reports no {metric!r}.{advice}")


def check_metric_limits(
    draft: Draft, parts: Mapping[str, Part], constraints: ConstraintsConfig | None, bench: Bench | None
) -> None:
    """Note in the draft which limits of ``max_metrics`` the evaluator cannot keep.

    Args:
        draft: The tables.
        parts: The tables of plugins whose options are right.
        constraints: The ``[constraints]`` table; None if something is wrong with it.
        bench: The ``[bench]`` table, if there is one.
    """
    named = constraints.max_metrics if constraints else {}
    limits: list[tuple[Keys, str]] = [(("constraints", "max_metrics", name), name) for name in named]
    for entrant in bench.entrants if bench else ():
        path: Keys = ("bench", "limits", entrant.label, "max_metrics")
        limits += [((*path, name), name) for name in entrant.limits.get("max_metrics", {})]
    evaluators = [parts[table] for table in ("evaluator", "evaluator.base") if table in parts]
    knowing = next((part for part in evaluators if KnownMetrics in part.plugin.provides), None)
    metrics = reported(knowing.config) if knowing else None
    for where, name in limits:
        if knowing is None:
            used = " and ".join(repr(part.plugin.name) for part in evaluators) or "no evaluator"
            draft.add_error(
                where, f"needs an evaluator that knows {name!r} before an evaluation, found {used}."
            )
        elif metrics is not None and name not in metrics:
            draft.add_error(
                where, f"evaluator {knowing.plugin.name!r} knows no {name!r}.{suggest(name, metrics)}"
            )


def objectives_of(config: PluginConfig) -> tuple[str, ...]:
    """Return the objectives that the options of a searcher name; none if it has none.

    Args:
        config: The options.
    """
    return config.objectives if isinstance(config, ObjectivesConfig) else ()


def reported(*configs: PluginConfig) -> frozenset[str] | None:
    """Return the metrics that evaluations have.

    Args:
        configs: The options of an evaluator, and those of the evaluator it builds on.

    Returns:
        None if one of them does not say.
    """
    said = [config.reports() if isinstance(config, EvaluatorConfig) else None for config in configs]
    known = [names for names in said if names is not None]
    return frozenset().union(*known) if len(known) == len(said) else None


def _objectives(draft: Draft, parts: Mapping[str, Part], bench: Bench | None) -> Iterator[tuple[Keys, str]]:
    """Yield every objective with the place where it is written."""
    searcher = parts.get("searcher")
    if searcher is not None:
        yield from ((("searcher", "objectives"), name) for name in objectives_of(searcher.config))
    for entrant in bench.entrants if bench else ():
        path: Keys = ("bench", "options", entrant.label, "objectives")
        inherits = searcher is not None and entrant.plugin == searcher.plugin
        if inherits and draft.table(".".join(path)) is None:
            continue  # it has those of [searcher]
        yield from ((path, name) for name in objectives_of(entrant.config))
    if bench is not None and bench.hypervolume is not None:
        yield from ((("bench", "hypervolume", "objectives"), name) for name in bench.hypervolume.objectives)


def _metrics(draft: Draft, parts: Mapping[str, Part]) -> frozenset[str] | None:
    """Return what the evaluator reports, together with the one it builds on."""
    evaluator, base = parts.get("evaluator"), parts.get("evaluator.base")
    if evaluator is None:
        return None
    builds = evaluator.plugin.requires("evaluator")
    if builds and base is None:
        return None
    try:
        return reported(evaluator.config, *((base.config,) if builds and base else ()))
    except Exception as error:  # a method of a plugin
        draft.add_error(("evaluator",), f"asking what it reports failed: {type(error).__name__}: {error}.")
        return None
