"""Architectures as parameters of Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from nasforge.arch import Arch, Choice
from nasforge.errors import ArchError
from nasforge.space import SearchSpace

__all__ = ["Coding"]

MANY = 256
"""Above so many answers, a choice of several options has a weight per option."""


class Coding:
    """Parameters for every choice of a space, and the architecture that their values mean.

    A choice is one categorical parameter, whose categories are its answers. For samplers of real numbers it
    is a weight from 0 to 1 per option, and the heaviest options are the answer.

    Args:
        space: The space.
        real: Whether the sampler wants real numbers.

    Attributes:
        parameters: Distributions by name.
    """

    def __init__(self, space: SearchSpace[Any], real: bool) -> None:
        self._space = space
        self._weighted: list[Choice] = []
        self._answers: dict[str, dict[str, tuple[str, ...]]] = {}
        self.parameters: dict[str, BaseDistribution] = {}
        for choice in space.choices:
            if real or choice.count() > MANY:
                self._weighted.append(choice)
                for option in choice.options:
                    self.parameters[f"{choice.name}={option}"] = FloatDistribution(0.0, 1.0)
            else:
                answers = {"+".join(answer): answer for answer in choice.answers()}
                self._answers[choice.name] = answers
                self.parameters[choice.name] = CategoricalDistribution(tuple(answers))

    def arch(self, values: Mapping[str, Any]) -> Arch | None:
        """Return the architecture that values of `parameters` mean; None if there is none.

        Where answers do not fit together, the space derives an architecture from them as it does from the
        weights of a gradient search.

        Args:
            values: By name of the parameter.
        """
        answers = {name: known[values[name]] for name, known in self._answers.items()}
        weights = {c.name: [float(values[f"{c.name}={o}"]) for o in c.options] for c in self._weighted}
        for choice in self._weighted:
            ranked = sorted(range(len(choice.options)), key=lambda i, w=weights[choice.name]: (-w[i], i))  # type: ignore[misc]
            picked = sorted(ranked[: choice.k])
            answers[choice.name] = tuple(choice.options[i] for i in picked)
        try:
            arch = Arch(answers)
            self._space.validate(arch)
            return self._space.canonical(arch)
        except ArchError:
            pass
        one_hot = {c.name: [float(o in answers[c.name]) for o in c.options] for c in self._space.choices}
        try:
            arch = self._space.discretize({**one_hot, **weights})
            self._space.validate(arch)
        except ArchError:
            return None
        return arch

    def values(self, arch: Arch) -> dict[str, Any]:
        """Return values of `parameters` that mean an architecture.

        Args:
            arch: Valid in the space.
        """
        chosen = {c.name: [o for o in c.options if o in arch[c.name]] for c in self._space.choices}
        weights = {f"{c.name}={o}": float(o in chosen[c.name]) for c in self._weighted for o in c.options}
        return {**{name: "+".join(chosen[name]) for name in self._answers}, **weights}
