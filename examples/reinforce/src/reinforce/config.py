"""Options of the searcher."""

from nasforge.config import BudgetedConfig
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

__all__ = ["ReinforceSearcherConfig"]


class ReinforceSearcherConfig(BudgetedConfig):
    """How long to search, and how fast the policy commits itself."""

    evaluations: PositiveInt = 500
    """How many architectures to evaluate."""

    lr: PositiveFloat = 0.1
    """Learning rate of Adam, which updates the logits of the policy."""

    batch: PositiveInt = 1
    """Architectures per update. Those of one batch can be evaluated at the same time."""

    baseline_decay: float = Field(0.9, ge=0, lt=1)
    """How slowly the baseline, a running mean of the scores, forgets."""

    entropy_weight: NonNegativeFloat = 0.0
    """How much the policy is paid for staying undecided, in units of the score."""
