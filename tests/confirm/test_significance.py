"""The paired test of a race, against scipy's and by simulation."""

from random import Random

import pytest
from scipy.stats import ttest_rel

from nasforge.confirm import compare


@pytest.mark.parametrize("seed", range(20))
def test_two_finalists_give_the_paired_t_test(seed):
    random = Random(seed)
    old = [random.gauss(50, 2) for _ in range(4)]
    new = [value + random.gauss(1.5, 1) for value in old]
    found = compare({"old": old, "new": new}, "old", 0.95)
    p = ttest_rel(new, old, alternative="greater").pvalue
    assert found.difference == pytest.approx(sum(new) / 4 - sum(old) / 4)
    assert found.wins(0.0) == (p < 0.05)


def test_what_a_repeat_does_to_all_finalists_cancels():
    scores = {"a": [50.0, 51.0, 50.5], "b": [52.0, 53.5, 52.0], "c": [49.0, 50.5, 49.9]}
    shifted = {name: [v + s for v, s in zip(row, (0, 30, -7), strict=True)] for name, row in scores.items()}
    ours, theirs = compare(scores, "a", 0.95), compare(shifted, "a", 0.95)
    assert ours.challenger == theirs.challenger == "b"
    assert ours.threshold == pytest.approx(theirs.threshold)
    assert ours.noise == pytest.approx(theirs.noise)


def test_noise_is_the_deviation_of_one_score():
    random = Random(0)
    found = [
        compare({n: [random.gauss(0, 3) for _ in range(3)] for n in "abcd"}, "a", 0.95).noise
        for _ in range(500)
    ]
    assert (sum(noise**2 for noise in found) / 500) ** 0.5 == pytest.approx(3, rel=0.05)


@pytest.mark.parametrize(("finalists", "repeats"), [("ab", 2), ("abcd", 3), ("abcdefgh", 2)])
def test_an_equal_challenger_seldom_wins(finalists, repeats):
    random, wins, times = Random(1), 0, 1500
    for _ in range(times):
        by_repeat = [random.gauss(0, 5) for _ in range(repeats)]
        scores = {name: [shift + random.gauss(0, 1) for shift in by_repeat] for name in finalists}
        wins += compare(scores, "a", 0.95).wins(0.0)
    # Bonferroni is safe but not exact: challengers share the incumbent.
    assert 0.015 < wins / times < 0.065


MEANS = {"a": 0, "b": 4, "c": 1, "d": 2}


def test_a_better_challenger_wins():
    random, wins = Random(2), 0
    for _ in range(300):
        scores = {name: [random.gauss(mean, 1) for _ in range(3)] for name, mean in MEANS.items()}
        found = compare(scores, "a", 0.95)
        wins += found.wins(0.0) and found.challenger == "b"
    assert wins > 240


def test_one_repeat_knows_no_noise():
    found = compare({"a": [50.0], "b": [50.4]}, "a", 0.95)
    assert (found.threshold, found.noise) == (None, None)
    assert found.wins(0.3)
    assert not found.wins(0.5)
