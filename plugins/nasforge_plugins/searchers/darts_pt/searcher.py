"""The ``darts-pt`` searcher: train a supernet, then ask it what it can do without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import torch
from torch import Tensor

from nasforge.arch import Arch, Choice
from nasforge.component import Context
from nasforge.nn import OptionWeights
from nasforge.seeding import derive_seed
from nasforge.training.loops import RunningScores, cosine_lr, set_lr
from nasforge_plugins.searchers.darts_pt.config import DartsPtConfig
from nasforge_plugins.searchers.gradient.optimizers import weights_sgd
from nasforge_plugins.searchers.gradient.searcher import GradientSearcher

__all__ = ["DartsPt"]


class DartsPt(GradientSearcher[DartsPtConfig]):
    """Perturbation-based selection (Wang et al., ICLR 2021, Algorithm 1), after a search by gradients.

    The supernet is trained as in any gradient search. Then, in random order, every choice of an operation is
    decided for the option whose removal costs the supernet most accuracy on the ``arch`` split; every choice
    of edges loses, one by one, the edge that it misses least. After each decision the supernet trains on.
    One step is one epoch of the search, or one decision with the epochs after it.
    """

    def setup(self, ctx: Context) -> None:
        """Prepare the search, and draw the order of the decisions."""
        self.decided: dict[str, list[float]] = {}
        self.ranks: dict[str, list[float]] = {}
        super().setup(ctx)
        rng = Random(derive_seed(ctx.seed, "darts-pt"))
        operations = [c for c in self.space.choices if c.kind == "op" and len(c.options) > 1]
        edges = [c for c in self.space.choices if c.kind == "edge" and len(c.options) > c.k]
        self.order: tuple[Choice, ...] = (
            *rng.sample(operations, len(operations)),
            *rng.sample(edges, len(edges)),
        )

    @property
    def total_steps(self) -> int:
        """The number of epochs and decisions."""
        return self.config.epochs + len(self.order)

    @property
    def done(self) -> bool:
        """Whether every decision has been made."""
        return not self.searching and len(self.decided) == len(self.order)

    def step(self) -> Mapping[str, float]:
        """Make one epoch of the search, or one decision.

        Returns:
            As every gradient searcher; after a decision also ``removal_cost``, the share of right answers, in
            percent, that the supernet loses without what was kept (for edges: without the last one removed).
        """
        cfg = self.config
        if self.searching:
            return super().step()
        if not self.decided:
            self.search_optimizer = weights_sgd(self.search_net.parameters(), cfg.tune_lr, cfg)
        made = len(self.decided)
        choice = self.order[made]
        cost = self._decide_edges(choice) if choice.kind == "edge" else self._decide_operation(choice)
        metrics: Mapping[str, float] = {
            "arch_entropy": self.alpha.entropy(),
            "arch_confidence": self.alpha.confidence(),
        }
        for epoch in range(cfg.tune_epochs):
            done, total = made * cfg.tune_epochs + epoch, len(self.order) * cfg.tune_epochs
            lr = cosine_lr(done, total, cfg.tune_lr, min(cfg.min_lr, cfg.tune_lr))
            set_lr(self.search_optimizer, lr)
            metrics = self.train(f"search, decision {made + 1}, epoch {epoch + 1}")
        self.arch = self.derive()
        return {**metrics, "removal_cost": cost}

    def derive(self) -> Arch:
        """Return the decided options; open choices are answered by their weights."""
        return self.space.discretize({**self.alpha.as_lists(), **self.ranks})

    def get_fixed_weights(self) -> dict[str, Tensor]:
        """Return the option weights that are not learned: those of averaged edges and decided choices."""
        decided = {name: self._weighed(name, values) for name, values in self.decided.items()}
        return {**self.constant_weights, **decided}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the search, and the decisions in the order they were made."""
        return {
            **super().state_dict(),
            "decided": [[name, values, self.ranks[name]] for name, values in self.decided.items()],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, after `setup`.

        Args:
            state: What `state_dict` returned in an earlier process.
        """
        super().load_state_dict(state)
        self.decided = {name: list(values) for name, values, _ in state["decided"]}
        self.ranks = {name: list(values) for name, _, values in state["decided"]}

    def _decide_operation(self, choice: Choice) -> float:
        """Keep the option without which the supernet is worst."""
        count = len(choice.options)
        whole = self._score({})
        scores = [self._score({choice.name: _without(count, [i])}) for i in range(count)]
        best_first = sorted(range(count), key=lambda i: (scores[i], i))
        self.decided[choice.name] = [float(i == best_first[0]) for i in range(count)]
        # A space may never take the kept option ("none"): then the next one is meant.
        self.ranks[choice.name] = [1.0 - best_first.index(i) / count for i in range(count)]
        return whole[0] - scores[best_first[0]][0]

    def _decide_edges(self, choice: Choice) -> float:
        """Remove edges one by one, always that without which the supernet is best."""
        count, gone = len(choice.options), list[int]()
        whole = self._score({})
        left = whole
        while count - len(gone) > choice.k:
            kept = [i for i in range(count) if i not in gone]
            scores = {i: self._score({choice.name: _without(count, [*gone, i])}) for i in kept}
            worst = max(scores, key=lambda i: (scores[i], -i))
            gone.append(worst)
            left = scores[worst]
        self.decided[choice.name] = self.ranks[choice.name] = _without(count, gone)
        return whole[0] - left[0]

    def _weighed(self, name: str, mask: Sequence[float]) -> Tensor:
        """Return a decided choice's weights; averaged edges keep theirs, learned ones are averaged."""
        values = torch.tensor(mask, device=self.runtime.device)
        if name in self.constant_weights:
            return values * self.constant_weights[name]
        return values / values.sum() if name in self.alpha.logits else values

    @torch.no_grad()
    def _score(self, masks: Mapping[str, Sequence[float]]) -> tuple[float, float]:
        """Return accuracy in percent and minus the loss on the arch split, under masked option weights.

        Args:
            masks: Zeros for what is removed, by choice name.
        """
        weights = self.compute_mean_weights()
        for name, mask in masks.items():
            factor = torch.tensor(mask, device=self.runtime.device)
            weights[name] = factor * weights[name] if name in weights else factor
        return self._measure(weights)

    def _measure(self, weights: OptionWeights) -> tuple[float, float]:
        self.search_net.eval()
        scores = RunningScores("search, selection")
        for images, labels in self.batches.read("arch", augment=False):
            logits = self.run(images, weights).logits.float()
            scores.add(torch.nn.functional.cross_entropy(logits, labels), logits, labels)
        loss, accuracy = scores.read()
        return accuracy, -loss


def _without(count: int, removed: Sequence[int]) -> list[float]:
    return [float(i not in removed) for i in range(count)]
