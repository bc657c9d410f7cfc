"""The space of AutoFormer: published sizes and numbers, slices, notation, costs."""

from random import Random

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from nasforge.cost import count_parameters, measure_arch
from nasforge.cost.itemize import count_options
from nasforge.cost.latency_build import Settings, build_table
from nasforge.drawing import draw_text
from nasforge.errors import ArchError
from nasforge.nn import copy_shared, set_drop_path
from nasforge.runtime import Runtime
from nasforge.space import Task
from nasforge_plugins.evaluators.zero_cost.proxies import PROXIES
from nasforge_plugins.spaces.vit.config import VitConfig
from nasforge_plugins.spaces.vit.plugin import nasforge_plugins
from nasforge_plugins.spaces.vit.space import VitSpace

(PLUGIN,) = nasforge_plugins()
TINY = dict(PLUGIN.tiny)
TASK = Task(3, 16, 4)
IMAGENET = Task(3, 224, 1000)


def tiny(**options):
    return VitSpace(VitConfig(**{**TINY, **options}))


def supernet_of(space):
    torch.manual_seed(0)
    net = space.build(TASK).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


def published_count(depth, ratios, heads, dim, *, patches=196, patch=16, classes=1000, table=30):
    """Add up what `get_sampled_params_numel` of the published supernet counts, layer by layer."""
    total = 3 * patch * patch * dim + dim + dim * (2 + patches)
    for ratio, count in zip(ratios, heads, strict=True):
        inner, hidden = 64 * count, int(dim * ratio)
        norms, tables = 2 * 2 * dim, 2 * 2 * table * 64
        attention = 3 * inner * dim + 3 * inner + inner * dim + dim
        total += norms + tables + attention + 2 * dim * hidden + hidden + dim
    assert len(ratios) == depth
    return total + 2 * dim + dim * classes + classes


@pytest.mark.parametrize(
    ("letter", "name", "count"),
    [("T", "tiny", 5_867_944), ("S", "small", 22_891_432), ("B", "base", 53_691_688)],
)
def test_published_networks_have_the_published_sizes(letter, name, count, monkeypatch):
    monkeypatch.setattr(
        nn.init, "trunc_normal_", lambda tensor, std: tensor
    )  # takes seconds, changes no size
    space = VitSpace(VitConfig(supernet=name))
    arch = space.parse(f"AutoFormer-{letter}")
    depth = int(arch["depth"][0])
    ratios = [float(arch[f"block{i}/mlp_ratio"][0]) for i in range(depth)]
    heads = [int(arch[f"block{i}/heads"][0]) for i in range(depth)]
    assert published_count(depth, ratios, heads, int(arch["embed_dim"][0])) == count
    assert count_parameters(space.build(IMAGENET, arch)) == count


def by_hand(net, x, dims, heads, ratios):
    """Compute the published forward pass with the weights of a supernet, pair by pair of tokens."""
    w = {name: tensor.double() for name, tensor in net.state_dict().items()}
    dim, side, head, furthest = dims, 4, 4, 2
    tokens = F.conv2d(x, w["patches.weight"][:dim], w["patches.bias"][:dim], stride=4).flatten(2).mT
    first = w["patches.class_token"][..., :dim].expand(len(x), -1, -1)
    t = torch.cat([first, tokens], 1) + w["patches.position"][..., :dim]

    def norm(name, t):
        return F.layer_norm(t, (dim,), w[f"{name}.weight"][:dim], w[f"{name}.bias"][:dim])

    def vectors(name):
        table = torch.zeros(17, 17, head, dtype=torch.float64)
        for i in range(17):
            for j in range(17):
                rows = columns = 0
                if i and j:
                    rows = max(-furthest, min(furthest, (j - 1) // side - (i - 1) // side)) + furthest + 1
                    columns = max(-furthest, min(furthest, (j - 1) % side - (i - 1) % side)) + furthest + 1
                table[i, j] = w[f"{name}.vertical"][rows] + w[f"{name}.horizontal"][columns]
        return table

    for b, (count, ratio) in enumerate(zip(heads, ratios, strict=True)):
        at, n = f"blocks.{b}", 3 * count * head
        y = norm(f"{at}.attention.norm", t)
        weight, bias = w[f"{at}.attention.queries.weight"], w[f"{at}.attention.queries.bias"]
        q, k, v = (
            (y @ weight[part:n:3, :dim].T + bias[part * n // 3 : (part + 1) * n // 3]).view(
                len(x), 17, count, head
            )
            for part in range(3)
        )
        keys, values = (vectors(f"{at}.attention.{which}_positions") for which in ("key", "value"))
        scores = torch.einsum("bihc,bjhc->bhij", q, k) + torch.einsum("bihc,ijc->bhij", q, keys)
        attention = (scores / head**0.5).softmax(-1)
        y = torch.einsum("bhij,bjhc->bihc", attention, v) + torch.einsum("bhij,ijc->bihc", attention, values)
        project = w[f"{at}.attention.project.weight"][:dim, : n // 3]
        t = t + y.flatten(2) @ project.T + w[f"{at}.attention.project.bias"][:dim]
        hidden = int(dim * ratio)
        expand, back = w[f"{at}.hidden.expand.weight"][:hidden, :dim], w[f"{at}.hidden.project.weight"]
        y = norm(f"{at}.hidden.norm", t) @ expand.T + w[f"{at}.hidden.expand.bias"][:hidden]
        t = t + F.gelu(y) @ back[:dim, :hidden].T + w[f"{at}.hidden.project.bias"][:dim]
    t = norm("classifier.norm", t)[:, 1:].mean(1)
    return t @ w["classifier.linear.weight"][:, :dim].T + w["classifier.linear.bias"]


@pytest.mark.parametrize(
    ("row", "dim", "heads", "ratios"),
    [
        ("(2, 1.5, 2, 2, 1, 8)", 8, (2, 1), (1.5, 2.0)),
        ("(3, 2, 1.5, 2, 1, 2, 1, 12)", 12, (1, 2, 1), (2.0, 1.5, 2.0)),
    ],
)
def test_the_forward_pass_is_the_published_one(row, dim, heads, ratios):
    space = tiny()
    supernet, x = supernet_of(space).double(), torch.randn(3, 3, 16, 16, dtype=torch.float64)
    network = space.build(TASK, space.parse(row)).double().eval()
    copy_shared(network, supernet)
    assert torch.allclose(network(x).logits, by_hand(supernet, x, dim, heads, ratios), rtol=0, atol=1e-11)


def test_an_inherited_network_is_its_slice_to_the_bit():
    space, rng = tiny(), Random(3)
    supernet, x = supernet_of(space), torch.randn(5, 3, 16, 16)
    for _ in range(6):
        arch = space.sample(rng)
        network = space.build(TASK, arch).eval()
        copy_shared(network, supernet)
        for name, tensor in network.state_dict().items():
            whole = supernet.state_dict()[name]
            assert torch.equal(tensor, whole[tuple(map(slice, tensor.shape))])
        path = {c.name: c.options.index(arch[c.name][0]) for c in space.choices}
        ours, theirs = network(x), supernet(x, path)
        assert torch.equal(ours.logits, theirs.logits)
        channels = ours.features[-1].shape[1]
        assert torch.equal(ours.features[-1], theirs.features[-1][:, :channels])
        assert theirs.features[-1][:, channels:].eq(0).all()


def test_rows_are_those_of_the_published_search():
    space = VitSpace(VitConfig())
    arch = space.parse("AutoFormer-T")
    assert (arch["depth"], arch["embed_dim"], arch["block10/heads"]) == (("13",), ("192",), ("4",))
    assert arch["block13/heads"] == ("3",)
    assert space.parse(space.notation(arch)) == arch
    assert space.size() == 3 * sum(6**depth for depth in (12, 13, 14))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("AutoFormer-X", "Did you mean 'AutoFormer-T'"),
        ("AutoFormer-S", "no option '384'"),
        ("(2, 1.5, 2, 1, 8)", "5 numbers. A row of depth 2 has 6"),
        ("(1, 2, wide, 8)", "'wide' is not a number"),
        ("(1, 2.5, 1, 8)", "no option '2.5'"),
    ],
)
def test_other_rows_are_refused(text, words):
    with pytest.raises(ArchError, match=words.replace("(", r"\(").replace(".", r"\.")):
        tiny().parse(text)


def test_slices_that_do_not_fit_are_refused():
    with pytest.raises(ValidationError, match="in ascending order: smaller ones are slices"):
        VitConfig(heads=(4, 3))
    with pytest.raises(
        ArchError, match=r"space\.patch_size: images of 18 pixels are not made of patches of 4"
    ):
        tiny().build(Task(3, 18, 4))


def test_parts_add_up_to_what_networks_cost():
    space, rng = tiny(), Random(0)
    added = count_options(space, TASK)
    for _ in range(4):
        arch = space.sample(rng)
        measured = measure_arch(space, TASK, arch)
        assert added.of(arch) == {"params": measured.params, "macs": measured.macs}
    assert added.bound("params") == measure_arch(space, TASK, space.parse("(1, 1.5, 1, 8)")).params


def test_a_latency_table_has_a_time_for_every_part():
    settings = Settings(runs=2, warmup=1, references=2, networks=3)
    table = build_table(tiny(), TASK, Runtime(torch.device("cpu")), {"use": "vit"}, settings=settings)
    # Two halves of a block by width and option, patches, and classifier.
    assert len(table.units) == 2 * (2 + 2 + 1 + 1)
    assert type(table).from_json(table.to_json()).choices == table.choices


def test_proxies_see_every_layer():
    space = tiny()
    torch.manual_seed(0)
    network = space.build(TASK, space.sample(Random(0)))
    images, labels = torch.randn(8, 3, 16, 16), torch.arange(8) % 4
    scores = {name: proxy(network, images, labels) for name, proxy in PROXIES.items()}
    assert all(torch.tensor(score).isfinite() for score in scores.values())
    blind = {"swap", "meco", "expressivity", "progressivity", "trainability"}  # read ReLUs or stacks of maps
    assert len({score for name, score in scores.items() if name not in blind}) == len(scores) - len(blind)


def test_drop_path_grows_with_depth():
    space = tiny()
    network = space.build(TASK, space.parse("(3, 2, 2, 2, 1, 1, 1, 8)"))
    set_drop_path(network, 0.5)
    block = network.blocks[2].hidden.drop_path
    assert [b.hidden.drop_path.share for b in network.blocks] == [0.0, 0.5, 1.0]
    torch.manual_seed(0)
    assert set(block(torch.ones(32, 2, 2)).unique().tolist()) == {0.0, 2.0}
    assert network.blocks[0].hidden.drop_path(torch.ones(32, 2, 2)).eq(1).all()


def test_blocks_are_drawn_in_a_row():
    space = tiny()
    text = draw_text(space.graphs(space.parse("(2, 1.5, 2, 2, 1, 8)")))
    assert text.splitlines() == [
        "transformer, 8 channels",
        "  block0 = 2 heads, mlp x1.5(patches)",
        "  block1 = 1 heads, mlp x2(block0)",
    ]
