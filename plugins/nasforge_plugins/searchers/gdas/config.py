"""Options of GDAS."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from nasforge_plugins.searchers.gradient.config import GradientConfig

__all__ = ["GdasConfig"]


class GdasConfig(GradientConfig):
    """The search of Dong and Yang (CVPR 2019): Gumbel noise draws one option per choice and batch."""

    relaxation: Literal["softmax", "gumbel", "dirichlet", "sigmoid"] = "gumbel"
    """How the weights of options are made: one is drawn per batch, with Gumbel noise."""

    epochs: PositiveInt = 250
    """Passes over the weights split; one is one step."""
