"""The ``zero-cost`` evaluator: what an architecture promises before it is trained."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from functools import partial
from random import Random
from typing import Any, cast

from torch import Tensor

from nasforge.arch import Arch
from nasforge.component import Context, Work
from nasforge.cost import measure, plainly_computed
from nasforge.errors import RunError
from nasforge.evaluator import Effort, Evaluation, ParallelEvaluator
from nasforge.nn import Network
from nasforge.seeding import derive_seed
from nasforge.space import NetworkSpace
from nasforge.training.loops import isolated_random
from nasforge_plugins.evaluators.zero_cost.config import ProxyName, ZeroCostConfig
from nasforge_plugins.evaluators.zero_cost.expressivity import zen
from nasforge_plugins.evaluators.zero_cost.network import Proxy
from nasforge_plugins.evaluators.zero_cost.patterns import swap
from nasforge_plugins.evaluators.zero_cost.proxies import PROXIES
from nasforge_plugins.evaluators.zero_cost.ranking import log_rank, mean_place

__all__ = ["ZeroCost"]


class ZeroCost(ParallelEvaluator[ZeroCostConfig]):
    """Scores an architecture by proxies of its untrained network, in a second or so.

    The score is a pure function of seed and architecture: fresh weights are drawn for each from a seed of its
    own, and all see the same images. So is the rank of several proxies, because it compares with the same
    random architectures for the whole run, not with what a search has met so far.
    """

    def setup(self, ctx: Context) -> None:
        """Prepare; images are read when the first architecture comes."""
        super().setup(ctx)
        assert ctx.data is not None, "the recipe check requires a [data] table"
        self._data = ctx.data
        self._space = plainly_computed(cast("NetworkSpace[Any]", ctx.space))
        self._stream = self._read()
        self._batches: list[tuple[Tensor, Tensor]] = []
        self._reference: list[dict[str, float]] | None = None

    def prepare(self) -> None:
        """Score the architectures to compare with; see `evaluate` for errors."""
        if self.config.aggregate != "first":
            self._others()

    def evaluate(self, arch: Arch, *, budget: int | None = None) -> Evaluation:
        """Compute the proxies of one architecture.

        Args:
            arch: The architecture.
            budget: Batches to average over; None takes the option ``batches``.

        Returns:
            See the option ``aggregate`` for the score. Metrics: every proxy by name, ``params``, ``macs``.

        Raises:
            RunError: A proxy is not finite.
            DataError: The images cannot be read.
        """
        started = time.perf_counter()
        values = self.proxies(arch, budget)
        score = values[self.config.proxies[0]]
        if self.config.aggregate != "first":
            aggregate = {"rank": mean_place, "log_rank": log_rank}[self.config.aggregate]
            score = aggregate(values, self._others())
        cost = measure(self._network(arch), self._data.task)
        metrics = {**values, "params": float(cost.params), "macs": float(cost.macs)}
        return Evaluation(arch, score, time.perf_counter() - started, metrics)

    def preparation(self) -> Sequence[Work]:
        """Return the architectures to compare with."""
        if self.config.aggregate == "first":
            return ()
        rng = Random(derive_seed(self.ctx.seed, "forecast", "reference"))
        known = self.ctx.slot("zero-cost-reference").load() or {"rows": []}
        left = self.config.reference - len(known["rows"])
        return [Work("reference architectures", left, lambda: self.proxies(self._space.sample(rng)))]

    def workload(self, arch: Arch, effort: Effort) -> Sequence[Work]:
        """Return an evaluation without its comparison."""

        def run() -> None:
            self.proxies(arch, effort.budget)
            measure(self._network(arch), self._data.task)

        return [Work("evaluations by proxies", 1, run)]

    def proxies(self, arch: Arch, budget: int | None = None) -> dict[str, float]:
        """Return the proxies of the option ``proxies`` by name; see `evaluate` for arguments and errors."""
        network = self._network(arch)
        batches = self._first(self.config.batches if budget is None else budget)
        values = {}
        for name in self.config.proxies:
            seed = derive_seed(self.ctx.seed, "zero-cost", name, arch.key)
            with isolated_random(self.ctx.runtime.device, seed):
                found = [self._compute(name)(network, images, labels) for images, labels in batches]
            values[str(name)] = sum(found) / len(found)
            if not math.isfinite(values[name]):
                raise RunError(
                    f"evaluator 'zero-cost': proxy {name!r} of {self._space.notation(arch)} is "
                    f"{values[name]}. Leave it out of evaluator.proxies."
                )
        return values

    def _compute(self, name: ProxyName) -> Proxy:
        cfg = self.config
        if name == "zen":
            return partial(zen, draws=cfg.zen_draws)
        return partial(swap, draws=cfg.swap_draws, size=cfg.swap_size) if name == "swap" else PROXIES[name]

    def _network(self, arch: Arch) -> Network:
        seed = derive_seed(self.ctx.seed, "zero-cost", arch.key)
        with isolated_random(self.ctx.runtime.device, seed):
            network = self._space.build(self._data.task, arch, self.config.scale)
        return self.ctx.runtime.prepare(network)

    def _others(self) -> list[dict[str, float]]:
        if self._reference is None:
            slot = self.ctx.slot("zero-cost-reference")
            state = slot.load() or {"rows": []}
            rows: list[dict[str, float]] = list(state["rows"])
            rng = Random(derive_seed(self.ctx.seed, "zero-cost", "reference"))
            for i in range(self.config.reference):
                arch = self._space.sample(rng)
                if i >= len(rows):
                    rows.append(self.proxies(arch))
                    self.ctx.report({"prepared": (i + 1) / self.config.reference, "reference": i + 1})
            if len(rows) > len(state["rows"]):
                slot.save({"rows": rows})
            self._reference = rows
        return self._reference

    def _first(self, count: int) -> list[tuple[Tensor, Tensor]]:
        while len(self._batches) < count:
            images, labels = next(self._stream)
            self._batches.append((self.ctx.runtime.prepare_images(images), labels))
        return self._batches[:count]

    def _read(self) -> Iterator[tuple[Tensor, Tensor]]:
        size = min(self.config.batch_size, self._data.sizes()["weights"])
        epoch = 0
        while True:
            yield from self._data.batches("weights", epoch=epoch, batch_size=size)
            epoch += 1
