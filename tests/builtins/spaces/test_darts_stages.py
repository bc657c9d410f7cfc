"""The DARTS space with separate stages: choices, notation, size, and networks against one of each stage."""

from __future__ import annotations

import itertools
import json
from random import Random

import pytest
import torch

from nasforge import Task
from nasforge.errors import ArchError
from nasforge.nn import one_hot
from nasforge_plugins.spaces.darts.space import DartsSpace
from nasforge_plugins.spaces.darts_stages.config import DartsStagesConfig
from nasforge_plugins.spaces.darts_stages.space import DartsStages

TINY = {
    **dict.fromkeys(("channels", "search_channels", "eval_channels"), 4),
    **dict.fromkeys(("cells", "search_cells", "eval_cells"), 5),
}
TASK = Task(3, 16, 5)


@pytest.fixture
def space() -> DartsStages:
    return DartsStages(DartsStagesConfig(**TINY, stem_multiplier=1))


def test_the_third_stage_has_no_reduction_cell(space):
    kinds = {tuple(c.name.split("/")[:2]) for c in space.choices}
    assert kinds == {
        (f"stage{s}", kind) for s in range(3) for kind in ("normal", "reduce") if (s, kind) != (2, "reduce")
    }
    assert space.first_stage_name("stage2/normal/node0/in0") == "stage0/normal/node0/in0"


def test_size_counts_five_cells(space):
    assert space.size() ** 2 == space.cell_space.size() ** 5


def test_enumeration_begins_with_the_third_stage(space):
    seen = list(itertools.islice(space.enumerate(), 50))
    assert len(set(seen)) == 50
    for arch in seen:
        space.validate(arch)
        assert space.split(arch)[:2] == space.split(seen[0])[:2]


def test_a_stage_file_goes_both_ways(space):
    arch = space.sample(Random(1))
    assert space.parse(space.notation(arch)) == arch
    assert len(set(space.split(arch))) == 3


def test_one_genotype_is_for_all_stages(space):
    stages = space.split(space.parse("DARTS_V2"))
    assert stages[0] == stages[1] == DartsSpace(space.config).parse("DARTS_V2")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("2"), r"the stages are '0', '1'\. Write genotypes of '0', '1', '2'"),
        (lambda d: d.update({"1": "Genotype()"}), "stage 1: genotype"),
    ],
)
def test_mistakes_in_a_stage_file_are_named(space, change, said):
    data = json.loads(space.notation(space.sample(Random(1))))
    change(data)
    with pytest.raises(ArchError, match=said):
        space.parse(json.dumps(data))


def test_mutations_are_neighbours(space):
    arch = space.sample(Random(2))
    near = set(space.neighbours(arch))
    assert arch not in near
    for seed in range(20):
        assert space.mutate(arch, Random(seed)) in near


def test_drawings_name_the_stage(space):
    titles = [graph.title for graph in space.graphs(space.sample(Random(0)))]
    assert titles[0].startswith("stage 1")
    assert len(titles) == 5


@pytest.mark.parametrize("execution", ["fast", "reference"])
def test_equal_stages_compute_what_darts_computes(execution):
    """With one genotype in all stages, the network is that of the `darts` space."""
    config = DartsStagesConfig(**TINY, stem_multiplier=1, execution=execution)
    staged, plain = DartsStages(config), DartsSpace(config)
    for arch in ("DARTS_V2", None):
        torch.manual_seed(0)
        mine = staged.build(TASK, arch and staged.parse(arch), "search").double()
        other = plain.build(TASK, arch and plain.parse(arch), "search").double()
        other.load_state_dict(mine.state_dict())
        weights = {}, {}
        if arch is None:
            drawn = {c.name: torch.randn(len(c.options)).double().softmax(0) for c in plain.choices}
            weights = {c.name: drawn[c.name.partition("/")[2]] for c in staged.choices}, drawn
        images = torch.randn(4, 3, 16, 16).double()
        torch.testing.assert_close(mine(images, weights[0]).logits, other(images, weights[1]).logits)


def test_stages_have_weights_of_their_own(space):
    """One-hot weights pick each stage's own cells; those of another stage change the result."""
    first, second = space.sample(Random(3)), space.sample(Random(4))
    supernet = space.build(TASK, None, "search").double().eval()
    images = torch.randn(2, 3, 16, 16).double()
    base = one_hot(space.choices, first, dtype=torch.float64)
    other = one_hot(space.choices, second, dtype=torch.float64)
    found = [supernet(images, base).logits]
    for stage in range(3):
        mixed = {n: other[n] if n.startswith(f"stage{stage}/") else w for n, w in base.items()}
        found.append(supernet(images, mixed).logits)
    assert all(not torch.allclose(a, b) for a, b in itertools.combinations(found, 2))


def test_every_stage_needs_a_cell():
    with pytest.raises(ValueError, match="greater than or equal to 5"):
        DartsStagesConfig(search_cells=4)
