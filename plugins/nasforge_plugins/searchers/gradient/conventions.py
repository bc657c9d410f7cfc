"""The cells that the published code of each method searches."""

from __future__ import annotations

from collections.abc import Mapping

from nasforge.plugins import CellConventions

__all__ = ["CONVENTIONS"]

CONVENTIONS: Mapping[str, CellConventions] = {
    # quark0/darts, cnn/model_search.py and genotypes.py
    "darts": CellConventions(pool_batch_norm=True, allow_none=True),
    # D-X-Y/AutoDL-Projects, xautodl/models/cell_operations.py: POOLING and DARTS_SPACE
    "gdas": CellConventions(pool_batch_norm=False, allow_none=True),
    # yuhuixu1993/PC-DARTS, model_search.py and genotypes.py
    "pc-darts": CellConventions(pool_batch_norm=True, allow_none=True),
    # xiangning-chen/DrNAS, DARTS-space/operations.py: the norm is part of the pool, so model.py has it too
    "drnas": CellConventions(pool_batch_norm=True, final_pool_batch_norm=True, allow_none=False),
    # xiaomi-automl/FairDARTS, fairdarts/model_search.py and genotypes.py
    "fair-darts": CellConventions(pool_batch_norm=True, allow_none=False),
    # xiangning-chen/SmoothDARTS, sota/cnn/model_search.py and spaces.py (s5)
    "sdarts": CellConventions(pool_batch_norm=True, allow_none=False),
    # Sunshine-Ye/Beta-DARTS, sota/cnn/model_search.py and spaces.py (s5)
    "beta-darts": CellConventions(pool_batch_norm=True, allow_none=False),
}
"""By name of the searcher; the comments name the published files."""
