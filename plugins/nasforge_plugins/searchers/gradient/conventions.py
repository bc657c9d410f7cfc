"""The cells that the published code of each method searches."""

from __future__ import annotations

from collections.abc import Mapping

from nasforge.plugins import CellConventions

__all__ = ["CONVENTIONS"]

CONVENTIONS: Mapping[str, CellConventions] = {
    # quark0/darts, cnn/model_search.py, MixedOp
    "darts": CellConventions(pool_batch_norm=True),
    # D-X-Y/AutoDL-Projects, xautodl/models/cell_operations.py, POOLING
    "gdas": CellConventions(pool_batch_norm=False),
    # yuhuixu1993/PC-DARTS, model_search.py, MixedOp
    "pc-darts": CellConventions(pool_batch_norm=True),
    # xiangning-chen/DrNAS, DARTS-space/operations.py: the norm is part of the pool, so model.py has it too
    "drnas": CellConventions(pool_batch_norm=True, final_pool_batch_norm=True),
    # xiaomi-automl/FairDARTS, fairdarts/model_search.py, MixedOp
    "fair-darts": CellConventions(pool_batch_norm=True),
    # xiangning-chen/SmoothDARTS, sota/cnn/model_search.py, MixedOp
    "sdarts": CellConventions(pool_batch_norm=True),
    # Sunshine-Ye/Beta-DARTS, sota/cnn/model_search.py, MixedOp
    "beta-darts": CellConventions(pool_batch_norm=True),
}
"""By name of the searcher; the comments name the published file."""
