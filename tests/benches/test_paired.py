"""Paired differences and their intervals."""

import math
from random import Random
from statistics import fmean, stdev

import pytest

from nasforge.benches.paired import difference


def test_an_interval_worked_out_by_hand():
    # Differences 1, 2, 3: mean 2, deviation 1; t(2) at 97.5 % is 4.302653 (any table of Student's t).
    found = difference({0: 11.0, 1: 22.0, 2: 33.0}, {0: 10.0, 1: 20.0, 2: 30.0})
    assert (found.pairs, found.mean, found.better, found.worse) == (3, 2.0, 3, 0)
    assert found.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-6)
    assert found.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-6)
    assert not found.significant


def test_pairs_by_seed_and_only_common_ones():
    found = difference({5: 1.0, 3: 4.0, 9: 100.0}, {3: 1.0, 5: 2.0, 7: 0.0})
    assert (found.pairs, found.mean, found.better, found.worse) == (2, 1.0, 1, 1)
    assert difference({0: 1.0}, {1: 1.0}) is None


def test_pairing_finds_a_small_difference_in_large_noise():
    rng = Random(0)
    noise = {seed: rng.gauss(0, 10) for seed in range(30)}
    ours = {seed: value + 0.5 + rng.gauss(0, 0.1) for seed, value in noise.items()}
    assert difference(ours, noise).significant
    shuffled = dict(zip(noise, reversed(noise.values()), strict=True))
    assert not difference(ours, shuffled).significant


def test_one_pair_has_no_interval():
    found = difference({0: 3.0}, {0: 1.0})
    assert (found.mean, found.low, found.high, found.significant) == (2.0, None, None, False)


def test_equal_methods_do_not_differ():
    found = difference(dict.fromkeys(range(5), 1.5), dict.fromkeys(range(5), 1.5))
    assert (found.mean, found.low, found.high, found.better, found.worse) == (0, 0, 0, 0, 0)
    assert not found.significant


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng, hits = Random(1), 0
    for _ in range(1000):
        ours = {seed: rng.gauss(1, 2) for seed in range(8)}
        found = difference(ours, dict.fromkeys(range(8), 0.0))
        assert found.mean == pytest.approx(fmean(ours.values()))
        assert found.high - found.mean == pytest.approx(
            2.364624 * stdev(ours.values()) / math.sqrt(8), rel=1e-6
        )
        hits += found.low < 1 < found.high
    # 950 are expected, with a deviation of 7.
    assert 920 <= hits <= 980
