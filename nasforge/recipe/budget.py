"""The budget of a search in a bench: evaluations, their cost in seconds, or CPU time."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["Budget"]

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Budget:
    """The budget of one run of a searcher.

    Attributes:
        unit: The counted unit: calls of the evaluator, the seconds that it reports as their cost, or the
            CPU time of the search.
        amount: How much of it.
    """

    unit: Literal["evaluations", "seconds", "cpu seconds"]
    amount: float

    @classmethod
    def parse(cls, text: int | str) -> Budget:
        """Read ``150``, ``"150 evaluations"``, ``"20000 s"``, ``"5.5 h"`` or ``"30 cpu min"``.

        Raises:
            ValueError: It is none of these, infinite, or not even one evaluation.
        """
        found = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\d+)?)\s*(cpu )?\s*([a-z]*)", str(text).strip())
        unit = found[3] if found else ""
        kind: Literal["evaluations", "seconds", "cpu seconds"]
        if found and not found[2] and unit in ("", "evaluations") and float(found[1]).is_integer():
            amount, kind = float(found[1]), "evaluations"
        elif found and (scale := _UNITS.get("s" if unit == "seconds" else unit)):
            amount, kind = float(found[1]) * scale, "cpu seconds" if found[2] else "seconds"
        else:
            raise ValueError(
                'must be a number of evaluations, or a time such as "20000 s", "5.5 h" or "30 cpu min"'
            )
        if math.isinf(amount):
            raise ValueError("must be a finite amount")
        if amount <= 0 or (kind == "evaluations" and amount < 1):
            raise ValueError("must be one evaluation or more")
        return cls(kind, amount)

    def __str__(self) -> str:
        return f"{self.amount:.10g} {self.unit}"
