"""The pattern of the guide for searchers that draw random numbers when they are told a result."""

import math
from random import Random

import pytest

from nasforge.config import BudgetedConfig
from nasforge.searcher import AskTellSearcher
from nasforge.seeding import derive_seed
from support.toy_table import Table, resumed_after_every_step, run, searcher_context


class Annealing(AskTellSearcher[BudgetedConfig]):
    """Simulated annealing (Kirkpatrick, Gelatt and Vecchi, Science 220, 1983)."""

    own = True

    def setup(self, ctx):
        super().setup(ctx)
        self.evaluations, self.current = 60, None
        self.coin = Random(derive_seed(ctx.seed, "coin"))

    def ask(self):
        if self.current is None:
            return self.ctx.space.sample(self.rng)
        return self.ctx.space.mutate(self.current.arch, self.rng)

    def tell(self, result):
        heat = 3.0 * (1 - len(self.history) / self.evaluations) + 1e-9
        draw = (self.coin if self.own else self.rng).random()
        if self.current is None or draw < math.exp(min(0.0, (result.score - self.current.score) / heat)):
            self.current = result


class Careless(Annealing):
    own = False


def made(cls):
    searcher = cls(BudgetedConfig())
    searcher.setup(searcher_context(Table(), seed=3))
    return searcher


def test_a_generator_for_tell_resumes_exactly(tmp_path):
    whole = run(made(Annealing))
    worse = [b.score < a.score for a, b in zip(whole.history, whole.history[1:], strict=False)]
    assert any(worse)
    assert resumed_after_every_step(lambda: made(Annealing), tmp_path).history == whole.history


@pytest.mark.xfail(reason="draws from the generator of ask in tell", strict=True)
def test_the_generator_of_ask_does_not(tmp_path):
    assert resumed_after_every_step(lambda: made(Careless), tmp_path).history == run(made(Careless)).history
