"""The searchers that differ from DARTS in their defaults only: a row for each."""

from nasforge.plugins import Plugin, hookimpl
from nasforge.space import NetworkSpace
from nasforge_plugins.searchers.gradient.config import ROWS, GradientConfig
from nasforge_plugins.searchers.gradient.conventions import CONVENTIONS


@hookimpl
def nasforge_plugins() -> list[Plugin]:
    """Return a searcher for each row."""
    return [
        Plugin(
            "searcher",
            name,
            "nasforge_plugins.searchers.gradient.searcher:GradientSearcher",
            GradientConfig.with_defaults(f"{name.title().replace('-', '')}Config", about, defaults),
            summary,
            needs=frozenset({"data", NetworkSpace}),
            conventions=CONVENTIONS[name],
            tiny={"epochs": 3, "warmup_epochs": 1, "partial_channels": 1},
        )
        for name, (summary, about, defaults) in ROWS.items()
    ]
