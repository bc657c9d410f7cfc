"""Options of the ``zero-cost`` evaluator."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from nasforge.config import EvaluatorConfig

__all__ = ["ProxyName", "ZeroCostConfig"]

ProxyName = Literal[
    "params",
    "flops",
    "l2_norm",
    "plain",
    "grad_norm",
    "snip",
    "grasp",
    "grasp_fast",
    "fisher",
    "synflow",
    "jacov",
    "epe_nas",
    "naswot",
    "zen",
    "zico",
    "swap",
    "meco",
    "expressivity",
    "progressivity",
    "trainability",
]


class ZeroCostConfig(EvaluatorConfig):
    """Options of the proxies and of their images."""

    proxies: tuple[ProxyName, ...] = Field(("naswot",), min_length=1)
    """Proxies to compute; all of them are in the metrics. The first one is the score, unless `aggregate` says
    otherwise."""

    aggregate: Literal["first", "rank", "log_rank"] = "first"
    """"rank" scores by the mean place that the proxies give an architecture among `reference` random ones:
    0 is behind, 1 before all of them. "log_rank" adds the logarithms of the shares of them that it is not
    behind (AZ-NAS, with its proxies "expressivity", "progressivity", "trainability" and "flops")."""

    reference: int = Field(32, ge=2)
    """How many architectures are drawn from the run's seed to compare with; not for "first". They are scored
    once, before the first evaluation."""

    batch_size: PositiveInt = 64
    """Images per batch, of split `weights`; no more than there are."""

    batches: PositiveInt = 1
    """Over how many batches to average. A searcher's budget replaces it."""

    zen_draws: PositiveInt = 1
    """Over how many draws of weights and images `zen` averages. Published: 32."""

    swap_draws: PositiveInt = 1
    """Over how many draws of weights `swap` averages. Published: 32."""

    swap_size: tuple[PositiveFloat, PositiveFloat] | None = None
    """Mean m and spread s of the regularised `swap`, in thousands of parameters: the score is multiplied with
    exp(-(parameters - m)² / s). Unset, it is not regularised."""

    scale: Literal["final", "eval", "search"] = "final"
    """Network of the space to look at: "final" is the one that would be trained from scratch."""

    @field_validator("proxies", mode="before")
    @classmethod
    def _renamed(cls, proxies: object) -> object:
        if isinstance(proxies, list | tuple) and "grasp_exact" in proxies:
            raise ValueError("'grasp_exact' is called 'grasp' now, and the faster approximation 'grasp_fast'")
        return proxies

    @field_validator("proxies")
    @classmethod
    def _once(cls, proxies: tuple[ProxyName, ...]) -> tuple[ProxyName, ...]:
        if len(set(proxies)) != len(proxies):
            raise ValueError(f"each proxy is listed once; got {list(proxies)}")
        return proxies

    def reports(self) -> frozenset[str]:
        """Return the proxies that are computed, and the size of the network."""
        return frozenset({*self.proxies, "params", "macs"})
