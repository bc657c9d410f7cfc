"""Checks of search spaces."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import islice
from random import Random
from typing import Any

import torch

from nasforge.arch import Arch, Choice
from nasforge.errors import ArchError
from nasforge.testing.common import Rule, Subject, require

__all__ = ["CHECKS"]


def choices_are_fixed(subject: Subject) -> None:
    """The choices are a tuple that never changes, with names of their own."""
    space = subject.make()
    choices = space.choices
    require(
        isinstance(choices, tuple) and choices and all(isinstance(c, Choice) for c in choices),
        f"choices must be a tuple of Choice with at least one, got {choices!r}.",
    )
    names = [c.name for c in choices]
    twice = sorted({name for name in names if names.count(name) > 1})
    require(not twice, f"two choices share a name: {', '.join(twice)}. Answers are stored by name.")
    space.sample(Random(0))
    again = (space.choices, subject.make().choices)
    require(
        all(other == choices for other in again),
        "choices change between calls; they must be a function of the options alone.",
    )


def samples_are_valid(subject: Subject) -> None:
    """Drawn architectures answer every choice and survive JSON."""
    for space, arch in _samples(subject):
        space.validate(arch)
        require(
            Arch(json.loads(json.dumps(arch.to_json()))) == arch,
            f"{arch.to_json()} is not the same architecture after JSON.",
        )


def samples_are_canonical(subject: Subject) -> None:
    """Drawn architectures are in canonical form, and that form is its own canonical form."""
    for space, arch in _samples(subject):
        again = space.canonical(arch)
        space.validate(again)
        require(
            again == arch,
            f"canonical() changes the drawn architecture {space.notation(arch)} to {space.notation(again)}. "
            "sample() returns self.canonical(arch), and canonical() changes nothing in its own results.",
        )


def mutation_moves_and_stays_inside(subject: Subject) -> None:
    """Mutation returns another valid architecture and leaves its argument alone."""
    space, rng = subject.make(), Random(0)
    arch = space.sample(rng)
    for _ in range(20):
        before = dict(arch)
        child = space.mutate(arch, rng)
        space.validate(child)
        require(child != arch, "mutate() returned its argument; a black-box search would stand still.")
        require(dict(arch) == before, "mutate() changed its argument; architectures are immutable.")
        require(space.canonical(child) == child, "mutate() must return a canonical architecture.")
        arch = child


def randomness_is_its_generator(subject: Subject) -> None:
    """Sampling and mutation draw from the given generator and from nothing else."""
    space = subject.make()

    def walk(seed: int) -> list[Arch]:
        random.seed()  # code that reads this one gives itself away
        torch.seed()
        rng = Random(seed)
        arch = space.sample(rng)
        return [arch, space.mutate(arch, rng), *(space.sample(rng) for _ in range(5))]

    require(
        walk(7) == walk(7),
        "the same generator gives different architectures: sample() or mutate() draws from something else. "
        "Use only the rng that is passed in.",
    )
    state = random.getstate()
    space.sample(Random(0))
    require(state == random.getstate(), "sample() uses Python's global generator. Use the rng passed in.")
    require(
        len({space.sample(Random(seed)) for seed in range(20)}) > 1 or space.size() == 1,
        "sample() gives the same architecture for every generator: it must draw from its rng.",
    )


def discretize_inverts_one_hot(subject: Subject) -> None:
    """Option weights of one and zero give back the architecture they stand for."""
    for space, arch in _samples(subject):
        weights = {c.name: [float(o in arch[c.name]) for o in c.options] for c in space.choices}
        derived = space.discretize(weights)
        space.validate(derived)
        require(
            derived == arch,
            f"discretize() of the one-hot weights of {space.notation(arch)} gives {space.notation(derived)}. "
            "A decided search must derive what it decided.",
        )


def discretize_takes_missing_names(subject: Subject) -> None:
    """Choices without weights count as uniform: a searcher may relax only some."""
    space = subject.make()
    space.validate(space.discretize({}))
    first = space.choices[0]
    space.validate(space.discretize({first.name: [1.0] * len(first.options)}))


def parse_inverts_notation(subject: Subject) -> None:
    """``parse`` reads everything that ``notation`` writes, and so does JSON."""
    for space, arch in _samples(subject):
        for text in (space.notation(arch), json.dumps(arch.to_json())):
            require(
                space.parse(text) == arch,
                f"parse({text!r}) gives another architecture than the one that was written.",
            )


def invalid_input_is_rejected(subject: Subject) -> None:
    """Architectures and text of other spaces raise `ArchError` with a message."""
    space = subject.make()
    arch = space.sample(Random(0))
    name = space.choices[0].name
    wrong: dict[str, Any] = {
        "without its first choice": {k: v for k, v in arch.items() if k != name},
        "with an unknown option": {**arch, name: "no-such-option"},
        "with an unknown choice": {**arch, "no-such-choice": "x"},
    }
    for what, picks in wrong.items():
        _refused(space.validate, Arch(picks), f"an architecture {what}")
    for text in ("", "no architecture", "{", "[1, 2", '{"no-such-choice": "x"}', "null"):
        _refused(space.parse, text, repr(text))


def size_is_a_count(subject: Subject) -> None:
    """``size`` is a whole number, no smaller than the architectures that can be drawn."""
    size = subject.make().size()
    require(isinstance(size, int), f"size() must return an int, got {size!r}.")
    drawn = len({arch for _, arch in _samples(subject, 50)})
    require(size >= drawn, f"size() is {size}, but {drawn} different architectures were drawn.")


def neighbours_differ_in_one_answer(subject: Subject) -> None:
    """Neighbours are valid, canonical, different from each other and from the architecture."""
    for space, arch in _samples(subject, 3):
        near = space.neighbours(arch)
        require(len(set(near)) == len(near), "neighbours() lists an architecture twice.")
        require(arch not in near, "neighbours() lists the architecture itself.")
        require(near == space.neighbours(arch), "neighbours() gives another order in the second call.")
        for other in near:
            space.validate(other)
            require(space.canonical(other) == other, "neighbours() must return canonical architectures.")


def enumeration_repeats_nothing(subject: Subject) -> None:
    """``enumerate`` yields valid, canonical architectures in the same order every time, none twice."""
    space = subject.make()
    first, again = (list(islice(space.enumerate(), 100)) for _ in "ab")
    require(first == again, "enumerate() gives another order in the second call.")
    require(len(set(first)) == len(first), "enumerate() yields an architecture twice.")
    require(first, "enumerate() yields nothing.")
    for arch in first:
        space.validate(arch)
        require(space.canonical(arch) == arch, "enumerate() must yield canonical architectures.")


def baseline_is_an_architecture(subject: Subject) -> None:
    """The baseline is a canonical architecture of the space, and always the same."""
    space = subject.make()
    arch = space.baseline
    space.validate(arch)
    require(space.canonical(arch) == arch, "baseline must be in canonical form: return self.canonical(arch).")
    require(
        (space.baseline, subject.make().baseline) == (arch, arch),
        "baseline changes between calls; it must be a function of the options alone.",
    )


CHECKS: tuple[Rule, ...] = (
    choices_are_fixed,
    samples_are_valid,
    samples_are_canonical,
    mutation_moves_and_stays_inside,
    randomness_is_its_generator,
    discretize_inverts_one_hot,
    discretize_takes_missing_names,
    parse_inverts_notation,
    invalid_input_is_rejected,
    size_is_a_count,
    neighbours_differ_in_one_answer,
    enumeration_repeats_nothing,
)


BASELINE_CHECKS: tuple[Rule, ...] = (baseline_is_an_architecture,)


def _samples(subject: Subject, number: int = 20) -> list[tuple[Any, Arch]]:
    space, rng = subject.make(), Random(0)
    return [(space, space.sample(rng)) for _ in range(number)]


def _refused(call: Callable[[Any], object], value: object, what: str) -> None:
    where = f"{call.__name__}() of {what}"
    try:
        call(value)
    except ArchError as error:
        require(str(error), f"{where} raises an ArchError without a message.")
    except Exception as error:
        require(
            False, f"{where} raises {type(error).__name__}: {error}. Raise ArchError and say what is wrong."
        )
    else:
        require(False, f"{where} accepts it. Raise ArchError and say what is wrong.")
