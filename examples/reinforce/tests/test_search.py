"""The policy finds out which options score high."""

from types import SimpleNamespace
from typing import Any

import pytest
from nasforge.arch import Arch
from nasforge.evaluator import Evaluation
from nasforge.plugins import Registry

from reinforce.config import ReinforceSearcherConfig
from reinforce.searcher import ReinforceSearcher


def wish(arch: Arch) -> float:
    """Score an architecture by how many of its six edges convolve."""
    return 10.0 * sum(option[0] == "nor_conv_3x3" for option in arch.values())


def searched(**options: Any) -> ReinforceSearcher:
    plugin = Registry.discover().get("space", "nasbench201")
    space = plugin.load()(plugin.config())
    searcher = ReinforceSearcher(ReinforceSearcherConfig(evaluations=150, **options))
    searcher.setup(SimpleNamespace(space=space, seed=0, evaluator=None))  # type: ignore[arg-type]
    while not searcher.done:
        arch = searcher.ask()
        searcher.history.append(Evaluation(arch, wish(arch)))
        searcher.tell(searcher.history[-1])
    return searcher


@pytest.mark.parametrize("options", [{}, {"batch": 3}, {"entropy_weight": 0.5}])
def test_the_policy_learns(options: dict[str, Any]) -> None:
    searcher = searched(**options)
    scores = [evaluation.score for evaluation in searcher.history]
    assert sum(scores[-30:]) / 30 > sum(scores[:30]) / 30 + 10
    assert max(searcher.summary()["confidence"].values()) > 0.5


def test_failed_evaluations_teach_nothing() -> None:
    searcher = searched()
    before = [logits.tolist() for logits in searcher.policy.logits]
    searcher.tell(Evaluation(searcher.ask(), float("-inf"), failed="no memory"))
    assert [logits.tolist() for logits in searcher.policy.logits] == before
