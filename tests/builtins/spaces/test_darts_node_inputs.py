"""Nodes of 0 to many inputs: derive rules, notation, drawing, counting, training, laws."""

import json
import math
from itertools import islice
from random import Random

import pytest
import torch
from torch.nn.functional import cross_entropy

from nasforge.cost import count_parameters, measure_arch
from nasforge.cost.itemize import count_options
from nasforge.drawing import draw
from nasforge.errors import ArchError
from nasforge.nn import DropPath, copy_shared, one_hot, set_drop_path
from nasforge.plugins import Registry
from nasforge.recipe import load
from nasforge.space import Task
from nasforge.testing import checks_for
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.operation_sets import KEPT
from nasforge_plugins.spaces.darts.space import DartsSpace
from support.tiny_darts import TINY

REGISTRY = Registry.discover()
TASK = Task(3, 16, 4)
RULES = ("pairs", "threshold", "threshold-edges")

SPARSE = (
    "Genotype(normal=[('sep_conv_3x3', 2, 0), ('skip_connect', 3, 0), ('max_pool_3x3', 3, 1), "
    "('dil_conv_3x3', 3, 2), ('sep_conv_5x5', 5, 4)], normal_concat=range(2, 6), "
    "reduce=[('skip_connect', 2, 0), ('sep_conv_3x3', 2, 0), ('avg_pool_3x3', 3, 1), "
    "('dil_conv_5x5', 4, 0), ('skip_connect', 4, 1), ('skip_connect', 4, 3)], reduce_concat=range(2, 6))"
)
"""Nodes of 0, 1, 2 and 3 inputs, and two operations on one input."""


def make(rule, **options):
    return DartsSpace(DartsConfig(**TINY, node_inputs=rule, **options))


def random_weights(space, seed, edges=False):
    rng = Random(seed)
    return {c.name: [rng.random() for _ in c.options] for c in space.choices if edges or c.kind == "op"}


def rows(space, weights, cell, node):
    """Per input of a node, the weights by operation without `none`."""
    names = ["in0", "in1", *(f"node{n}" for n in range(node))]
    for name in names:
        edge = f"{cell}/node{node}/{name}"
        row = dict(zip(space.operations[edge], weights[edge], strict=True))
        row.pop("none", None)
        yield row


def gdas(space, weights, cell, node):
    """The two heaviest of all operations on all inputs (search_model_gdas_nasnet.py)."""
    found = [(w, o, i) for i, row in enumerate(rows(space, weights, cell, node)) for o, w in row.items()]
    return [(o, i) for _, o, i in sorted(found, reverse=True)[:2]]


def fair_sparse(space, weights, cell, node):
    """Of DARTS' two inputs those whose operation reaches .85 (utils.py, threshold_sparse)."""
    by_input = enumerate(rows(space, weights, cell, node))
    found = sorted(((max(row.values()), max(row, key=row.get), i) for i, row in by_input), reverse=True)
    return [(o, i) for w, o, i in found[:2] if w >= 0.85]


def fair_edge(space, weights, cell, node):
    """Of every input the two heaviest operations that reach .85 (utils.py, threshold_edge)."""
    return [
        (o, i)
        for i, row in enumerate(rows(space, weights, cell, node))
        for o, w in sorted(row.items(), key=lambda item: -item[1])[:2]
        if w >= 0.85
    ]


PUBLISHED = {"pairs": gdas, "threshold": fair_sparse, "threshold-edges": fair_edge}


@pytest.mark.parametrize("allow_none", [True, False])
@pytest.mark.parametrize("rule", RULES)
def test_derive_is_the_published_rule(rule, allow_none):
    space, sizes = make(rule, allow_none=allow_none), set()
    for seed in range(30):
        weights = random_weights(space, seed)
        arch = space.discretize(weights)
        space.validate(arch)
        for cell, nodes in zip(("normal", "reduce"), space.genotype(arch), strict=True):
            for node, pairs in enumerate(nodes):
                expected = PUBLISHED[rule](space, weights, cell, node)
                assert sorted(pairs) == sorted(expected)
                sizes.add((len(pairs), len({i for _, i in pairs})))
    assert len(sizes) > 1, "the rule was seen with one shape of node only"
    if rule == "pairs":
        assert sizes == {(2, 1), (2, 2)}


def test_the_rule_follows_the_searcher_and_the_recipe():
    rules = {"gdas": "pairs", "fair-darts": "threshold", "darts": "two", "drnas": "two"}
    for searcher, rule in rules.items():
        lines = [f'searcher={{use="{searcher}"}}']
        assert load("darts_cifar10", REGISTRY, overrides=lines).parts["space"].config.node_inputs == rule
        lines.append('space.node_inputs="two"')
        assert load("darts_cifar10", REGISTRY, overrides=lines).parts["space"].config.node_inputs == "two"


# Of n inputs with 7 operations each, for n = 2 to 5, per cell.
SIZES = {
    "pairs": [math.comb(7 * n, 2) for n in range(2, 6)],
    "threshold": [1 + 7 * n + 49 * math.comb(n, 2) for n in range(2, 6)],
    "threshold-edges": [(1 + 7 + 21) ** n for n in range(2, 6)],
}


@pytest.mark.parametrize("rule", RULES)
def test_size_counts_what_is_enumerated(rule):
    space = make(rule)
    assert space.size() == math.prod(SIZES[rule]) ** 2
    small = make(rule, operations=("none", "skip_connect", "sep_conv_3x3"))
    first = list(islice(small.enumerate(), 3000))
    assert len(set(first)) == 3000
    # The last node changes fastest: its answers come first, and then begin again.
    last = {small.genotype(arch).reduce[3] for arch in first}
    counts = {"pairs": 45, "threshold": 1 + 10 + 40, "threshold-edges": 4**5}
    assert len(last) == counts[rule]


@pytest.mark.parametrize("rule", RULES)
def test_draws_cover_all_shapes_evenly(rule):
    """Shapes of the first node come as often as there are nodes of them, within five deviations."""
    space, rng, drawn = make(rule), Random(0), 4000
    seen = {}
    for _ in range(drawn):
        node = space.genotype(space.sample(rng)).normal[0]
        shape = tuple(sorted(i for _, i in node))
        seen[shape] = seen.get(shape, 0) + 1
    everything = {
        "pairs": {(0, 0): 21, (1, 1): 21, (0, 1): 49},
        "threshold": {(): 1, (0,): 7, (1,): 7, (0, 1): 49},
        "threshold-edges": {
            (*[0] * a, *[1] * b): [1, 7, 21][a] * [1, 7, 21][b] for a in range(3) for b in range(3)
        },
    }[rule]
    total = sum(everything.values())
    for shape, count in everything.items():
        share = count / total
        deviation = math.sqrt(drawn * share * (1 - share))
        assert abs(seen.get(shape, 0) - drawn * share) <= 5 * deviation + 1, shape
    assert set(seen) <= set(everything)


@pytest.mark.parametrize("rule", RULES)
def test_round_trips_neighbours_and_drawings(rule):
    space, rng = make(rule), Random(1)
    for _ in range(5):
        arch = space.sample(rng)
        space.validate(arch)
        assert space.canonical(arch) == arch
        assert space.parse(space.notation(arch)) == space.parse(json.dumps(arch.to_json())) == arch
        weights = {c.name: [float(o in arch[c.name]) for o in c.options] for c in space.choices}
        assert space.discretize(weights) == arch
        near = space.neighbours(arch)
        assert len(set(near)) == len(near)
        assert arch not in near
        for other in rng.sample(near, 2):
            space.validate(other)
            assert arch in space.neighbours(other)
        assert space.mutate(arch, rng) in near
        svg = draw(space.graphs(arch))
        for cell in space.genotype(arch):
            for node in cell:
                assert all(f">{operation}</text>" in svg for operation, _ in node)


def test_published_cells_are_read_written_and_counted():
    """FairDARTS_b has 536 M MACs and 3.88 M parameters with its auxiliary head, FairDARTS_a 2.83 M.

    The numbers stand beside the cells in fairdarts/genotypes.py of xiaomi-automl/FairDARTS. The published
    network of FairDARTS_a leaves the node without operations out of the output of normal cells. Ours has
    zeros in its place, and so the weights that read them.
    """
    space = DartsSpace(DartsConfig(node_inputs="threshold"))
    arch = space.parse("FairDARTS_a")
    assert space.notation(arch).startswith(
        "Genotype(normal=[('sep_conv_3x3', 2, 0), ('sep_conv_5x5', 2, 1), ('max_pool_3x3', 4, 0), "
        "('sep_conv_3x3', 5, 0)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 2, 0)"
    )
    head = count_parameters(space.build_auxiliary(Task())[0])
    with torch.device("meta"):
        net = space.build(Task(), arch)
    plans = [cell.plan for cell in net.cells]
    zeros = 10 * plans[-1].channels + sum(
        plans[at - back].channels * plan.channels
        for at, plan in enumerate(plans)
        for back in (1, 2)
        if at >= back and plans[at - back].kind == "normal"
    )
    assert math.floor((count_parameters(net) + head - zeros) / 1e4) == 283
    cost = measure_arch(space, Task(), space.parse("FairDARTS_b"))
    assert math.floor((cost.params + head) / 1e4) == 388
    assert math.floor(cost.macs / 1e6) == 536


@pytest.mark.parametrize("execution", ["fast", "reference"])
@pytest.mark.parametrize("scale", ["search", "eval", "final"])
def test_one_hot_law(scale, execution):
    torch.manual_seed(0)
    space = make("threshold-edges", execution=execution)
    arch = space.parse(SPARSE)
    sizes = [len({i for _, i in node}) for cell in space.genotype(arch) for node in cell]
    assert sizes == [1, 3, 0, 1, 1, 1, 3, 0]
    supernet = space.build(TASK, scale=scale).double().eval()
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    net = space.build(TASK, arch, scale).double().eval()
    assert set(net.state_dict()) < set(supernet.state_dict())
    copy_shared(net, supernet)
    expected = supernet(x, one_hot(space.choices, arch, dtype=torch.float64))
    made = net(x)
    torch.testing.assert_close(made.logits, expected.logits)
    for mine, theirs in zip(made.features, expected.features, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_costs_add_up():
    space = make("threshold-edges")
    arch = space.parse(SPARSE)
    added, measured = count_options(space, TASK).of(arch), measure_arch(space, TASK, arch)
    assert (added["params"], added["macs"]) == (measured.params, measured.macs)


@pytest.mark.parametrize("execution", ["fast", "reference"])
def test_a_step_of_training(execution):
    torch.manual_seed(0)
    space = make("threshold-edges", execution=execution)
    net = space.build(TASK, space.parse(SPARSE)).train()
    set_drop_path(net, 0.2)
    optimizer = torch.optim.SGD(net.parameters(), 0.05)
    x, y = torch.randn(8, 3, 16, 16), torch.randint(0, 4, (8,))
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    loss = cross_entropy(net(x).logits, y)
    loss.backward()
    optimizer.step()
    assert loss.isfinite()
    moved = [name for name, p in net.named_parameters() if not torch.equal(p, before[name])]
    assert any("sep_conv_3x3" in name for name in moved)
    assert any("sep_conv_5x5" in name for name in moved), "an operation on a node of three inputs"


@pytest.mark.parametrize("execution", ["fast", "reference"])
def test_a_search_that_is_undecided_keeps_nothing(execution):
    space = make("threshold", execution=execution)
    arch = space.discretize({c.name: [0.5] * len(c.options) for c in space.choices if c.kind == "op"})
    assert all(node == () for cell in space.genotype(arch) for node in cell)
    assert space.parse(space.notation(arch)) == arch
    assert draw(space.graphs(arch)).startswith("<svg")
    logits = space.build(TASK, arch).train()(torch.randn(4, 3, 16, 16)).logits
    assert logits.isfinite().all()
    cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()


def test_fast_networks_are_the_reference():
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    results = []
    for execution in ("reference", "fast"):
        torch.manual_seed(0)
        space = make("threshold-edges", execution=execution)
        net = space.build(TASK, space.parse(SPARSE)).double().train()
        set_drop_path(net, 0.3)
        torch.manual_seed(1)
        out = net(x)
        out.logits.square().sum().backward()
        results.append({"logits": out.logits, **{n: p.grad for n, p in net.named_parameters()}})
    for name, expected in results[0].items():
        if expected is not None:
            torch.testing.assert_close(results[1][name], expected, rtol=1e-8, atol=1e-10, msg=name)


def test_drop_path_spares_the_identity_beside_another_operation():
    space = make("pairs")
    text = str([[("skip_connect", 0), ("sep_conv_3x3", 0)]] * 4)
    arch = space.parse(
        f"Genotype(normal={text}, normal_concat=range(2, 6), reduce={text}, reduce_concat=range(2, 6))"
    )
    net = space.build(TASK, arch)
    edge = net.cells[0].nodes[0].edges["in0"]
    assert isinstance(edge.drop, DropPath)
    edge.drop.rate = 1.0 - 1e-9
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(edge(x), x)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("two", "two different inputs with one operation each. Write node_inputs"),
        ("pairs", "node 0 adds 1 operation.*two operations, on one input or on two"),
        ("threshold", "at most two different inputs"),
    ],
)
def test_a_genotype_of_another_rule_is_refused_with_the_line_to_write(rule, said):
    with pytest.raises(ArchError, match=said):
        make(rule).parse(SPARSE)


@pytest.mark.parametrize("rule", ["pairs", "threshold"])
def test_conformance(rule):
    for check in checks_for(REGISTRY.get("space", "darts"), options={"node_inputs": rule}):
        check()


def test_kept_operations_are_those_of_darts():
    assert make("pairs").size() == make("pairs", operations=(*KEPT, "none")).size()
