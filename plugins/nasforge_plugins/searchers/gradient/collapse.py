"""Guards a search by gradients against collapse: it watches the landscape, and may end or undo the search."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from nasforge.arch import Arch, Choice
from nasforge.errors import ArchError
from nasforge.nn import ArchParameters
from nasforge.space import NetworkSpace
from nasforge_plugins.searchers.gradient.landscape import Landscape
from nasforge_plugins.searchers.gradient.options import GuardOptions

__all__ = ["Collapse", "CollapseGuard", "growth", "parameter_free_share"]


@dataclass(frozen=True)
class Collapse:
    """A detected collapse: the criterion, the measured value, and the step that was restored.

    Attributes:
        step: The step of the search after which it did.
        criterion: ``"curvature"`` or ``"parameter_free"``.
        value: Measured value: growth of the eigenvalue, or share of parameter-free options.
        limit: The limit that it exceeds.
        returned: The step whose architecture is the result; None if nothing was rolled back.
    """

    step: int
    criterion: Literal["curvature", "parameter_free"]
    value: float
    limit: float
    returned: int | None = None

    def describe(self, policy: str) -> str:
        """Return the verdict as a sentence without its full stop.

        Args:
            policy: The reaction of the guard.
        """
        what = {
            "curvature": f"the dominant eigenvalue grew {self.value:.2f}-fold, limit {self.limit:g}",
            "parameter_free": f"{self.value:.0%} of the derived options have no parameters, limit "
            f"{self.limit:.0%}",
        }[self.criterion]
        then = {
            "warn": "the search continued",
            "stop": "the search was stopped",
            "rollback": f"the search was stopped and went back to step {self.returned}",
        }[policy]
        return f"collapse after step {self.step}: {what}; {then}"


@dataclass(frozen=True)
class _Row:
    step: int
    share: float
    eigenvalue: float | None


class CollapseGuard:
    """Measures after every epoch in which the architecture learned, and acts on the first sign of collapse.

    The criterion of R-DARTS (Zela et al., ICLR 2020, section 4.3): the dominant eigenvalue of the Hessian,
    averaged over a window of measurements, has grown too much since the window before; the architecture to
    return is that of the middle of the earlier window. Beside it stands a limit on the share of
    parameter-free options in the derived architecture.

    Args:
        options: When to measure and what to do.
        space: The space that is searched; it names its parameter-free options.
        alpha: The architecture parameters; `observe` sets them back if it rolls back.
        landscape: The measured loss landscape.

    Attributes:
        verdict: Why it stepped in; None as long as all is well.
    """

    def __init__(
        self,
        options: GuardOptions,
        space: NetworkSpace[Any],
        alpha: ArchParameters,
        landscape: Landscape,
    ) -> None:
        self._options, self._space, self._alpha, self._landscape = options, space, alpha, landscape
        self._rows: list[_Row] = []
        self._past: list[Tensor] = []
        self.verdict: Collapse | None = None

    @property
    def stopped(self) -> bool:
        """Whether the search shall end."""
        return self.verdict is not None and self._options.policy in ("stop", "rollback")

    def watch(self, landscape: Landscape) -> None:
        """Measure another network from now on: that of the next stage of a search.

        Args:
            landscape: The measured loss landscape.
        """
        self._landscape = landscape

    def observe(self, step: int, arch: Arch) -> dict[str, float]:
        """Measure, judge, and act.

        Args:
            step: How many steps of the search are over.
            arch: The architecture derived now.

        Returns:
            ``parameter_free_share``; ``discretization_gap``, the loss of the derived architecture minus that
            of the supernet; and where it is due ``hessian_eigenvalue``. Nothing if the guard is off.
        """
        options = self._options
        if options.policy == "off":
            return {}
        metrics = {
            "parameter_free_share": parameter_free_share(self._space, arch),
            "discretization_gap": self._landscape.gap(arch),
        }
        if len(self._rows) % options.interval == 0:
            metrics["hessian_eigenvalue"] = self._landscape.eigenvalue(options.steps)
        metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
        self._rows.append(_Row(step, metrics["parameter_free_share"], metrics.get("hessian_eigenvalue")))
        self._past.append(self._flat().clone())
        if self.verdict is None and (found := self._find_collapse()) is not None:
            self._act(found)
        return metrics

    def summary(self) -> dict[str, Any]:
        """Return what the result of a search says about its guard; nothing if it is off."""
        policy, verdict = self._options.policy, self.verdict
        if policy == "off":
            return {}
        found = {"fired": False, "text": f"no collapse ({policy})"}
        if verdict is not None:
            found = {"fired": True, **asdict(verdict), "text": verdict.describe(policy)}
        return {"guard": {"policy": policy, **found}}

    def state_dict(self) -> dict[str, Any]:
        """Return the history and the verdict."""
        if not self._rows:
            return {}
        return {
            "rows": [[row.step, row.share, row.eigenvalue] for row in self._rows],
            "past": torch.stack(self._past),
            "verdict": None if self.verdict is None else asdict(self.verdict),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Args:
            state: The result of `state_dict` in an earlier process.
        """
        self._rows = [_Row(*row) for row in state.get("rows", [])]
        self._past = [row.to(self._flat()) for row in state.get("past", [])]
        verdict = state.get("verdict")
        self.verdict = None if verdict is None else Collapse(**verdict)

    def _find_collapse(self) -> Collapse | None:
        options, step = self._options, self._rows[-1].step
        judged = self._rows[options.start :]
        if not judged:
            return None
        if (share := judged[-1].share) > options.max_free:
            return Collapse(step, "parameter_free", share, options.max_free, self._last_sound())
        measured = [(row.step, row.eigenvalue) for row in judged if row.eigenvalue is not None]
        if judged[-1].eigenvalue is None:
            return None
        window = options.window
        grown = growth([value for _, value in measured], window)
        if grown is None or grown <= options.max_growth:
            return None
        before, _ = measured[-2 * window + window // 2]
        return Collapse(step, "curvature", grown, options.max_growth, before)

    def _last_sound(self) -> int:
        """Return the last step within the limit on parameter-free options, else the last of the best."""
        limit = self._options.max_free
        return max(
            self._rows, key=lambda row: (row.share <= limit, min(0.0, limit - row.share), row.step)
        ).step

    def _act(self, found: Collapse) -> None:
        policy = self._options.policy
        if policy == "rollback":
            index = next(i for i, row in enumerate(self._rows) if row.step == found.returned)
            self._set_back(self._past[index])
        else:
            found = Collapse(found.step, found.criterion, found.value, found.limit)
        self.verdict = found
        warnings.warn(f"{found.describe(policy)}.", stacklevel=4)

    def _flat(self) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p in self._alpha.parameters()])

    @torch.no_grad()
    def _set_back(self, flat: Tensor) -> None:
        parameters = list(self._alpha.parameters())
        parts = flat.split([p.numel() for p in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.copy_(part.view_as(parameter))


def growth(values: Sequence[float], window: int) -> float | None:
    """Return how many times larger the last values are than those before, in magnitude and on average.

    Args:
        values: Measurements in their order.
        window: How many are averaged, on either side.

    Returns:
        The factor; None while there are fewer than two windows of values.
    """
    if len(values) < 2 * window:
        return None
    magnitudes = [abs(value) for value in values[-2 * window :]]
    before, after = sum(magnitudes[:window]), sum(magnitudes[window:])
    return after / before if before else math.inf if after else 1.0


def parameter_free_share(space: NetworkSpace[Any], arch: Arch) -> float:
    """Return the share of an architecture's operations that have no parameters, from 0 to 1.

    They are listed in `NetworkSpace.parameter_free`. Operations that mean nothing are left out: those of
    edges that no node takes, and those without an alternative.

    Args:
        space: The space.
        arch: An architecture as the space derives it.
    """
    picked = [
        option
        for choice in space.choices
        if choice.kind == "op" and _matters(space, arch, choice)
        for option in arch[choice.name]
    ]
    return sum(option in space.parameter_free for option in picked) / max(1, len(picked))


def _matters(space: NetworkSpace[Any], arch: Arch, choice: Choice) -> bool:
    """Tell whether some other answer to a choice makes another architecture."""
    _, *rest = arch[choice.name]
    others = [option for option in choice.options if option not in arch[choice.name]]
    return any(_differs(space, arch, Arch({**arch, choice.name: [option, *rest]})) for option in others)


def _differs(space: NetworkSpace[Any], arch: Arch, other: Arch) -> bool:
    try:
        return space.canonical(other) != space.canonical(arch)
    except ArchError:  # not even valid
        return True
