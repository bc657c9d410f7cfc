"""Drawings of cells: everything is there, in its place, and nothing overlaps."""

import itertools
import xml.etree.ElementTree as ET
from random import Random

import pytest

from nasforge.drawing import Graph, Node, draw, draw_text
from nasforge.plugins import Registry
from nasforge.recipe import Part, parse_options
from nasforge.runs.build import build

SVG = "{http://www.w3.org/2000/svg}"


def made(name):
    plugin = Registry.discover().get("space", name)
    return build(Part("space", plugin, parse_options(plugin, [], source="here")))


def shapes(svg):
    """Return boxes (x, y, width, height) without the paper, dots (x, y), and the texts."""
    root = ET.fromstring(svg)
    boxes = [
        tuple(float(box.get(key)) for key in ("x", "y", "width", "height"))
        for box in root.iter(f"{SVG}rect")
        if box.get("x") is not None
    ]
    dots = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in root.iter(f"{SVG}circle")]
    return boxes, dots, [text.text for text in root.iter(f"{SVG}text")]


def found():
    for name, known in [("darts", "DARTS_V2"), ("nasbench201", "resnet"), ("chain", "CDARTS-a")]:
        space = made(name)
        yield pytest.param(space, space.parse(known), id=known)
        for seed in range(5):
            yield pytest.param(space, space.sample(Random(seed)), id=f"{name}-{seed}")


ARCHITECTURES = list(found())


@pytest.mark.parametrize(("space", "arch"), ARCHITECTURES)
def test_nothing_overlaps_and_nothing_is_outside(space, arch):
    svg = draw(space.graphs(arch))
    boxes, dots, _ = shapes(svg)
    width, height = map(float, ET.fromstring(svg).get("viewBox").split()[2:])
    for x, y, wide, high in boxes:
        assert 0 <= x < x + wide <= width
        assert 0 <= y < y + high <= height
    for one, other in itertools.combinations(boxes, 2):
        apart = [one[i] + one[i + 2] <= other[i] or other[i] + other[i + 2] <= one[i] for i in (0, 1)]
        assert any(apart), (one, other)
    for x, y in dots:
        assert not any(a <= x <= a + w and b <= y <= b + h for a, b, w, h in boxes)


@pytest.mark.parametrize(("space", "arch"), ARCHITECTURES)
def test_every_operation_hangs_on_the_wire_of_its_source(space, arch):
    for graph in space.graphs(arch):
        _, dots, texts = shapes(draw([graph]))
        assert sorted(texts) == sorted(
            [
                graph.title,
                *graph.inputs,
                *(node.name for node in graph.nodes),
                *(node.join for node in graph.nodes if len(node.inputs) > 1),
                *(operation for node in graph.nodes for operation, _ in node.inputs if operation),
            ]
        )
        assert len(dots) == sum(len(node.inputs) for node in graph.nodes)


def test_wires_that_are_in_use_have_lanes_of_their_own():
    graph = Graph(
        "t",
        ("a", "b"),
        (Node("c", (("x", "a"), ("y", "b"))), Node("d", (("z", "c"), ("", "a"))), Node("e", (("w", "d"),))),
    )
    lines = [path.get("d") for path in ET.fromstring(draw([graph])).iter(f"{SVG}path")]
    wires = [line for line in lines if "H" not in line and "V" in line]
    assert len(wires) == 4  # of a, b, c, d: the result has no reader
    spans = [(line[1:].split()[0], *map(float, line.split()[1].split("V"))) for line in wires]
    for (x, start, end), (other, begin, stop) in itertools.combinations(spans, 2):
        assert x != other or end < begin or stop < start


def test_the_cells_of_published_architectures():
    normal, reduce = made("darts").graphs(made("darts").parse("DARTS_V2"))
    assert (normal.title, reduce.title) == ("normal cell", "reduce cell")
    assert normal.nodes[0] == Node("0", (("sep_conv_3x3", "in0"), ("sep_conv_3x3", "in1")))
    assert normal.nodes[-1] == Node("out", (("", "0"), ("", "1"), ("", "2"), ("", "3")), "concat")
    (cell,) = made("nasbench201").graphs(made("nasbench201").parse("resnet"))
    assert cell.nodes == (
        Node("1", (("nor_conv_3x3", "0"),)),
        Node("2", (("nor_conv_3x3", "1"),)),
        Node("3", (("skip_connect", "0"), ("skip_connect", "2"))),
    )
    (chain,) = made("chain").graphs(made("chain").parse("CDARTS-a"))
    assert [source for node in chain.nodes for _, source in node.inputs] == [
        "stem",
        *(node.name for node in chain.nodes[:-1]),
    ]


def test_a_cell_that_passes_nothing_on_is_drawn():
    (cell,) = made("nasbench201").graphs(made("nasbench201").parse("000000"))
    assert [node.inputs for node in cell.nodes] == [(("none", "0"),)] * 3


@pytest.mark.parametrize(
    ("graphs", "said"),
    [
        ([], "nothing to draw"),
        ([Graph("t", ("a",), (Node("b", ()),))], "no inputs"),
        ([Graph("t", ("a",), (Node("b", (("x", "c"),)), Node("c", (("x", "a"),))))], "not there before it"),
    ],
)
def test_what_cannot_be_drawn_is_said(graphs, said):
    with pytest.raises(ValueError, match=said):
        draw(graphs)


def test_names_are_escaped():
    svg = draw([Graph("a < b & c", ("<",), (Node(">", (("x&y", "<"),)),))])
    assert shapes(svg)[2] == ["a < b & c", "x&y", ">", "<"]


def test_a_cell_as_equations():
    cell = Graph(
        "normal cell",
        ("a", "b"),
        (
            Node("0", (("conv", "a"), ("skip", "b"))),
            Node("1", (("pool", "0"),)),
            Node("out", (("", "0"), ("", "1"), ("", "b")), "concat"),
        ),
    )
    assert draw_text([cell, cell]) == "\n\n".join(
        ["normal cell\n  0   = conv(a) + skip(b)\n  1   = pool(0)\n  out = concat(0, 1, b)"] * 2
    )
    assert draw_text([]) == ""


def test_long_equations_are_broken_between_terms():
    node = Node("x", tuple(("conv", name) for name in "abcd"))
    assert draw_text([Graph("t", tuple("abcd"), (node,))], width=28).splitlines() == [
        "t",
        "  x = conv(a) + conv(b) +",
        "      conv(c) + conv(d)",
    ]


def test_pictures_in_one_page_have_arrow_heads_of_their_own():
    cell = Graph("t", ("a",), (Node("x", (("conv", "a"),)),))
    one, other = draw([cell], mark="m1-"), draw([cell], mark="m2-")
    assert 'id="m1-to"' in one
    assert "url(#m1-to)" in one
    assert one.replace("m1-", "m2-") == other
    assert draw([cell]) == one.replace("m1-", "")
