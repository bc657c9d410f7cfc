"""The check at final depth: the answer of a search against its neighbours, by discrete trainings."""

from nasforge.confirm.race import Race, Trial
from nasforge.confirm.searcher import ConfirmedSearcher
from nasforge.confirm.significance import Comparison, compare

__all__ = ["Comparison", "ConfirmedSearcher", "Race", "Trial", "compare"]
