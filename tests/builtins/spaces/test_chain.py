"""The chain space as data: choices, sizes, notations, published architectures."""

import json
from random import Random

import pytest
import torch
from pydantic import ValidationError

from nasforge.arch import Arch
from nasforge.cli import run_command
from nasforge.cost import measure
from nasforge.errors import ArchError
from nasforge.space import Task
from nasforge_plugins.spaces.chain.blocks import round_channels
from nasforge_plugins.spaces.chain.config import ChainConfig
from nasforge_plugins.spaces.chain.space import ChainSpace

A = "[[0],[3],[3,3],[3,1,3],[3,3,3,3],[3,3,3],[0]]"
IMAGENET = Task(3, 224, 1000)


def chain(**options: object) -> ChainSpace:
    return ChainSpace(ChainConfig.model_validate(options))


@pytest.mark.parametrize(
    ("name", "params", "macs"), [("CDARTS-a", 6_993_560, 297_655_936), ("CDARTS-b", 6_465_224, 387_858_432)]
)
def test_published_networks_have_their_exact_size(name, params, macs):
    space = chain()
    assert space.reference_task == IMAGENET
    with torch.device("meta"):
        network = space.build(IMAGENET, space.parse(name))
    cost = measure(network, IMAGENET)
    assert (cost.params, cost.macs) == (params, macs)


def test_a_narrower_head_changes_the_head_alone():
    space = chain(head_channels=320)
    with torch.device("meta"):
        cost = measure(space.build(IMAGENET, space.parse("CDARTS-a")), IMAGENET)
    # 640 fewer channels: in the convolution and norm before pooling, and in the layer after it
    assert cost.params == 6_993_560 - 640 * (192 + 2 + 1280)
    assert cost.macs == 297_655_936 - 640 * (192 * 49 + 1280)


@pytest.mark.parametrize(
    ("channels", "rounded"),
    [
        (4, 8),
        (16, 16),
        (24, 24),
        (36, 40),
        (60, 64),
        (20, 24),
        (12, 16),
        (19, 24),
        (18, 24),
        (11.9, 16),
        (90, 88),
    ],
)
def test_rounding_never_loses_more_than_a_tenth(channels, rounded):
    assert round_channels(channels) == rounded


def test_sizes_are_those_of_the_facts():
    four = (4, 4, 4, 4, 4)
    assert chain(depths=four, variable_depth=False).size() == 6**20
    assert chain(variable_depth=False).size() == 6**21
    assert chain(depths=four).size() == (6 + 6**2 + 6**3 + 6**4) ** 5


def test_size_counts_the_canonical_architectures():
    space = chain(depths=(1, 2, 1, 1, 1), kernels=[3], expansions=[1, 2])
    rng = Random(0)
    found = {space.sample(rng) for _ in range(3000)}
    assert len(found) == space.size() == 2**4 * (2 + 4)


def test_choices_are_named_by_stage_and_block():
    choices = {c.name: c.options for c in chain().choices}
    six = ("k3e4", "k3e6", "k5e4", "k5e6", "k7e4", "k7e6")
    assert len(choices) == 21
    assert choices["stage2/block0"] == six
    assert choices["stage2/block1"] == (*six, "skip")
    assert all(c.options == six for c in chain(variable_depth=False).choices)


def test_notations_round_trip():
    space, rng = chain(), Random(0)
    for name in ("CDARTS-a", "CDARTS-b"):
        assert space.parse(space.notation(space.parse(name))) == space.parse(name)
    assert space.notation(space.parse("CDARTS-a")) == A
    for _ in range(20):
        arch = space.sample(rng)
        assert space.parse(space.notation(arch)) == arch
        assert space.parse(str(arch.to_json()).replace("'", '"')) == arch


def test_indices_follow_the_published_order():
    arch = chain().parse("[[0],[0],[1],[2],[3,4],[5],[0]]")
    assert [arch[f"stage{i}/block0"][0] for i in (1, 2, 3)] == ["k3e4", "k3e6", "k5e4"]
    assert arch["stage4/block0"] == ("k5e6",)
    assert arch["stage4/block1"] == ("k7e4",)
    assert arch["stage5/block0"] == ("k7e6",)
    assert arch["stage5/block1"] == ("skip",)


def test_only_the_number_of_skipped_blocks_matters():
    space = chain()
    a = space.parse("CDARTS-b")
    early = Arch({**a, "stage2/block1": "skip"})
    late = space.canonical(early)
    assert [late[f"stage2/block{i}"][0] for i in range(4)] == ["k7e6", "k7e4", "k3e4", "skip"]
    assert space.notation(early) == space.notation(late)
    assert space.discretize({"stage2/block1": [0, 0, 0, 0, 0, 0, 1.0]})["stage2/block3"] == ("skip",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[0],[3],[3,3],[3,1,3],[3,3,3,3],[0]]", ["6 lists", "7"]),
        ("[[0],[3],[3,9],[3,1,3],[3,3,3,3],[3,3,3],[0]]", ["stage 2, block 1", "9", "5=k7e6"]),
        ("[[0],[3],[3,-1],[3],[3],[3],[0]]", ["stage 2, block 1", "-1"]),
        ("[[0],[3],[true],[3],[3],[3],[0]]", ["stage 2, block 0", "true"]),
        ("[[0],[3,3,3,3,3],[],[3],[3],[3],[0]]", ["stage 1 takes 1 to 4", "got 5", "stage 2", "got 0"]),
        ("[[1],[3],[3],[3],[3],[3],[2]]", ["first block", "[1]", "head", "[2]"]),
        ("[[0],[3],3,[3],[3],[3],[0]]", ["stage 2 must be a list", "3"]),
        ("[[0],[3],[3,", ["character 13", "index lists"]),
        ("CDARTS-c", ["'CDARTS-c'", "Did you mean"]),
        ('{"stage1/block0": "k3e5"}', ["k3e5", "Did you mean"]),
        ("", ["character 1"]),
        ("7", ["lists"]),
    ],
)
def test_bad_text_is_an_error_that_says_where(text, words):
    with pytest.raises(ArchError) as error:
        chain().parse(text)
    for word in words:
        assert word in str(error.value)


def test_a_fixed_depth_takes_lists_of_exactly_that_length():
    space = chain(depths=(1, 2, 3, 4, 3), variable_depth=False)
    assert space.notation(space.parse("CDARTS-a")) == A
    with pytest.raises(ArchError, match=r"stage 1 takes 1 block\(s\), got 4"):
        space.parse("CDARTS-b")


def test_published_names_need_the_published_options():
    with pytest.raises(ArchError, match=r"kernels \[3, 5, 7\]"):
        chain(kernels=[3, 5]).parse("CDARTS-a")


@pytest.mark.parametrize(
    "options",
    [
        {"kernels": [4]},
        {"kernels": [3, 3]},
        {"depths": [1, 2, 3]},
        {"depths": [0, 1, 1, 1, 1]},
        {"feature_stages": [3, 2]},
        {"feature_stages": [6]},
        {"layout": "mnist"},
        {"dropout": 1.0},
    ],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ValidationError):
        ChainConfig.model_validate(options)


def test_sampling_reaches_every_option():
    space, rng = chain(), Random(1)
    seen = {option for _ in range(50) for picks in space.sample(rng).values() for option in picks}
    assert seen == {*space.options, "skip"}


def test_the_command_line_measures_published_networks_as_published(capsys):
    for name, params, macs in (("CDARTS-a", 6_993_560, 297_655_936), ("CDARTS-b", 6_465_224, 387_858_432)):
        assert run_command(["inspect", "chain", "--arch", name, "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert (report["params"], report["macs"]) == (params, macs)
