"""Operations of the edges: named sets, lists, sets per edge; what they compute and what is refused."""

import json
from itertools import islice
from random import Random

import pytest
import torch

from nasforge.cost import count_parameters
from nasforge.cost.itemize import count_options
from nasforge.drawing import draw
from nasforge.errors import RecipeError
from nasforge.nn import copy_shared, one_hot
from nasforge.plugins import Registry
from nasforge.recipe import load, parse_options
from nasforge.space import Task
from nasforge.testing import checks_for
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.names import EDGES
from nasforge_plugins.spaces.darts.operation_sets import KEPT, OPERATIONS
from nasforge_plugins.spaces.darts.space import DartsSpace
from support.kernels import HAS_KERNELS
from support.tiny_darts import TINY

REGISTRY = Registry.discover()
TASK = Task(3, 16, 4)
MIXED = (*[("none", "sep_conv_3x3")] * 5, *[("avg_pool_3x3", "dil_conv_5x5", "skip_connect")] * 9)
SETS = {
    "without": {"allow_none": False},
    "s1": {"operations": "s1"},
    "s2": {"operations": "s2"},
    "s3": {"operations": "s3"},
    "s4": {"operations": "s4"},
    "list": {"operations": ("none", "skip_connect", "dil_conv_3x3", "max_pool_3x3", "sep_conv_5x5")},
    "mixed": {"operations": MIXED},
}


def make(name, **options):
    return DartsSpace(DartsConfig(**TINY, **SETS[name], **options))


# S1 of Zela et al. (ICLR 2020), read from figure 9 and 10 of its appendix and src/spaces.py of
# automl/RobustDARTS: both operations of three of the edges of each cell.
S1 = {
    "normal/node0/in0": {"skip_connect", "dil_conv_3x3"},
    "normal/node1/in1": {"skip_connect", "sep_conv_3x3"},
    "normal/node3/node2": {"dil_conv_3x3", "dil_conv_5x5"},
    "reduce/node0/in1": {"max_pool_3x3", "dil_conv_3x3"},
    "reduce/node2/in1": {"max_pool_3x3", "sep_conv_3x3"},
    "reduce/node3/in0": {"max_pool_3x3", "avg_pool_3x3"},
}


def test_the_sets_are_the_published_ones():
    operations = make("s1").operations
    assert {edge: set(operations[edge]) for edge in S1} == S1
    assert all(len(names) == 2 for names in operations.values())
    both = {"s2": ("skip_connect", "sep_conv_3x3"), "s4": ("noise", "sep_conv_3x3")}
    both["s3"] = ("none", "skip_connect", "sep_conv_3x3")
    for name, names in both.items():
        assert set(make(name).operations.values()) == {names}
    assert set(make("without").operations.values()) == {KEPT}
    assert set(DartsSpace(DartsConfig()).operations.values()) == {OPERATIONS}
    assert make("s2").parameter_free == {"skip_connect"}


# Whether the published search space has `none`: PRIMITIVES of the repositories named in docs/searchers.md.
NONE = {
    **dict.fromkeys(("darts", "pc-darts", "gdas", "cdarts"), True),
    **dict.fromkeys(("drnas", "fair-darts", "sdarts", "beta-darts", "darts-pt"), False),
}


@pytest.mark.parametrize("searcher", NONE)
def test_none_follows_the_searcher(searcher):
    lines = [f'searcher={{use="{searcher}"}}'] + (['distiller.use="stages"'] if searcher == "cdarts" else [])
    config = load("darts_cifar10", REGISTRY, overrides=lines).parts["space"].config
    assert ("none" in next(iter(DartsSpace(config).operations.values()))) == NONE[searcher]
    other = str(not NONE[searcher]).lower()
    config = load("darts_cifar10", REGISTRY, overrides=[*lines, f"space.allow_none={other}"]).parts["space"]
    assert config.config.allow_none != NONE[searcher]
    config = load("darts_cifar10", REGISTRY, overrides=[*lines, "space.operations='s3'"]).parts["space"]
    assert config.config.allow_none is None


@pytest.mark.parametrize("name", SETS)
def test_counts_and_round_trips(name):
    space, rng = make(name), Random(0)
    sizes = [len(c.options) - ("none" in c.options) for c in space.choices if c.kind == "op"]
    expected, at = 1, 0
    for node in [*range(4), *range(4)]:
        row, at = sizes[at : at + node + 2], at + node + 2
        expected *= sum(row[i] * row[j] for i in range(len(row)) for j in range(i))
    assert space.size() == expected
    for _ in range(20):
        arch = space.sample(rng)
        space.validate(arch)
        assert space.parse(space.notation(arch)) == space.parse(json.dumps(arch.to_json())) == arch
        weights = {c.name: [float(o in arch[c.name]) for o in c.options] for c in space.choices}
        assert space.discretize(weights) == arch
        for other in (space.mutate(arch, rng), *space.neighbours(arch)):
            space.validate(other)
            assert other != arch
        assert draw(space.graphs(arch)).startswith("<svg")
    first = list(islice(space.enumerate(), 50))
    assert len(set(first)) == 50


def test_a_mutant_of_a_small_set_moves_where_it_cannot_exchange():
    space, rng = make("mixed"), Random(1)
    arch = space.sample(rng)
    for _ in range(50):
        child = space.mutate(arch, rng)
        space.validate(child)
        assert child != arch
        arch = child


@pytest.mark.parametrize("name", SETS)
def test_derive_takes_the_heaviest_of_each_edge(name):
    """The derive rule of RobustDARTS, src/search/model_search.py, written again; equal."""
    space, rng = make(name), Random(3)
    weights = {c.name: [rng.random() for _ in c.options] for c in space.choices if c.kind == "op"}
    for cell, nodes in zip(("normal", "reduce"), space.genotype(space.discretize(weights)), strict=True):
        for node, pairs in enumerate(nodes):
            best = []
            for i in range(node + 2):
                edge = f"{cell}/node{node}/" + (f"in{i}" if i < 2 else f"node{i - 2}")
                row = dict(zip(space.operations[edge], weights[edge], strict=True))
                row.pop("none", None)
                best.append((max(row.values()), max(row, key=row.get), i))
            best.sort(reverse=True)
            assert [(operation, i) for _, operation, i in best[:2]] == list(pairs)


@pytest.fixture(params=["native", "torch"])
def kernels(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setenv("NASFORGE_NATIVE", "0")
    elif not HAS_KERNELS:
        pytest.skip("there are no kernels in C here")


@pytest.mark.parametrize("pool_batch_norm", [False, True])
@pytest.mark.parametrize("name", [name for name in SETS if name != "s4"])
def test_fast_supernets_are_the_reference(name, pool_batch_norm, kernels):
    torch.manual_seed(0)
    spaces = [make(name, execution=e, pool_batch_norm=pool_batch_norm) for e in ("reference", "fast")]
    reference, fast = (space.build(TASK, scale="search").double().train() for space in spaces)
    fast.load_state_dict(reference.state_dict())
    x = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    start = {
        c.name: torch.rand(len(c.options), generator=generator, dtype=torch.float64)
        for c in spaces[0].choices
    }
    seen = []
    for net in (reference, fast):
        weights = {n: w.clone().requires_grad_() for n, w in start.items()}
        net(x, weights).logits.square().sum().backward()
        gradients = {n: p.grad for n, p in net.named_parameters()}
        gradients |= {n: torch.zeros_like(w) if w.grad is None else w.grad for n, w in weights.items()}
        seen.append({"logits": net(x, start).logits.detach(), **gradients, **dict(net.named_buffers())})
    for what, expected in seen[0].items():
        torch.testing.assert_close(seen[1][what], expected, rtol=1e-8, atol=1e-10, msg=what)


@pytest.mark.parametrize("scale", ["search", "eval", "final"])
@pytest.mark.parametrize("name", SETS)
def test_one_hot_law_and_counts(name, scale):
    torch.manual_seed(0)
    space = make(name)
    supernet = space.build(TASK, scale=scale).double().eval()
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    # Two networks draw different noise, so it is left out.
    quiet = {c.name: [float(o != "noise") for o in c.options] for c in space.choices}
    arch = space.discretize(quiet) if name == "s4" else space.sample(Random(5))
    net = space.build(TASK, arch, scale).double().eval()
    assert set(net.state_dict()) <= set(supernet.state_dict())
    copy_shared(net, supernet)
    weights = one_hot(space.choices, arch, dtype=torch.float64)
    torch.testing.assert_close(net(x).logits, supernet(x, weights).logits)
    counted = count_options(space, TASK, scale).of(arch)
    assert counted["params"] == count_parameters(net)


def test_noise_is_standard_normal_and_has_no_gradient():
    from nasforge_plugins.ops.basics import Noise

    torch.manual_seed(0)
    x = torch.ones(8, 4, 32, 32, requires_grad=True)
    made = Noise(2)(x)
    assert made.shape == (8, 4, 16, 16)
    assert not made.requires_grad
    assert abs(float(made.mean())) < 0.05
    assert abs(float(made.std()) - 1.0) < 0.05


@pytest.mark.parametrize("name", ["s1", "mixed"])
def test_conformance_with_other_sets(name):
    plugin = REGISTRY.get("space", "darts")
    for check in checks_for(plugin, options=SETS[name]):
        check()


BAD = {
    "unknown set": ("s5x", "no set of operations 's5x'. Known: darts, s1, s2, s3, s4"),
    "unknown": (["skip_connect", "sep_conv_3"], "no operation 'sep_conv_3'. Did you mean 'sep_conv_3x3'?"),
    "double": (["skip_connect", "skip_connect"], "'skip_connect' is listed twice. Remove one"),
    "single": (["skip_connect"], "too few operations: ['skip_connect']. List at least two"),
    "none": ([], "must be the name of a set, a list of operations, or a list for each edge"),
    "number": (3, "must be the name of a set"),
    "numbers": ([1, 2], "must be a list of names such as ['skip_connect', 'sep_conv_3x3']"),
    "thirteen edges": (
        [["skip_connect", "sep_conv_3x3"]] * 13,
        "has lists for 13 edges. Write 14 lists (both cells alike) or 28",
    ),
    "an edge": (
        [["skip_connect", "sep_conv_3x3"]] * 13 + [["none", "avg_pol_3x3"]],
        "edge 14 (normal/node3/node2): no operation 'avg_pol_3x3'. Did you mean 'avg_pool_3x3'?",
    ),
    "a mixed list": (["skip_connect", ["sep_conv_3x3"]] * 7, "edge 1 (normal/node0/in0): must be a list"),
}


@pytest.mark.parametrize("wrong", BAD)
def test_bad_sets_are_named(wrong):
    value, said = BAD[wrong]
    with pytest.raises(RecipeError) as caught:
        parse_options(REGISTRY.get("space", "darts"), {"operations": value})
    assert "operations:" in str(caught.value)
    assert said in str(caught.value)


def test_allow_none_is_for_the_set_of_darts():
    with pytest.raises(RecipeError, match="Remove allow_none"):
        parse_options(REGISTRY.get("space", "darts"), {"operations": "s2", "allow_none": False})


def test_sets_survive_a_recipe():
    options = parse_options(REGISTRY.get("space", "darts"), {"operations": [list(s) for s in MIXED]})
    assert options.operations == MIXED
    again = parse_options(REGISTRY.get("space", "darts"), options.to_json())
    assert again == options
    assert list(DartsSpace(options).operations) == list(EDGES)
