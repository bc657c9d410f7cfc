"""Cells of the literature by name."""

from __future__ import annotations

from nasforge_plugins.spaces.darts.genotype import Genotype
from nasforge_plugins.spaces.darts.node_rules import Node

__all__ = ["ALIASES", "PUBLISHED"]

_SHORT = {
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "skip": "skip_connect",
    "sep3": "sep_conv_3x3",
    "sep5": "sep_conv_5x5",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
}


def _cell(text: str) -> tuple[Node, ...]:
    """Read four nodes, two spaces between them; a node without operations is a dot."""
    nodes = ([pair.split(":") for pair in node.split() if pair != "."] for node in text.split("  "))
    return tuple(tuple((_SHORT[operation], int(source)) for operation, source in node) for node in nodes)


PUBLISHED: dict[str, Genotype] = {
    name: Genotype(_cell(normal), _cell(reduce))
    for name, (normal, reduce) in {
        # Liu et al., DARTS (arXiv 1806.09055): first and second order
        "DARTS_V1": (
            "sep3:1 sep3:0  skip:0 sep3:1  skip:0 sep3:1  sep3:0 skip:2",
            "max:0 max:1  skip:2 max:0  max:0 skip:2  skip:2 avg:0",
        ),
        "DARTS_V2": (
            "sep3:0 sep3:1  sep3:0 sep3:1  sep3:1 skip:0  skip:0 dil3:2",
            "max:0 max:1  skip:2 max:1  max:0 skip:2  skip:2 max:1",
        ),
        # Xu et al., PC-DARTS (arXiv 1907.05737), searched on CIFAR-10
        "PC_DARTS_cifar": (
            "sep3:1 skip:0  sep3:0 dil3:1  sep5:0 sep3:1  avg:0 dil3:1",
            "sep5:1 max:0  sep5:1 sep5:2  sep3:0 sep3:3  sep3:1 sep3:2",
        ),
        # Yu et al., CDARTS (arXiv 2006.10724)
        "CDARTS_cifar": (
            "sep3:0 sep3:1  sep3:1 sep3:2  sep3:0 sep3:1  skip:0 skip:2",
            "sep5:1 max:0  dil5:2 skip:0  sep3:0 sep5:1  sep3:0 dil5:2",
        ),
        "CDARTS_imagenet": (
            "sep3:1 sep3:0  sep3:0 sep5:2  sep5:2 sep3:1  sep3:1 sep5:4",
            "sep5:1 avg:0  max:1 dil5:2  sep5:1 dil5:2  sep3:3 dil3:4",
        ),
        # Dong and Yang, GDAS (arXiv 1910.04465): D-X-Y/AutoDL-Projects, xautodl/nas_infer_model
        "GDAS_V1": (
            "skip:0 skip:1  skip:0 sep5:2  sep3:3 skip:0  sep5:4 sep3:3",
            "sep5:0 sep3:1  sep5:2 sep5:1  dil5:2 sep3:1  sep5:0 sep5:1",
        ),
        # Chu et al., FairDARTS (arXiv 1911.12126): xiaomi-automl/FairDARTS, fairdarts/genotypes.py
        "FairDARTS_a": (
            "sep3:0 sep5:1  .  max:0  sep3:0",
            "max:0 avg:1  avg:0 dil5:1  avg:0 sep5:1  skip:0 skip:1",
        ),
        "FairDARTS_b": (
            "sep3:0 sep3:1  sep3:1  dil3:0 sep5:1  dil5:1",
            "skip:0 dil3:1  skip:0 dil3:1  max:0 sep3:1  skip:2 max:0",
        ),
    }.items()
}
"""Genotypes by the name their authors gave them."""

ALIASES = {"DARTS": "DARTS_V2", "PC_DARTS": "PC_DARTS_cifar", "CDARTS": "CDARTS_cifar"}
"""Shorter names, which mean the cells searched on CIFAR-10."""
