"""Options of the evaluator."""

from pydantic import PositiveInt

from nasforge.config import EvaluatorConfig

__all__ = ["TemplateEvaluatorConfig"]


class TemplateEvaluatorConfig(EvaluatorConfig):
    """Images that the score is measured on."""

    batches: PositiveInt = 1
    """Batches of training images to look at; a searcher's budget replaces it."""

    batch_size: PositiveInt = 16
    """Images per batch."""

    def reports(self) -> frozenset[str]:
        """Return the names of the metrics in an evaluation, so that other objectives are refused at once."""
        return frozenset({"gradient_norm"})
