"""Genotype text: every published form is read, every mistake is named."""

import contextlib
import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasforge.errors import ArchError
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.operation_sets import KEPT
from nasforge_plugins.spaces.darts.published import PUBLISHED
from nasforge_plugins.spaces.darts.space import DartsSpace

SPACE = DartsSpace(DartsConfig())
SPARSE = DartsSpace(DartsConfig(node_inputs="threshold"))
FLAT = SPACE.notation(SPACE.parse("DARTS_V2"))
BAD = (
    "[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), {}, ('sep_conv_3x3', 1), ('sep_conv_3x3', 1), "
    "('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)]"
)


def nested(name):
    def cell(nodes):
        return str([list(node) for node in nodes])

    genotype = PUBLISHED[name]
    return (
        f"Genotype(normal={cell(genotype.normal)}, normal_concat=range(2, 6), "
        f"reduce={cell(genotype.reduce)}, reduce_concat=range(2, 6))"
    )


def genotype_with(pair):
    return (
        f"Genotype(normal={BAD.format(pair)}, normal_concat=range(2, 6), "
        f"reduce={BAD.format(pair)}, reduce_concat=[2, 3, 4, 5])"
    )


def test_darts_v2_is_the_published_text():
    assert FLAT == (
        "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
        "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
        "('dil_conv_3x3', 2)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), "
        "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
        "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))"
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_all_forms_mean_the_same(name):
    space = SPARSE if name.startswith("FairDARTS") else SPACE
    arch = space.parse(name)
    text = nested(name)
    forms = [
        space.notation(arch),
        text,
        f"{name} = {text}",
        text.replace("range(2, 6)", "[2, 3, 4, 5]").replace("'", '"'),
        json.dumps({"0": text, "1": text, "2": text}, indent=1),
        json.dumps(arch.to_json()),
        f"  {space.notation(arch)}\n".replace(", ", ",\n\t"),
    ]
    for form in forms:
        parsed = space.parse(form)
        assert parsed == arch
        if "/" not in form:  # choices as JSON keep the order too, but only of a node's inputs
            assert space.genotype(parsed) == PUBLISHED[name]


def test_names_have_aliases_and_any_case():
    assert SPACE.parse("PC_DARTS") == SPACE.parse("PC_DARTS_cifar")
    assert SPACE.parse("cdarts") == SPACE.parse("CDARTS_cifar") != SPACE.parse("CDARTS_imagenet")


@given(st.integers(0, 2**32), st.booleans())
def test_round_trip(seed, turn):
    rng = Random(seed)
    arch = SPACE.sample(rng)
    if turn:  # the order inside a node is kept
        arch = SPACE.discretize({c.name: [rng.random() for _ in c.options] for c in SPACE.choices})
    again = SPACE.parse(SPACE.notation(arch))
    assert again == arch
    assert SPACE.genotype(again) == SPACE.genotype(arch)


@given(st.text(alphabet="Genotype(nrmalducc_=[],')0123 x", max_size=60) | st.text(max_size=30))
def test_any_text_is_read_or_refused(text):
    for candidate in (text, FLAT[: len(text) * 7] + text, FLAT + text):
        with contextlib.suppress(ArchError):
            SPACE.validate(SPACE.parse(candidate))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("DARTS_V3", "Did you mean 'DARTS_V2'"),
        ("resnet", "Known: .*PC_DARTS_cifar"),
        (FLAT[:39], "character 40: expected a list, pair, .* got the end"),
        (FLAT.replace("Genotype", "Genotyp"), "character 1: expected 'Genotype', got 'Genotyp'"),
        (
            FLAT.replace("normal_concat", "normal_conca"),
            "no field 'normal_conca'. Did you mean 'normal_concat'",
        ),
        (FLAT.replace(", reduce_concat=range(2, 6)", ""), "'reduce_concat' missing"),
        (FLAT.replace("('sep_conv_3x3', 0)", "('sep_conv_3x3'; 0)"), r"character \d+: cannot read ';'"),
        (FLAT.replace("range(2, 6)", "range(3, 6)"), r"normal_concat: .* got \[3, 4, 5\]"),
        (FLAT + ")", "expected the end"),
        ("Genotype(normal=" + "[" * 100, "nested too deeply"),
        ("Genotype(normal=range(1000))", "small numbers"),
        (genotype_with("('sep_conv3x3', 0)"), r"normal, pair 3 \('sep_conv3x3', 0\): .*mean 'sep_conv_3x3'"),
        (genotype_with("('none', 0)"), "no operation 'none'"),
        (
            genotype_with("('sep_conv_3x3', 3)"),
            r"pair 3 \('sep_conv_3x3', 3\): node 1 takes inputs 0 to 2, got 3",
        ),
        (genotype_with("('sep_conv_3x3', 1)"), "pair 4 .* already takes input 1"),
        (genotype_with("'sep_conv_3x3'"), "expected an operation and an input"),
        (genotype_with("('sep_conv_3x3', 0), ('sep_conv_3x3', 0)"), r"got 9 item\(s\)"),
        ('{"0": 3}', "stage '0'"),
        (json.dumps({"0": FLAT, "1": FLAT[:-1]}), "stage '1': .*character"),
        (json.dumps({"0": nested("CDARTS_cifar"), "1": FLAT, "2": FLAT}), "stages '0' and '1' differ"),
        ('{"0": ', "not JSON"),
        ("{}", "is not answered"),
        ("FairDARTS_a", r'normal: node 1 adds 0 operation.*two different .*node_inputs = "threshold" in'),
        (
            FLAT.replace("1), ('skip", "1, 2), ('skip"),
            r"pair 5 \('sep_conv_3x3', 1, 2\): expected an operation",
        ),
        (
            "Genotype(normal=[('skip_connect', 6, 0)], normal_concat=range(2, 6), reduce=[], "
            "reduce_concat=range(2, 6))",
            "a node from 2 to 5, got node 6",
        ),
        ("", "no published genotype ''"),
    ],
)
def test_mistakes_are_named(text, said):
    with pytest.raises(ArchError, match=said):
        SPACE.parse(text)


def test_published_cells_use_known_operations():
    assert {op for g in PUBLISHED.values() for cell in g for node in cell for op, _ in node} <= set(KEPT)
