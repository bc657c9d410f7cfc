"""The cells that the published code of each method searches."""

from __future__ import annotations

from collections.abc import Mapping

from nasforge.plugins import CellConventions

__all__ = ["CONVENTIONS"]

CONVENTIONS: Mapping[str, CellConventions] = {
    # quark0/darts, cnn/model_search.py and genotypes.py
    "darts": CellConventions(pool_batch_norm=True, allow_none=True, node_inputs="two"),
    # D-X-Y/AutoDL-Projects, xautodl/models: POOLING and DARTS_SPACE of cell_operations.py,
    # genotype() of cell_searchs/search_model_gdas_nasnet.py
    "gdas": CellConventions(pool_batch_norm=False, allow_none=True, node_inputs="pairs"),
    # yuhuixu1993/PC-DARTS, model_search.py and genotypes.py
    "pc-darts": CellConventions(pool_batch_norm=True, allow_none=True, node_inputs="two"),
    # xiangning-chen/DrNAS, DARTS-space/operations.py: the norm is part of the pool, so model.py has it too
    "drnas": CellConventions(
        pool_batch_norm=True, final_pool_batch_norm=True, allow_none=False, node_inputs="two"
    ),
    # xiaomi-automl/FairDARTS, fairdarts/model_search.py, genotypes.py, and parse() of utils.py
    "fair-darts": CellConventions(pool_batch_norm=True, allow_none=False, node_inputs="threshold"),
    # xiangning-chen/SmoothDARTS, sota/cnn/model_search.py and spaces.py (s5)
    "sdarts": CellConventions(pool_batch_norm=True, allow_none=False, node_inputs="two"),
    # Sunshine-Ye/Beta-DARTS, sota/cnn/model_search.py and spaces.py (s5)
    "beta-darts": CellConventions(pool_batch_norm=True, allow_none=False, node_inputs="two"),
}
"""By name of the searcher; the comments name the published files."""
