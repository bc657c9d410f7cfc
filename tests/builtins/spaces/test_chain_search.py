"""CDARTS on the chain space: with its own distiller, resumed bit for bit, also with shared weights."""

import pytest

from nasforge.plugins import Registry
from nasforge.testing import Partners, checks_for


@pytest.mark.parametrize("elastic", [False, True])
def test_cdarts_searches_the_chain_and_resumes_exactly(elastic):
    registry = Registry.discover()
    few = {"search_width": 0.5, "depths": (1, 1, 2, 1, 1), "widths": (16,) * 5, "elastic": elastic}

    def make(kind, name, **options):
        plugin = registry.get(kind, name)
        return plugin.load()(plugin.config(**{**plugin.tiny, **options}))

    partners = Partners(
        space=lambda: make("space", "chain", **few),
        distiller=lambda: make("distiller", "stages"),
    )
    searcher = registry.get("searcher", "cdarts")
    checks = {c.name: c for c in checks_for(searcher, partners=partners)}
    checks["resuming_equals_not_stopping"]()
    checks["best_is_valid_after_every_step"]()
