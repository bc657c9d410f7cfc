"""The DARTS space as data: its size, samples, neighbours and the derive rule."""

import math
from random import Random

import pytest

from nasforge.arch import Arch
from nasforge.errors import ArchError
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.names import edge_name, inputs_name, sources
from nasforge_plugins.spaces.darts.operation_sets import KEPT, OPERATIONS
from nasforge_plugins.spaces.darts.space import DartsSpace

SPACE = DartsSpace(DartsConfig())


def softmax(values):
    shares = [math.exp(v) for v in values]
    return [s / sum(shares) for s in shares]


def formula_weights(edges=None):
    """Option weights of the deterministic parse test; `edges` adds weights of the inputs."""
    weights = {}
    for cell in ("normal", "reduce"):
        for node in range(4):
            if edges:
                weights[inputs_name(cell, node)] = edges(node)
            for e, source in enumerate(sources(node)):
                alpha = [((7 * node + 5 * e + 3 * o) * 37 % 101) / 101 for o in range(8)]
                weights[edge_name(cell, node, source)] = softmax(alpha)
    return weights


EXPECTED = (
    (("avg_pool_3x3", 1), ("dil_conv_5x5", 0)),
    (("sep_conv_5x5", 0), ("dil_conv_5x5", 1)),
    (("max_pool_3x3", 1), ("skip_connect", 2)),
    (("sep_conv_3x3", 0), ("sep_conv_5x5", 1)),
)


def test_size_and_number_of_weights():
    assert SPACE.size() == 1_076_746_950_455_072_400
    assert sum(len(c.options) for c in SPACE.choices if c.kind == "op") == 224
    assert SPACE.parameter_free < set(OPERATIONS)


def test_derive_rule_without_edge_weights():
    assert SPACE.genotype(SPACE.discretize(formula_weights())).normal == EXPECTED
    assert SPACE.genotype(SPACE.discretize(formula_weights())).reduce == EXPECTED


def test_uniform_edge_weights_change_nothing():
    weights = formula_weights(lambda node: [1 / (node + 2)] * (node + 2))
    assert SPACE.genotype(SPACE.discretize(weights)).normal == EXPECTED


def test_edge_weights_decide_the_inputs_but_not_the_operations():
    weights = formula_weights(lambda node: softmax([5.0 * i for i in range(node + 2)]))
    normal = SPACE.genotype(SPACE.discretize(weights)).normal
    assert [source for node in normal for _, source in node] == [1, 0, 2, 1, 3, 2, 4, 3]
    assert normal[0][0] == EXPECTED[0][0]


def test_none_never_wins_and_ties_go_to_the_earlier():
    heavy_none = {c.name: [0.0] * 7 + [1.0] for c in SPACE.choices if c.kind == "op"}
    arch = SPACE.discretize(heavy_none)
    SPACE.validate(arch)
    assert SPACE.genotype(arch).normal[0] == (("max_pool_3x3", 0), ("max_pool_3x3", 1))
    assert SPACE.discretize({}) == arch


def test_one_hot_weights_give_the_architecture_back():
    rng = Random(0)
    for _ in range(20):
        arch = SPACE.sample(rng)
        weights = {c.name: [float(o in arch[c.name]) for o in c.options] for c in SPACE.choices}
        assert SPACE.discretize(weights) == arch


def test_samples_are_valid_canonical_and_cover_the_options():
    rng = Random(1)
    seen = set()
    for _ in range(200):
        arch = SPACE.sample(rng)
        SPACE.validate(arch)
        assert SPACE.canonical(arch) == arch
        assert Arch(arch.to_json()) == arch
        seen |= {pair for cell in SPACE.genotype(arch) for node in cell for pair in node}
    assert seen == {(o, i) for o in KEPT for i in range(5)}


def test_neighbours_differ_in_one_pair():
    rng = Random(2)
    for _ in range(200):
        arch = SPACE.sample(rng)
        child = SPACE.mutate(arch, rng)
        SPACE.validate(child)
        assert SPACE.canonical(child) == child
        pairs = [
            [
                (c, n, *p)
                for c, cell in enumerate(SPACE.genotype(a))
                for n, node in enumerate(cell)
                for p in node
            ]
            for a in (arch, child)
        ]
        assert len(set(pairs[0]) - set(pairs[1])) == 1


def test_operations_of_untaken_edges_do_not_matter():
    arch = SPACE.parse("DARTS_V2")
    other = Arch({**arch, "normal/node3/node2": "sep_conv_5x5"})
    assert other != arch
    SPACE.validate(other)
    assert SPACE.canonical(other) == arch


def test_a_taken_edge_needs_an_operation():
    arch = Arch({**SPACE.parse("DARTS_V2"), "reduce/node0/in1": "none"})
    with pytest.raises(ArchError, match="reduce/node0/in1"):
        SPACE.validate(arch)


def test_shared_stem_needs_equal_widths():
    assert SPACE.tied == ("stem",)
    assert DartsSpace(DartsConfig(search_channels=8)).tied == ()
