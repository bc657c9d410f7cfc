"""Races: who reaches which rung, and who wins."""

import json
import math

import pytest

from nasforge.arch import Arch
from nasforge.config import ConfirmConfig
from nasforge.confirm import Race

ARCHS = [Arch({"c": name}) for name in "abcdefghij"]
OPTIONS = ConfirmConfig(rungs=(1, 2, 4), finalists=3, repeats=2)


def value(arch):
    return float("abcdefghij".index(arch["c"][0]))


def finish(race, score=lambda heat: value(heat.arch)):
    sizes = []
    while not race.done:
        heats = race.plan_rung()
        sizes.append(len(heats))
        race.advance({heat: score(heat) for heat in heats})
    return sizes


def test_half_reach_the_next_rung_and_finalists_the_last():
    race = Race.between(OPTIONS, ARCHS[0], ARCHS[1:])
    assert finish(race) == [10, 5, 6]
    assert race.runners == [ARCHS[0], ARCHS[9], ARCHS[8]]
    assert race.winner == ARCHS[9]


def test_the_incumbent_stays_and_is_in_no_rung_twice():
    race = Race.between(OPTIONS, ARCHS[9], [ARCHS[9], *ARCHS])
    assert finish(race) == [10, 5, 6]
    assert race.runners == [ARCHS[9], ARCHS[8], ARCHS[7]]
    assert race.winner == ARCHS[9]


def test_a_difference_within_the_noise_keeps_the_incumbent():
    noise = {(0, 0): 3.0, (1, 1): 3.0}

    def score(heat):
        return value(heat.arch) / 10 + noise.get((heat.repeat, ARCHS.index(heat.arch)), 0.0)

    race = Race.between(ConfirmConfig(rungs=(1,), repeats=2), ARCHS[0], ARCHS[1:3])
    finish(race, score)
    assert race.verdict.difference > 0
    assert race.winner == ARCHS[0]


def test_growing_turns_the_burden_of_proof():
    noise = {(0, 0): 3.0, (1, 1): 3.0}

    def score(heat):
        return -value(heat.arch) / 10 + noise.get((heat.repeat, ARCHS.index(heat.arch)), 0.0)

    options = ConfirmConfig(rungs=(1,), repeats=2)
    race = Race.between(options, ARCHS[0], ARCHS[1:3], growing=True)
    finish(race, score)
    assert race.verdict.difference < 0
    assert race.winner == ARCHS[1]
    race = Race.between(options, ARCHS[0], ARCHS[1:3], growing=True)
    finish(race, lambda heat: -value(heat.arch) + 0.01 * heat.repeat)
    assert race.winner == ARCHS[0]


def test_a_margin_is_a_bound_of_its_own():
    for margin, winner in ((0.5, ARCHS[1]), (1.5, ARCHS[0])):
        race = Race.between(ConfirmConfig(rungs=(1,), repeats=1, margin=margin), ARCHS[0], ARCHS[1:2])
        finish(race)
        assert race.winner == winner


def test_failed_challengers_drop_out_and_a_failed_incumbent_is_replaced():
    race = Race.between(OPTIONS, ARCHS[0], ARCHS[1:])
    finish(race, lambda heat: -math.inf if heat.arch in ARCHS[7:] else value(heat.arch))
    assert race.winner == ARCHS[6]
    race = Race.between(OPTIONS, ARCHS[9], ARCHS[:9])
    finish(race, lambda heat: -math.inf if heat.arch == ARCHS[9] else value(heat.arch))
    assert race.winner == ARCHS[8]
    race = Race.between(OPTIONS, ARCHS[0], ARCHS[1:])
    finish(race, lambda heat: 1.0 if heat.arch == ARCHS[0] else -math.inf)
    assert race.winner == ARCHS[0]
    race = Race.between(OPTIONS, ARCHS[0], ARCHS[1:])
    finish(race, lambda heat: -math.inf)
    assert race.winner is None


def test_without_an_incumbent_the_best_wins():
    race = Race.between(OPTIONS, None, ARCHS)
    assert finish(race) == [10, 5, 6]
    assert race.winner == ARCHS[9]


@pytest.mark.parametrize("rungs", range(4))
def test_the_state_is_plain_and_complete(rungs):
    race = Race.between(OPTIONS, ARCHS[0], ARCHS[1:])
    for _ in range(rungs):
        race.advance({t: -math.inf if t.arch == ARCHS[4] else value(t.arch) for t in race.plan_rung()})
    again = Race.from_state(OPTIONS, json.loads(json.dumps(race.state_dict())))
    assert again == race


def test_rungs_grow():
    for rungs in ((2, 2), (4, 1)):
        with pytest.raises(ValueError, match="must grow"):
            ConfirmConfig(rungs=rungs)
