"""The searcher: a policy gradient over architectures."""

from collections.abc import Mapping
from typing import Any

import torch
from nasforge.arch import Arch
from nasforge.component import Context
from nasforge.evaluator import Evaluation
from nasforge.searcher import AskTellSearcher

from reinforce.config import ReinforceSearcherConfig
from reinforce.policy import Policy

__all__ = ["ReinforceSearcher"]


class ReinforceSearcher(AskTellSearcher[ReinforceSearcherConfig]):
    """REINFORCE (Williams, 1992) with a running mean of the scores as baseline.

    There is no recurrent controller as in Zoph and Le (ICLR 2017): every choice has logits of its own.

    Nothing is saved: a resumed search tells `tell` all evaluations again, which makes the same policy.
    """

    def setup(self, ctx: Context) -> None:
        """Start with a policy that knows nothing."""
        super().setup(ctx)
        self.evaluations = self.config.evaluations
        self.policy = Policy(ctx.space.choices)
        self.optimizer = torch.optim.Adam(self.policy.parameters(), lr=self.config.lr)
        self._told: list[Evaluation] = []
        self._sum = self._weight = 0.0

    def ask(self) -> Arch:
        """Draw an architecture from the policy."""
        return self.policy.draw(self.rng)

    def asks_ahead(self) -> bool:
        """Return whether the policy stays as it is until the next proposal."""
        return self.proposed % self.config.batch != 0

    def tell(self, result: Evaluation) -> None:
        """Update the policy once a batch is complete; failed evaluations teach nothing."""
        self._told.append(result)
        if len(self._told) < self.config.batch:
            return
        scored, self._told = [e for e in self._told if not e.failed], []
        if not scored:
            return
        mean = sum(e.score for e in scored) / len(scored)
        decay = self.config.baseline_decay
        self._sum = decay * self._sum + (1 - decay) * mean
        self._weight = decay * self._weight + (1 - decay)
        baseline = self._sum / self._weight
        gains = [self.policy.log_prob(e.arch) * (e.score - baseline) for e in scored]
        loss = -torch.stack(gains).mean() - self.config.entropy_weight * self.policy.entropy()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def summary(self) -> Mapping[str, Any]:
        """Return how sure the policy is at the end: the probability of the likeliest option, by choice."""
        with torch.no_grad():
            sure = [float(logits.softmax(0).max()) for logits in self.policy.logits]
        return {"confidence": dict(zip((c.name for c in self.policy.choices), sure, strict=True))}
