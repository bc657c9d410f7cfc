from random import Random

import pytest

from nasforge.arch import Arch, Choice
from nasforge.config import PluginConfig
from nasforge.errors import ArchError
from nasforge.space import SearchSpace


class Meals(SearchSpace[PluginConfig]):
    choices = (Choice("main", ("rice", "pasta")), Choice("sides", ("beans", "corn", "peas"), k=2))


@pytest.fixture
def space():
    return Meals(PluginConfig())


def test_size_counts_answers(space):
    assert space.size() == 2 * 3


def test_sampling_reaches_every_architecture_and_follows_its_generator(space):
    rng = Random(0)
    assert len({space.sample(rng) for _ in range(200)}) == 6
    assert space.sample(Random(1)) == space.sample(Random(1))


def test_mutation_changes_one_choice(space):
    rng = Random(0)
    arch = space.sample(rng)
    for _ in range(50):
        child = space.mutate(arch, rng)
        space.validate(child)
        assert sum(set(child[name]) != set(arch[name]) for name in arch) == 1
        arch = child


def test_mutation_says_when_there_is_nowhere_to_go():
    class Lonely(SearchSpace[PluginConfig]):
        choices = (Choice("only", ("one",)),)

    lonely = Lonely(PluginConfig())
    with pytest.raises(ArchError, match="no neighbour"):
        lonely.mutate(lonely.sample(Random(0)), Random(0))


def test_discretize_keeps_the_heaviest_heaviest_first(space):
    arch = space.discretize({"main": [0.2, 0.8], "sides": [0.1, 0.5, 0.4]})
    assert arch == Arch({"main": "pasta", "sides": ["corn", "peas"]})
    assert arch["sides"] == ("corn", "peas")
    assert space.discretize({})["main"] == ("rice",)


def test_validate_lists_every_mistake(space):
    with pytest.raises(ArchError) as caught:
        space.validate(Arch({"mian": "rice", "sides": ["beans", "cron"]}))
    text = str(caught.value)
    assert "Did you mean 'main'?" in text
    assert "choice 'main' is not answered" in text
    assert "Did you mean 'corn'?" in text


def test_notation_round_trip_and_bad_text(space):
    arch = space.sample(Random(3))
    assert space.parse(space.notation(arch)) == arch
    with pytest.raises(ArchError, match="not JSON"):
        space.parse("rice")
    with pytest.raises(ArchError, match="JSON object"):
        space.parse("[1]")
