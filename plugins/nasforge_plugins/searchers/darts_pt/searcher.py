"""The ``darts-pt`` searcher: train a supernet, then remove what it misses least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import torch
from torch import Tensor

from nasforge.arch import Arch, Choice
from nasforge.component import Context, Work
from nasforge.nn import OptionWeights
from nasforge.seeding import derive_seed
from nasforge.training.loops import RunningScores
from nasforge.training.stopping import Stopped, until_stopped
from nasforge_plugins.searchers.darts_pt.config import DartsPtConfig
from nasforge_plugins.searchers.darts_pt.selection import (
    Score,
    least_missed_edges,
    order_decisions,
    rank_operations,
)
from nasforge_plugins.searchers.gradient.optimizers import weights_sgd
from nasforge_plugins.searchers.gradient.searcher import GradientSearcher
from nasforge_plugins.searchers.gradient.workload import joint_batches

__all__ = ["DartsPt"]


class DartsPt(GradientSearcher[DartsPtConfig]):
    """Perturbation-based selection (Wang et al., ICLR 2021, Algorithm 1), after a search by gradients.

    The supernet is trained as in any gradient search. Then, in random order, every choice of an operation is
    decided for the option whose removal costs the supernet most accuracy on the ``arch`` split; every choice
    of edges loses, one by one, the edge that it misses least. One step is one epoch of the search, or one
    decision per type of cell with the epochs of training after it.
    """

    def setup(self, ctx: Context) -> None:
        """Prepare the search, and draw the order of the decisions."""
        self.decided: dict[str, list[float]] = {}
        self.ranks: dict[str, list[float]] = {}
        super().setup(ctx)
        self.order = order_decisions(self.space, Random(derive_seed(ctx.seed, "darts-pt")))

    @property
    def total_steps(self) -> int:
        """The number of epochs and of steps that decide."""
        return self.config.epochs + len(self.order)

    @property
    def done(self) -> bool:
        """Whether every decision has been made."""
        return not self.searching and self._decisions() == len(self.order)

    def step(self) -> Mapping[str, float]:
        """Make one epoch of the search, or one decision per type of cell.

        Returns:
            As every gradient searcher; after decisions also ``removal_cost``, the share of right answers, in
            percent, that the supernet loses without what was kept (for edges: without those removed), in the
            mean over the decisions.

        Raises:
            Stopped: A stop was requested. A step that decides begins anew when the search resumes.
        """
        if self.searching:
            return super().step()
        try:
            return self._select()
        except Stopped as stop:
            stop.within_step = False  # the decisions of this step are made again
            raise

    def _select(self) -> dict[str, float]:
        cfg = self.config
        if not self.decided:
            self.search_optimizer = weights_sgd(self.search_net.parameters(), cfg.selection.lr, cfg)
        made = self._decisions()
        costs = [
            self._decide_edges(choice) if choice.kind == "edge" else self._decide_operation(choice)
            for choice in self.order[made]
        ]
        metrics = {
            "arch_entropy": self.alpha.entropy(),
            "arch_confidence": self.alpha.confidence(),
        }
        for epoch in range(self._count_epochs(made)):
            metrics = self.train(f"search, decision {made + 1}, epoch {epoch + 1}")
        self.arch = self.derive()
        return {**metrics, "removal_cost": sum(costs) / len(costs)}

    def workload(self) -> Sequence[Work]:
        """Return the work of the search, the passes of the selection, and the epochs after decisions."""
        made, count = self._decisions(), self.batches.count
        left = range(made, len(self.order))
        epochs = sum(self._count_epochs(number) for number in left)
        passes = sum(self._count_scores(choice) for number in left for choice in self.order[number])
        return [
            *super().workload(),
            Work("passes of the selection", passes, lambda: self._score({})),
            joint_batches(self, epochs * min(count("weights"), count("arch"))),
        ]

    def derive(self) -> Arch:
        """Return the decided options; open choices are answered by their weights."""
        return self.space.discretize({**self.alpha.as_lists(), **self.ranks})

    def explain_eager(self) -> str:
        """Return why steps cannot be captured: decisions change what they compute."""
        return "options have been decided" if self.decided else super().explain_eager()

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
            state: The result of `state_dict` in an earlier process.
        """
        super().load_state_dict(state)
        self.decided = {name: list(values) for name, values, _ in state["decided"]}
        self.ranks = {name: list(values) for name, _, values in state["decided"]}

    def _decisions(self) -> int:
        """Return how many steps of the selection have been made."""
        return sum(all(choice.name in self.decided for choice in together) for together in self.order)

    def _count_epochs(self, made: int) -> int:
        """Return the epochs after a step of the selection; the published code trains one after its last."""
        options, left = self.config.selection, len(self.order) - 1 - made
        if left == 0:
            return min(1, options.epochs)
        has_edges = any(choice.kind == "edge" for together in self.order for choice in together)
        early = options.early_end and left == 1 and not has_edges
        return max(0, options.epochs - early)

    def _count_scores(self, choice: Choice) -> int:
        """Return how often the supernet is scored to decide a choice."""
        count = len(choice.options)
        return 1 + (count if choice.kind != "edge" else sum(range(choice.k + 1, count + 1)) + 1)

    def _decide_operation(self, choice: Choice) -> float:
        """Keep the option without which the supernet is worst."""
        count = len(choice.options)
        whole, _ = self._score({})
        found = [self._score({choice.name: _without(count, [i])}) for i in range(count)]
        best_first = rank_operations([self._compared(*pair) for pair in found])
        self.decided[choice.name] = [float(i == best_first[0]) for i in range(count)]
        # A space may never take the kept option ("none"): then the next one is meant.
        self.ranks[choice.name] = [1.0 - best_first.index(i) / count for i in range(count)]
        return whole - found[best_first[0]][0]

    def _decide_edges(self, choice: Choice) -> float:
        """Remove edges one by one, always that without which the supernet is best."""
        count, options = len(choice.options), self.config.selection
        whole, _ = self._score({})

        def score(removed: Sequence[int]) -> Score:
            return self._compared(*self._score({choice.name: _without(count, removed)}))

        gone = least_missed_edges(
            count, choice.k, score, restart=options.restart, last_first=options.by_position
        )
        self.decided[choice.name] = self.ranks[choice.name] = _without(count, gone)
        return whole - self._score({})[0]

    def _compared(self, accuracy: float, loss: float) -> Score:
        """Return what decides, higher being better: the criterion, then the other measure for ties."""
        by_loss = self.config.selection.criterion == "loss"
        score = (-loss, accuracy) if by_loss else (accuracy, -loss)
        return score[:1] if self.config.selection.by_position else score

    def _weighed(self, name: str, mask: Sequence[float]) -> Tensor:
        """Return a decided choice's weights; averaged edges keep theirs, learned ones are averaged."""
        values = torch.tensor(mask, device=self.runtime.device)
        if name in self.constant_weights:
            return values * self.constant_weights[name]
        return values / values.sum() if name in self.alpha.logits else values

    @torch.no_grad()
    def _score(self, masks: Mapping[str, Sequence[float]]) -> tuple[float, float]:
        """Return accuracy in percent and loss on the arch split, under masked option weights.

        Args:
            masks: Zeros for what is removed, by choice name.
        """
        weights = self.compute_mean_weights()
        for name, mask in masks.items():
            factor = torch.tensor(mask, device=self.runtime.device)
            weights[name] = factor * weights[name] if name in weights else factor
        return self._measure(weights)

    def _measure(self, weights: OptionWeights) -> tuple[float, float]:
        """Score with the statistics of each batch: those that were collected belong to other weights.

        Every option of a decision sees the same images, in the order of a training pass: batches of images
        that are stored class by class would have the statistics of one class.
        """
        self.search_net.train()
        buffers = [(buffer, buffer.clone()) for buffer in self.search_net.buffers()]
        scores = RunningScores("search, selection")
        for images, labels in until_stopped(self.batches.read("arch", self.epoch)):
            logits = self.run(images, weights).logits.float()
            scores.add(torch.nn.functional.cross_entropy(logits, labels), logits, labels)
        for buffer, before in buffers:
            buffer.copy_(before)
        loss, accuracy = self.runtime.shards.agreed(scores.read())  # as rank 0 has measured it
        return accuracy, loss


def _without(count: int, removed: Sequence[int]) -> list[float]:
    return [float(i not in removed) for i in range(count)]
