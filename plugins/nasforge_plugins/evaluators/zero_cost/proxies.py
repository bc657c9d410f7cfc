"""All proxies by name."""

from __future__ import annotations

from collections.abc import Mapping

from nasforge_plugins.evaluators.zero_cost.config import ProxyName
from nasforge_plugins.evaluators.zero_cost.correlation import meco
from nasforge_plugins.evaluators.zero_cost.expressivity import zen
from nasforge_plugins.evaluators.zero_cost.flow import synflow
from nasforge_plugins.evaluators.zero_cost.jacobian import epe_nas, jacov
from nasforge_plugins.evaluators.zero_cost.layerwise import expressivity, progressivity, trainability
from nasforge_plugins.evaluators.zero_cost.network import Proxy
from nasforge_plugins.evaluators.zero_cost.patterns import swap
from nasforge_plugins.evaluators.zero_cost.regions import naswot
from nasforge_plugins.evaluators.zero_cost.saliency import fisher, grad_norm, grasp, grasp_fast, plain, snip
from nasforge_plugins.evaluators.zero_cost.size import flops, l2_norm, params
from nasforge_plugins.evaluators.zero_cost.variance import zico

__all__ = ["PROXIES"]

PROXIES: Mapping[ProxyName, Proxy] = {
    "params": params,
    "flops": flops,
    "l2_norm": l2_norm,
    "plain": plain,
    "grad_norm": grad_norm,
    "snip": snip,
    "grasp": grasp,
    "grasp_fast": grasp_fast,
    "fisher": fisher,
    "synflow": synflow,
    "jacov": jacov,
    "epe_nas": epe_nas,
    "naswot": naswot,
    "zen": zen,
    "zico": zico,
    "swap": swap,
    "meco": meco,
    "expressivity": expressivity,
    "progressivity": progressivity,
    "trainability": trainability,
}
"""The function of each proxy."""
