from random import Random

from nasforge.seeding import derive_seed, random_from_json, random_to_json


def test_seeds_are_stable_across_processes_and_differ_by_purpose():
    assert derive_seed(0, "data", "weights", 3) == 6968451547200534062
    assert derive_seed(0, "a", "b") != derive_seed(0, "ab")
    assert derive_seed(0, "a") != derive_seed(1, "a")
    assert all(0 <= derive_seed(s, "x") < 2**63 for s in range(100))


def test_a_generator_goes_on_where_it_was():
    rng = Random(1)
    rng.gauss(0, 1)
    state = random_to_json(rng)
    expected = [rng.gauss(0, 1), rng.random()]
    other = Random(2)
    random_from_json(other, state)
    assert [other.gauss(0, 1), other.random()] == expected
