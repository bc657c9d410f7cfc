"""The best so far of several runs: means and intervals, against numbers computed by hand."""

import re
import xml.etree.ElementTree as ET

import pytest

from nasforge.report.bench_view import anytime

ROWS = [
    {
        "seed": 0,
        "score": 90.0,
        "evaluations": 11,
        "seconds": 110.0,
        "curve": [[1, 10.0, 80.0], [6, 60.0, 90.0]],
    },
    {"seed": 1, "score": 84.0, "evaluations": 11, "seconds": 110.0, "curve": [[1, 10.0, 84.0]]},
]


def read(panel, kind):
    """Return the points of the first path of a kind, in the units of the axes."""
    root = ET.fromstring(str(panel.svg))
    left, top, right, bottom = map(float, root.attrib["data-inner"].split())
    (x0, x1), (y0, y1) = (map(float, root.attrib[name].split()) for name in ("data-x", "data-y"))
    path = next(e.attrib["d"] for e in root.iter("path") if kind in e.attrib["class"].split())
    numbers = [float(n) for n in re.findall(r"-?[\d.]+", path)]
    return [
        (x0 + (x - left) / (right - left) * (x1 - x0), y0 + (bottom - y) / (bottom - top) * (y1 - y0))
        for x, y in zip(numbers[::2], numbers[1::2], strict=True)
    ]


@pytest.mark.parametrize(("axis", "scale"), [(0, 1.0), (1, 10.0)])
def test_the_mean_goes_in_steps(axis, scale):
    points = read(anytime({"a": ROWS}, axis, "Best", "effort"), "line")
    early = [y for x, y in points if x < 5.9 * scale]
    late = [y for x, y in points if x > 6.2 * scale]
    assert early == pytest.approx([82.0] * len(early), abs=0.1)
    assert late == pytest.approx([87.0] * len(late), abs=0.1)
    assert points[0][0] == pytest.approx(scale, abs=0.1 * scale)
    assert points[-1][0] == pytest.approx(11 * scale, abs=0.1 * scale)


def test_the_band_is_the_interval_of_the_mean():
    # With two runs t(1) = 12.706; the values 90 and 84 have s = 4.2426, so the half width is 38.12.
    tops = [y for x, y in read(anytime({"a": ROWS}, 0, "Best", "evaluations"), "band") if x > 6.2]
    assert max(tops) == pytest.approx(87 + 38.12, abs=0.3)


def test_runs_without_a_curve_draw_nothing():
    assert anytime({"a": [{"seed": 0, "score": 1.0}]}, 0, "Best", "evaluations") is None
