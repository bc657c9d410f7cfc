"""The work of a search by gradients, for the forecast of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from nasforge.arch import Arch
from nasforge.component import Work
from nasforge.data import Split
from nasforge.evaluator import sample_allowed
from nasforge.training.shards import step_in_shards
from nasforge_plugins.searchers.gradient.batches import Batch

if TYPE_CHECKING:
    from nasforge_plugins.searchers.gradient.supernet import SupernetSearcher

__all__ = ["endless", "joint_batches", "supernet_work"]

TWINS = 2
"""Number of random architectures whose evaluation network is timed."""


def supernet_work(searcher: SupernetSearcher[Any]) -> list[Work]:
    """Return the work that is left of a search: its phases differ, so each is counted and timed by itself.

    Args:
        searcher: Set up, and thrown away after the forecast. Its current network is timed: of a search in
            stages, later networks are not.
    """
    units = _count_units(searcher)
    batches = endless(searcher, "weights")
    works = [Work("batches of the search's warm-up", units["warm-up"], lambda: _search(searcher, batches))]
    if searcher.twin is None:
        works.append(joint_batches(searcher, units["joint"]))
    else:
        # What an evaluation network costs depends on its architecture, which is not known yet.
        for arch in sample_allowed(searcher.ctx, TWINS):
            phases = _TwinPhases(searcher, arch)
            works += [
                Work("evaluation networks", units["twins"] / TWINS, phases.renew),
                Work("batches of the evaluation's warm-up", units["alone"] / TWINS, phases.warm_up),
                Work("batches of joint training", units["joint"] / TWINS, phases.train_jointly),
            ]
    if searcher.config.guard.policy != "off":
        works.append(_guard(searcher, units["observed"]))
    return works


def joint_batches(searcher: SupernetSearcher[Any], units: float) -> Work:
    """Return batches in which a search network and an architecture learn in turns.

    Args:
        searcher: A searcher without an evaluation network.
        units: Their number.
    """
    batches, arch_batches = endless(searcher, "weights"), endless(searcher, "arch")

    def run() -> None:
        batch = next(batches)
        arch = _trained(searcher, searcher.step_arch, *next(arch_batches), batch)
        _fetch({**arch, **_trained(searcher, searcher.step_search, *batch)})

    return Work("batches of joint training", units, run)


def endless(searcher: SupernetSearcher[Any], split: Split) -> Iterator[Batch]:
    """Yield the batches of a split, pass after pass.

    Args:
        searcher: Reads them.
        split: The split.
    """
    passes = 0
    while True:
        yield from searcher.batches.read_to_train(split, passes)
        passes += 1


def _count_units(searcher: SupernetSearcher[Any]) -> dict[str, float]:
    """Return batches by phase, new evaluation networks, and measurements of the guard in the steps left."""
    count, cfg, first = searcher.batches.count, searcher.config, searcher.epoch
    units = dict.fromkeys(("warm-up", "twins", "alone", "joint", "observed"), 0.0)
    built = searcher.twin is not None and searcher.twin.network is not None
    for epoch in range(first, searcher.search_steps):
        searcher.epoch = epoch
        if not searcher.learning:
            units["warm-up"] += count("weights")
            continue
        units["joint"] += searcher.joint_epochs * min(count("weights"), count("arch"))
        units["observed"] += 1
        if searcher.twin is not None and (not built or _is_due(searcher)):
            units["twins"] += 1
            units["alone"] += cfg.twin.warmup_epochs * count("arch")
            built = True
    searcher.epoch = first
    return units


def _is_due(searcher: SupernetSearcher[Any]) -> bool:
    cfg = searcher.config
    return bool((searcher.epoch - cfg.warmup_epochs) % cfg.twin.interval == 0)


def _search(searcher: SupernetSearcher[Any], batches: Iterator[Batch]) -> None:
    _fetch(_trained(searcher, searcher.step_search, *next(batches)))


def _trained(
    searcher: SupernetSearcher[Any], step: Callable[..., Mapping[str, Tensor]], *batch: Any
) -> dict[str, Tensor]:
    return step_in_shards(searcher.runtime, step, *batch)


def _fetch(values: Mapping[str, Tensor]) -> None:
    """Wait for the metrics of a batch, as a search does on a CPU; on a GPU it fetches them now and then."""
    for value in values.values():
        if value.device.type == "cpu":
            float(value.detach())


def _guard(searcher: SupernetSearcher[Any], steps: float) -> Work:
    """Return the measurements of the guard; a unit has one eigenvalue, so it is as many steps."""
    interval = searcher.config.guard.interval

    def run() -> None:
        for _ in range(interval):
            searcher.guard.observe(searcher.epoch, searcher.derive())

    return Work("measurements of the guard", steps / interval, run)


class _TwinPhases:
    """Does single units of the phases that have an evaluation network.

    Args:
        searcher: The searcher.
        arch: Architecture of the evaluation network.
    """

    def __init__(self, searcher: SupernetSearcher[Any], arch: Arch) -> None:
        self._searcher, self._arch = searcher, arch
        self._batches, self._arch_batches = endless(searcher, "weights"), endless(searcher, "arch")

    def renew(self) -> None:
        """Build the evaluation network, and bring its weights back."""
        twin = self._searcher.twin
        assert twin is not None, "searches without an evaluation network have no such phases"
        twin.rebuild(self._arch)
        twin.remember()

    def warm_up(self) -> None:
        """Train the evaluation network alone."""
        self._use()
        _fetch(_trained(self._searcher, self._searcher.step_eval, *next(self._arch_batches)))

    def train_jointly(self) -> None:
        """Train everything on a batch of each split."""
        self._use()
        batch = next(self._batches)
        searcher = self._searcher
        arch = _trained(searcher, searcher.step_arch, *next(self._arch_batches), batch)
        _fetch({**arch, **_trained(searcher, searcher.step_search, *batch)})

    def _use(self) -> None:
        twin = self._searcher.twin
        assert twin is not None, "searches without an evaluation network have no such phases"
        if twin.arch != self._arch:
            twin.rebuild(self._arch)
