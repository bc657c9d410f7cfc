"""Options of the searcher."""

from pydantic import Field, PositiveInt

from nasforge.config import BudgetedConfig

__all__ = ["TemplateSearcherConfig"]


class TemplateSearcherConfig(BudgetedConfig):
    """How long to search, and how bold to be."""

    evaluations: PositiveInt = 200
    """How many architectures to evaluate."""

    restart_share: float = Field(0.1, ge=0, le=1)
    """Share of the proposals that are drawn at random instead of being neighbours of the best."""
