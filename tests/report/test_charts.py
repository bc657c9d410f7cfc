"""Charts show what they are given: places, ticks, thinning, and escaped texts."""

import re
import xml.etree.ElementTree as ET

import pytest

from nasforge.report.charts import Box, Dot, Series, box_plot, downsample, line_chart, scatter
from nasforge.report.numbers import compact, duration, log_ticks, plain, tick_text, ticks


def paths(svg, kind):
    root = ET.fromstring(str(svg))
    return [e.attrib for e in root.iter("path") if kind in e.attrib.get("class", "").split()]


def points(path):
    numbers = [float(n) for n in re.findall(r"-?[\d.]+", path["d"])]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def test_a_line_goes_through_its_points():
    svg = line_chart([Series("loss", [(1, 4.0), (2, 2.0), (3, 0.0)])], label="Loss", x_name="step")
    root = ET.fromstring(str(svg))
    left, top, right, bottom = map(float, root.attrib["data-inner"].split())
    low, high = map(float, root.attrib["data-y"].split())
    drawn = points(paths(svg, "line")[0])
    assert [x for x, _ in drawn] == pytest.approx([left, (left + right) / 2, right], abs=0.1)
    values = [low + (bottom - y) / (bottom - top) * (high - low) for _, y in drawn]
    assert values == pytest.approx([4, 2, 0], abs=0.05)


def test_an_axis_is_logarithmic_where_values_are_spread_widely():
    series = [Series("loss", [(1, 100.0), (2, 10.0), (3, 0.1)])]
    svg = line_chart(series, label="Loss", log=True)
    assert 'data-log="y"' in svg
    y1, y2, y3 = (y for _, y in points(paths(svg, "line")[0]))
    assert (y3 - y2) / (y2 - y1) == pytest.approx(2, rel=0.01)
    assert 'data-log=""' in line_chart([Series("loss", [(1, 2.0), (2, 1.0)])], label="Loss", log=True)
    assert 'data-log=""' in line_chart([Series("loss", [(1, 100.0), (2, 0.0)])], label="Loss", log=True)


def test_long_numbers_on_an_axis_have_room():
    svg = line_chart([Series("entropy", [(1, 1.0), (2, 0.999985)])], label="Entropy")
    root = ET.fromstring(str(svg))
    left = float(root.attrib["data-inner"].split()[0])
    labels = [e for e in root.iter("text") if e.attrib["class"] == "end" and float(e.attrib["x"]) < left]
    assert max(len(e.text) for e in labels) == len("0.999990")
    for label in labels:
        assert float(label.attrib["x"]) - 6.5 * len(label.text) >= 0, "6.5 pixels are a digit's width"


def test_a_single_point_can_be_seen():
    svg = line_chart([Series("long", [(1, 1.0), (2, 2.0)]), Series("short", [(1, 1.5)], 1)], label="x")
    assert [path["class"] for path in paths(svg, "alone")] == ["dots alone c1"]


def test_a_step_stays_until_the_next_point():
    svg = line_chart([Series("best", [(0, 0.0), (1, 1.0)], step=True)], label="Best")
    (x1, y1), (x2, y2), (x3, y3) = points(paths(svg, "line")[0])
    assert (y1, x2) == (y2, x3)
    assert x1 < x2
    assert y3 < y2


def test_what_is_not_finite_is_left_out():
    nan, inf = float("nan"), float("inf")
    svg = line_chart(
        [Series("a", [(1, 1.0), (2, nan), (3, inf), (4, 2.0)]), Series("b", [(1, nan)])], label="x"
    )
    assert [len(points(p)) for p in paths(svg, "line")] == [2]
    assert line_chart([Series("a", [(1, nan)])], label="x") == ""
    assert line_chart([], label="x") == ""


def test_a_single_point_is_a_dot():
    svg = line_chart([Series("a", [(3, 5.0)])], label="x")
    assert len(paths(svg, "dots")) == 1
    assert paths(svg, "line") == []


def test_thinning_keeps_ends_and_extremes():
    values = [(i, 0.0) for i in range(5000)]
    values[1234], values[4321] = (1234, 9.0), (4321, -9.0)
    kept = downsample(values, 200)
    assert len(kept) <= 202
    assert (kept[0], kept[-1]) == (values[0], values[-1])
    assert (1234, 9.0) in kept
    assert (4321, -9.0) in kept
    assert [x for x, _ in kept] == sorted(x for x, _ in kept)
    assert downsample(values[:150], 200) == values[:150]


NASTY = '"><script>alert(1)</script>'


def test_texts_are_escaped_everywhere():
    charts = [
        line_chart([Series(NASTY, [(1, 1.0), (2, 2.0)])], label=NASTY, x_name=NASTY),
        scatter([Dot(1, 1, NASTY, "front"), Dot(2, 2, NASTY)], label=NASTY, x_name=NASTY),
        box_plot([Box(NASTY, [1.0, 2.0])], label=NASTY, x_name=NASTY),
    ]
    for svg in charts:
        assert "<script" not in svg
        ET.fromstring(str(svg))


def test_points_that_matter_can_be_reached_by_keyboard():
    svg = scatter([Dot(1, 1, "a"), Dot(2, 2, "b", "front"), Dot(3, 1, "c", "chosen")], label="x", x_name="y")
    circles = [e.attrib for e in ET.fromstring(str(svg)).iter("circle")]
    assert [circle.get("tabindex") for circle in circles] == [None, "0", "0"]
    assert [circle.get("aria-label") for circle in circles] == [None, "b", "c"]


def test_points_far_below_are_left_out():
    svg = scatter([Dot(1, 1, "a"), Dot(2, 90, "b"), Dot(3, 91, "c")], label="x", x_name="y", low=50)
    assert [c.attrib["data-tip"] for c in ET.fromstring(str(svg)).iter("circle")] == ["b", "c"]


def test_a_box_has_the_quartiles():
    svg = box_plot([Box("a", [1, 2, 3, 4, 5])], label="x", x_name="y")
    root = ET.fromstring(str(svg))
    left, _, right, _ = map(float, root.attrib["data-inner"].split())
    low, high = map(float, root.attrib["data-x"].split())
    box = root.find("rect").attrib

    def value(pixel):
        return low + (pixel - left) / (right - left) * (high - low)

    assert value(float(box["x"])) == pytest.approx(2, abs=0.02)
    assert value(float(box["x"]) + float(box["width"])) == pytest.approx(4, abs=0.02)
    middle = float(re.match(r"M([\d.]+) ", paths(svg, "median")[0]["d"])[1])
    assert value(middle) == pytest.approx(3, abs=0.02)


def test_ticks_are_round():
    assert ticks(0, 10) == [0, 2.5, 5, 7.5, 10]
    assert ticks(0.13, 0.98) == [0.25, 0.5, 0.75]
    assert ticks(90.1, 91.6) == [90.5, 91, 91.5]
    assert ticks(3, 3) == [3]
    assert log_ticks(0.02, 150) == [0.1, 1, 10, 100]
    assert len(log_ticks(1e-9, 1e9)) <= 5


@pytest.mark.parametrize(
    ("value", "text"),
    [(63_922, "63.9\u202fk"), (2_602_240, "2.60\u202fM"), (999_900, "1.00\u202fM"), (12, "12"), (0.5, "0.5")],
)
def test_compact_counts(value, text):
    assert compact(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.2, "0.2 s"),
        (59.4, "59 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds).replace("\u202f", " ") == text


def test_numbers_are_short_and_exact_enough():
    assert [plain(v) for v in (98.613, 0.012846, 63922.0, 12345.6, 0)] == [
        "98.61",
        "0.01285",
        "63,922",
        "12,346",
        "0",
    ]
    assert [tick_text(v, [0, 0.25, 0.5]) for v in (0, 0.25)] == ["0.00", "0.25"]
    assert tick_text(250_000, [0, 250_000]) == "250\u202fk"
