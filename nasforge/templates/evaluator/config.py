"""Options of the evaluator."""

from pydantic import PositiveInt

from nasforge.config import PluginConfig

__all__ = ["TemplateEvaluatorConfig"]


class TemplateEvaluatorConfig(PluginConfig):
    """What the score is measured on."""

    batches: PositiveInt = 1
    """Batches of training images to look at; a searcher's budget replaces it."""

    batch_size: PositiveInt = 16
    """Images per batch."""
