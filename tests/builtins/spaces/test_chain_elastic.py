"""Elastic kernels, expansions and depths of the chain: slices, sizes, notation, costs, training."""

from random import Random

import pytest
import torch
from pydantic import ValidationError

from nasforge.arch import Choice
from nasforge.cost import count_parameters, measure, measure_arch
from nasforge.cost.itemize import count_options
from nasforge.cost.latency_build import Settings, build_table
from nasforge.drawing import draw_text
from nasforge.errors import ArchError
from nasforge.nn import ArchParameters, copy_shared
from nasforge.runtime import Runtime
from nasforge.space import Task
from nasforge.testing import checks_for
from nasforge_plugins.evaluators.supernet.config import SupernetConfig
from nasforge_plugins.evaluators.supernet.evaluator import Supernet
from nasforge_plugins.evaluators.zero_cost.proxies import PROXIES
from nasforge_plugins.spaces.chain.blocks import MBConv
from nasforge_plugins.spaces.chain.config import ChainConfig
from nasforge_plugins.spaces.chain.elastic import ElasticMBConv
from nasforge_plugins.spaces.chain.plugin import nasforge_plugins
from nasforge_plugins.spaces.chain.space import ChainSpace
from support.tiny_training import TinyData, context

(PLUGIN,) = nasforge_plugins()
TASK = Task(3, 16, 4)
IMAGENET = Task(3, 224, 1000)
ROW = "[[0],[0],[3,2],[5,0],[1],[4],[0]]"


def chain(**options):
    few = {"elastic": True, "kernels": [3, 5, 7], "depths": [1, 2, 3, 1, 1]}
    return ChainSpace(ChainConfig.model_validate({**PLUGIN.tiny, **few, **options}))


def path_of(space, arch):
    return {choice.name: choice.options.index(arch[choice.name][0]) for choice in space.choices}


def trained(space):
    """Return a search network whose norms have seen images, one architecture per batch."""
    torch.manual_seed(0)
    net, rng = space.build(TASK, scale="search"), Random(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for _ in range(4):
            net(torch.randn(8, 3, 16, 16), path_of(space, space.sample(rng)))
    return net.eval()


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=f"{name}-{check.name}")
        for name, options in (
            ("elastic", {"elastic": True}),
            ("fixed-depth", {"elastic": True, "variable_depth": False, "kernels": [3]}),
            ("partial", {"elastic": True, "min_depth": 2, "partial_channels": 2}),
        )
        for check in checks_for(PLUGIN, options=options)
    ],
)
def test_the_laws_hold_for_slices(check):
    check()


def test_an_inherited_network_is_its_slice_to_the_bit():
    space, rng = chain(), Random(3)
    supernet, x = trained(space), torch.randn(5, 3, 16, 16)
    whole = supernet.state_dict()
    smaller = set()
    for _ in range(6):
        arch = space.sample(rng)
        network = space.build(TASK, arch, "search").eval()
        copy_shared(network, supernet)
        for name, tensor in network.state_dict().items():
            inside = list(map(slice, tensor.shape))
            if tensor.dim() == 4:
                edge = (whole[name].shape[-1] - tensor.shape[-1]) // 2
                inside[2:] = [slice(edge, edge + tensor.shape[-1])] * 2
            assert torch.equal(tensor, whole[name][tuple(inside)]), name
            if tensor.shape != whole[name].shape:
                smaller.add(name.rpartition(".")[0].rpartition(".")[2])
        ours, theirs = network(x), supernet(x, path_of(space, arch))
        assert torch.equal(ours.logits, theirs.logits)
        assert all(map(torch.equal, ours.features, theirs.features))
    assert smaller >= {"expand", "expand_norm", "depthwise", "depthwise_norm", "project"}


def test_a_path_is_the_separate_block_with_cut_weights():
    kernel, expansion = (Choice(n, o, elastic=True) for n, o in (("k", ("3", "7")), ("e", ("3", "6"))))
    torch.manual_seed(0)
    elastic = ElasticMBConv(8, 8, 1, kernel, expansion).eval()
    alone, x = MBConv(8, 8, 3, 3, 1).eval(), torch.randn(4, 8, 9, 9)
    state = elastic.state_dict()
    cut = {name: tensor[tuple(map(slice, alone.state_dict()[name].shape))] for name, tensor in state.items()}
    cut["depthwise.weight"] = state["depthwise.weight"][:24, :, 2:5, 2:5]
    alone.load_state_dict(cut)
    assert alone.squeeze.reduce.out_channels < elastic.squeeze.reduce.out_channels
    assert torch.equal(elastic(x, {"k": 0, "e": 0}), alone(x))


def test_networks_have_the_sizes_of_separate_blocks():
    elastic, separate = chain(), chain(elastic=False)
    rng = Random(0)
    for _ in range(4):
        arch = elastic.sample(rng)
        same = separate.parse(elastic.notation(arch))
        assert count_parameters(elastic.build(TASK, arch)) == count_parameters(separate.build(TASK, same))
    published = ChainSpace(ChainConfig(elastic=True))
    with torch.device("meta"):
        cost = measure(published.build(IMAGENET, published.parse("CDARTS-b")), IMAGENET)
    assert (cost.params, cost.macs) == (6_465_224, 387_858_432)


def test_choices_are_elastic_and_named_by_stage_and_block():
    choices = {choice.name: choice for choice in ChainSpace(ChainConfig(elastic=True, min_depth=2)).choices}
    assert choices["stage2/depth"].options == ("2", "3", "4")
    assert choices["stage2/block1/kernel"].options == ("3", "5", "7")
    assert choices["stage2/block1/expansion"].options == ("4", "6")
    assert all(choice.elastic for choice in choices.values())
    assert len(choices) == 5 + 2 * 21
    # A stage of one depth has nothing to choose there.
    assert not any("depth" in choice.name for choice in chain(variable_depth=False).choices)
    assert "stage1/depth" not in {choice.name for choice in chain().choices}


def test_the_fewest_blocks_bound_separate_blocks_too():
    for space in (ChainSpace(ChainConfig(elastic=elastic, min_depth=3)) for elastic in (False, True)):
        assert space.size() == (6**3 + 6**4) ** 4 * (6**3 + 6**4 + 6**5)
        with pytest.raises(ArchError, match=r"stage 1 takes 3 to 4 block\(s\), got 1"):
            space.parse("CDARTS-a")
    assert chain(min_depth=5, elastic=False).size() == chain(variable_depth=False, elastic=False).size()


def test_rows_are_those_of_separate_blocks():
    space = chain()
    arch = space.parse(ROW)
    answers = {"stage2/depth": "2", "stage2/block0/kernel": "5", "stage2/block0/expansion": "2"}
    answers |= {"stage3/depth": "2", "stage3/block0/kernel": "7", "stage3/block1/kernel": "3"}
    assert {name: arch[name][0] for name in answers} == answers
    assert (arch["stage3/block2/kernel"], arch["stage3/block2/expansion"]) == (("3",), ("1",))
    assert space.notation(arch) == ROW
    longer = space.canonical(arch.with_answer("stage3/block2/kernel", "7"))
    assert longer == arch
    found = {space.sample(rng) for rng in [Random(0)] for _ in range(50)}
    assert all(space.parse(space.notation(one)) == one for one in found)


@pytest.mark.parametrize("name", ["kernels", "expansions"])
def test_options_that_do_not_grow_are_refused(name):
    with pytest.raises(ValidationError, match=f"elastic {name} must be in ascending order"):
        ChainConfig.model_validate({"elastic": True, name: [5, 3]})
    ChainConfig.model_validate({name: [5, 3]})


def test_parts_add_up_to_what_networks_cost():
    space, rng = chain(), Random(0)
    added = count_options(space, TASK)
    for _ in range(4):
        arch = space.sample(rng)
        measured = measure_arch(space, TASK, arch)
        assert added.of(arch) == {"params": measured.params, "macs": measured.macs}
    smallest = measure_arch(space, TASK, space.parse("[[0],[0],[0],[0],[0],[0],[0]]"))
    assert (added.bound("params"), added.bound("macs")) == (smallest.params, smallest.macs)


def test_a_latency_table_has_a_time_for_every_kind_of_block():
    settings = Settings(runs=2, warmup=1, references=2, networks=3)
    space = chain(kernels=[3, 5])
    table = build_table(space, TASK, Runtime(torch.device("cpu")), {"use": "chain"}, settings=settings)
    # Four kinds of blocks at seven places: the first of each stage, and those that follow in stages 2 and 3.
    assert len(table.units) == 4 * 7
    assert type(table).from_json(table.to_json()).choices == table.choices


def test_proxies_score_them_as_networks_of_separate_blocks():
    networks = []
    for space in (chain(), chain(elastic=False)):
        torch.manual_seed(0)
        # Of all blocks: a separate one that is skipped would be a part of the network that does nothing.
        networks.append(space.build(TASK, space.parse("[[0],[0],[3,2],[5,0,1],[1],[4],[0]]")))
    images, labels = torch.randn(8, 3, 16, 16), torch.arange(8) % 4
    for name, proxy in PROXIES.items():
        if name == "meco":
            continue  # counts the map of a separate block once more, for the module around its options
        scores = []
        for network in networks:
            torch.manual_seed(1)
            scores.append(proxy(network, images, labels))
        assert scores[0] == pytest.approx(scores[1], rel=1e-5), name


def test_every_choice_gets_a_gradient():
    space = chain()
    torch.manual_seed(0)
    alpha = ArchParameters(space.choices, std=0.1)
    space.build(TASK, scale="search")(
        torch.randn(4, 3, 16, 16), alpha.weights()
    ).logits.square().sum().backward()
    assert all(logits.grad is not None and logits.grad.abs().sum() > 0 for logits in alpha.logits.values())


def test_blocks_are_drawn_in_a_row():
    space = chain()
    assert draw_text(space.graphs(space.parse(ROW))).splitlines()[:4] == [
        "chain",
        "  1.0 = k3e1(stem)",
        "  2.0 = k5e2(1.0)",
        "  2.1 = k5e1(2.0)",
    ]


def test_a_sandwich_trains_and_scores_slices(tmp_path):
    space = chain(kernels=[3, 5], depths=[1, 1, 2, 1, 1])
    options = {"epochs": 1, "batch_size": 8, "sandwich": 1, "distill": True, "recalibration_images": 8}
    evaluator = Supernet(SupernetConfig(**options))
    evaluator.setup(context(tmp_path, TinyData(), "search", space=space))
    arch = space.sample(Random(0))
    score = evaluator.evaluate(arch).score
    assert score == evaluator.evaluate(arch).score
    assert 0.0 <= score <= 100.0
