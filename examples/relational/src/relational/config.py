"""Options of the distiller."""

from nasforge.config import PluginConfig
from pydantic import Field, NonNegativeFloat, model_validator

__all__ = ["RelationalDistillerConfig"]


class RelationalDistillerConfig(PluginConfig):
    """What counts, and how much."""

    distance_weight: NonNegativeFloat = 1.0
    """Weight of the distances between two images; the authors' example command sets 1."""

    angle_weight: NonNegativeFloat = 2.0
    """Weight of the angles between three images; the authors' example command sets 2."""

    logits_weight: NonNegativeFloat = 0.0
    """Weight of the squared distance of the logits, beside the relations."""

    angle_images: int = Field(64, ge=3)
    """Images of a batch whose angles are compared, from its start: their number grows with the cube."""

    detach_teacher: bool = True
    """Teach the student only; false lets two networks that learn together meet halfway."""

    @model_validator(mode="after")
    def _compares_something(self) -> "RelationalDistillerConfig":
        if not (self.distance_weight or self.angle_weight or self.logits_weight):
            raise ValueError("all weights are 0, so that nothing is compared: set one above 0")
        return self
