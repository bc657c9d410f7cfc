"""The check at final depth: the answer of a search against its neighbours, by discrete trainings."""

from nasforge.confirm.race import Heat, Race
from nasforge.confirm.searcher import ConfirmedSearcher
from nasforge.confirm.significance import Verdict, compare

__all__ = ["ConfirmedSearcher", "Heat", "Race", "Verdict", "compare"]
