"""Cells as text, equivalence, neighbours and the look-up of the nasbench201 space."""

import csv
import gzip
import itertools
import json
import subprocess
import sys
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasforge import Arch
from nasforge.errors import ArchError
from nasforge.seeding import derive_seed
from nasforge_plugins.spaces.nasbench201.config import NasBench201Config
from nasforge_plugins.spaces.nasbench201.equivalence import function_key
from nasforge_plugins.spaces.nasbench201.notation import OPERATIONS, format_cell, parse_cell, parse_code
from nasforge_plugins.spaces.nasbench201.space import NasBench201

SPACE = NasBench201(NasBench201Config())
RESNET = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"


def test_choices_follow_the_benchmark():
    assert [c.name for c in SPACE.choices] == [
        "node1/node0",
        "node2/node0",
        "node2/node1",
        "node3/node0",
        "node3/node1",
        "node3/node2",
    ]
    assert {c.options for c in SPACE.choices} == {
        ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    }
    assert SPACE.size() == 15_625
    assert SPACE.parameter_free == {"skip_connect", "avg_pool_3x3"}


@given(st.tuples(*[st.sampled_from(OPERATIONS)] * 6))
def test_notation_round_trip(operations):
    arch = SPACE.arch(operations)
    text = SPACE.notation(arch)
    assert parse_cell(text) == operations
    code = SPACE.table_key(arch)
    assert SPACE.parse(text) == SPACE.parse(code) == SPACE.parse(f"  {text}\n") == arch
    assert SPACE.operations(arch) == operations


def test_every_way_to_write_a_cell():
    arch = SPACE.parse(RESNET)
    assert arch["node1/node0"] == ("nor_conv_3x3",)
    assert arch["node2/node1"] == ("nor_conv_3x3",)
    assert arch["node3/node2"] == ("skip_connect",)
    assert SPACE.notation(arch) == RESNET
    for text in ("303101", "#11472", "resnet", json.dumps(arch.to_json())):
        assert SPACE.parse(text) == arch, text


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        (RESNET.replace("nor_conv_3x3~1", "nor_conv_3x4~1"), 26, "Did you mean 'nor_conv_3x3'?"),
        (RESNET.replace("none~0", "none~1"), 24, "comes from node 0: expected '0', got '1'"),
        (RESNET.replace("none~0", "none~"), 24, "expected '0', found '|'"),
        (RESNET.replace("none~0", "none"), 23, "expected '~' after operation 'none', but found '|'"),
        (
            RESNET.removesuffix("|"),
            79,
            "expected '|' after edge 'skip_connect~2' of node 3, but the text ends",
        ),
        (RESNET.replace("|+|none", "|+none"), 18, "expected '|' before the first edge of node 2"),
        (RESNET.replace("+", " ", 1), 17, "expected '+' before the edges of node 2, but found ' '"),
        (RESNET + "x", 80, "nothing may follow the last edge, but found 'x'"),
        (RESNET + "+|none~0|none~1|none~2|none~3|", 80, "nothing may follow"),
        ("|nor_conv_3x3~0|", 17, "expected '+' before the edges of node 2, but the text ends"),
        ("|~0|", 2, "expected an operation, but found '~'"),
        ("|", 2, "expected an operation, but the text ends"),
    ],
)
def test_malformed_cells_name_the_character(text, position, words):
    with pytest.raises(ArchError, match=f"character {position}: ") as error:
        SPACE.parse(text)
    assert words in str(error.value)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("303151", "character 5: '5' is not an operation"),
        ("6111", "write '#6111'"),
        ("#15625", "a number from 0 to 15624"),
        ("#-1", "a number from 0 to 15624"),
        ("resnett", "Did you mean 'resnet'?"),
        ("", "is not a NAS-Bench-201 cell"),
        ('{"node1/node0": "none"}', "choice 'node2/node0' is not answered"),
        ("{1}", "not JSON"),
    ],
)
def test_other_malformed_text(text, words):
    with pytest.raises(ArchError) as error:
        SPACE.parse(text)
    assert words in str(error.value)


@given(st.text(alphabet="|+~01234 nonerskip_ct", max_size=60))
def test_any_text_is_a_cell_or_an_arch_error(text):
    try:
        arch = SPACE.parse(text)
    except ArchError:
        return
    SPACE.validate(arch)


def test_parse_code_wants_six_digits():
    with pytest.raises(ArchError, match="6 digits"):
        parse_code("30310")


def test_functions_fall_into_4930_classes():
    every = itertools.product(OPERATIONS, repeat=6)
    assert len({function_key(operations) for operations in every}) == 4930


def test_equivalence_examples():
    def equal(first, second):
        return SPACE.equivalent(SPACE.parse(first), SPACE.parse(second))

    assert equal("000100", "110010")  # two ways to pass the input on
    assert not equal("300010", "200010")
    assert equal("333000", "444000")  # no path to the output: both are zero
    assert equal("300010", "030001")  # the same convolution by way of node 1 or 2
    assert not equal("303101", "303100")
    arch = SPACE.parse("444000")
    assert SPACE.canonical(arch) == arch  # answers stay apart: their measured accuracies differ


def test_equivalence_matches_the_reference_column(shared_data):
    with gzip.open(shared_data / "nb201" / "nb201_valid.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    first: dict[str, str] = {}
    for row, arch in zip(rows, SPACE.enumerate(), strict=True):
        assert SPACE.notation(arch) == row["arch"]
        assert SPACE.table_key(arch) == row["code"]
        assert format_cell(parse_cell(row["arch"])) == row["arch"]
        assert first.setdefault(SPACE.function_key(arch), row["index"]) == row["equiv_index"], row["index"]


def test_enumeration_is_complete_and_in_official_order():
    every = list(SPACE.enumerate())
    assert len(set(every)) == 15_625
    assert SPACE.notation(every[0]) == (
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    )
    assert SPACE.notation(every[11_472]) == RESNET


def test_neighbours():
    arch = SPACE.parse("resnet")
    near = SPACE.neighbours(arch)
    assert len(set(near)) == 24
    assert all(sum(a[n] != arch[n] for n in arch) == 1 for a in near)
    child = SPACE.mutate(arch, Random(0))
    assert child in near


def test_samples_are_uniform_over_rows():
    rng = Random(derive_seed(0, "test"))
    counts = Counter(op for _ in range(2000) for op in SPACE.operations(SPACE.sample(rng)))
    assert set(counts) == set(OPERATIONS)
    assert all(abs(count / 12_000 - 0.2) < 0.02 for count in counts.values())


def weights(value):
    return {c.name: [value(e, o) for o in range(5)] for e, c in enumerate(SPACE.choices)}


def test_discretize_known_answer():
    # Fact sheet, section 3.7.
    arch = SPACE.discretize(weights(lambda e, o: ((5 * e + 3 * o) * 37 % 101) / 101))
    assert SPACE.notation(arch) == (
        "|avg_pool_3x3~0|+|skip_connect~0|nor_conv_3x3~1|+|avg_pool_3x3~0|avg_pool_3x3~1|avg_pool_3x3~2|"
    )


def test_discretize_with_and_without_none():
    values = weights(lambda e, o: [9.0, 1.0, 3.0, 2.0, 3.0][o])
    assert SPACE.table_key(SPACE.discretize(values)) == "000000"
    without = NasBench201(NasBench201Config(allow_none=False))
    assert without.table_key(without.discretize(values)) == "222222"
    assert without.table_key(without.discretize({})) == "111111"
    negative = weights(lambda e, o: -1.0 - o)
    assert without.table_key(without.discretize(negative)) == "111111"


def test_lookup_knows_the_best():
    found = SPACE.lookup(SPACE.parse("#6111"))
    assert found["index"] == 6111
    assert found["architectures"] == 15_625
    assert found["cifar10_valid_rank"] == 1
    assert found["cifar10_valid_accuracy"] == pytest.approx(91.6067, abs=1e-4)
    assert SPACE.lookup(SPACE.parse("#9930"))["cifar100_valid_rank"] == 1
    assert SPACE.lookup(SPACE.parse("#10676"))["imagenet16-120_valid_rank"] == 1
    assert not any("test" in name for name in SPACE.lookup(SPACE.parse("#0"), test=True))
    with pytest.raises(ArchError, match="is not answered"):
        SPACE.lookup(Arch({"node1/node0": "none"}))


def test_space_and_lookup_import_no_torch():
    code = (
        "import sys\n"
        "from nasforge_plugins.spaces.nasbench201.config import NasBench201Config\n"
        "from nasforge_plugins.spaces.nasbench201.space import NasBench201\n"
        "space = NasBench201(NasBench201Config())\n"
        "space.lookup(space.parse('resnet'))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "arch",
    [
        Arch({"node3/node2": "none"}),
        Arch({**SPACE.parse("resnet"), "node3/node2": "max_pool_3x3"}),
        Arch({**SPACE.parse("resnet"), "node3/node2": ["none", "skip_connect"]}),
        Arch({**SPACE.parse("resnet"), "node4/node0": "none"}),
    ],
)
def test_foreign_architectures_have_no_key(arch):
    with pytest.raises(ArchError, match="does not fit NasBench201"):
        SPACE.table_key(arch)
