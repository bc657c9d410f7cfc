"""Latency tables: built with a clock that counts operations, so that what is right is known."""

import json
from dataclasses import replace
from random import Random

import pytest
from torch.utils.flop_counter import FlopCounterMode

from nasforge.config import PluginConfig
from nasforge.cost import latency_table
from nasforge.cost.itemize import count_options
from nasforge.cost.latency import Timing
from nasforge.cost.latency_build import Settings, build_table, errors_of, fit_line, spearman
from nasforge.errors import RunError
from nasforge.plugins import Registry
from nasforge.recipe import Part, parse_options
from nasforge.runs.build import build
from nasforge.runs.limits import table_for
from nasforge.runtime import Runtime
from nasforge.space import Task
from nasforge.testing.parts import TinySpace
from support.wrapped_space import WrappedSpace

TASK = Task(3, 16, 5)
CPU = Runtime.create("cpu")
SETTINGS = Settings(runs=1, warmup=0, references=4, networks=6)


def made(name, **options):
    plugin = Registry.discover().get("space", name)
    return build(Part("space", plugin, parse_options(plugin, {**plugin.tiny, **options})))


@pytest.fixture
def counting(monkeypatch):
    """Replace the stopwatch: a call takes as many milliseconds as it has millions of operations."""
    timed = []
    # The counter knows torch's own operators alone.
    monkeypatch.setenv("NASFORGE_NATIVE", "0")

    def count(calls, runtime, *, runs, warmup, clock, report):
        found = []
        for call in calls:
            with FlopCounterMode(display=False) as counter:
                call()
            ms = counter.get_total_flops() / 2e6
            found.append(Timing(ms, ms, ms, runs))
        timed.append(len(calls))
        return found

    monkeypatch.setattr("nasforge.cost.latency_backend.measure_in_turns", count)
    return timed


@pytest.mark.parametrize("name", ["tiny", "nasbench201", "darts", "chain"])
def test_what_adds_up_is_predicted_without_error(counting, name):
    space = TinySpace(PluginConfig()) if name == "tiny" else made(name)
    table = build_table(space, TASK, CPU, {"use": name}, settings=SETTINGS)
    assert table.error["networks"] == 6
    assert table.error["mape"] == pytest.approx(0, abs=1e-9)
    assert table.about["factor"] == pytest.approx(1)
    macs = count_options(space, TASK)
    arch = space.sample(Random(7))
    assert table.cost.of(arch)["latency_ms"] == pytest.approx(macs.of(arch)["macs"] / 1e6)
    assert table.cost.rest["latency_ms"] == pytest.approx(macs.rest["macs"] / 1e6)


def test_equal_modules_at_equal_inputs_are_measured_once(counting):
    table = build_table(made("nasbench201", cells=2), TASK, CPU, {"use": "x"}, settings=SETTINGS)
    assert counting == [3 * 5, 10]  # three widths of five operations; then whole networks
    assert [unit["places"] for unit in table.units] == [6 * 2] * 15
    assert [unit["shape"] for unit in table.units[::5]] == [[1, 4, 16, 16], [1, 8, 8, 8], [1, 16, 4, 4]]


def test_an_edge_with_a_cost_of_its_own(counting):
    space = WrappedSpace(PluginConfig())
    table = build_table(space, TASK, CPU, {"use": "x"}, settings=SETTINGS)
    macs = count_options(space, TASK)
    assert {t.picks: t.costs["latency_ms"] for t in table.cost.terms} == pytest.approx(
        {t.picks: t.costs["macs"] / 1e6 for t in macs.terms}
    )


def test_real_time_gives_a_table_too(tmp_path):
    settings = replace(SETTINGS, threads=1, batch=2, runs=2)
    table = build_table(TinySpace(PluginConfig()), TASK, CPU, {"use": "tiny"}, settings=settings)
    table = table.write(tmp_path / "t.json")
    assert table.about["batch"] == 2
    assert table.units[0]["shape"] == [1, 4, 16, 16]
    assert all(term.costs["latency_ms"] >= 0 for term in table.cost.terms)
    again = latency_table.read(str(tmp_path / "t.json"))
    assert again.to_json() == table.to_json()
    assert again.checksum == table.checksum


def test_tables_have_names_in_a_folder_of_their_own(counting, tmp_path, monkeypatch):
    monkeypatch.setenv("NASFORGE_DATA", str(tmp_path))
    assert latency_table.tables() == {}
    with pytest.raises(RunError, match=r"'mine': there is none\. Measure one with 'nasforge latency build"):
        latency_table.read("mine")
    table = build_table(TinySpace(PluginConfig()), TASK, CPU, {"use": "tiny"}, settings=SETTINGS)
    path = table.write(latency_table.path_of("mine")).path
    assert latency_table.tables() == {"mine": path}
    assert path == tmp_path / "latency" / "mine.json"
    with pytest.raises(RunError, match="Did you mean 'mine'"):
        latency_table.read("mime")
    with pytest.raises(RunError, match="a name has letters"):
        latency_table.path_of("../mine")
    path.write_text("{")
    with pytest.raises(RunError, match=r"cannot be read \(JSONDecodeError"):
        latency_table.read("mine")
    path.write_text(json.dumps({"format": "nasforge latency table 0"}))
    with pytest.raises(RunError, match="is not a latency table of this version"):
        latency_table.read("mine")
    path.write_text(json.dumps({"format": latency_table.FORMAT, "choices": []}))
    with pytest.raises(RunError, match=r"cannot be read \(KeyError"):
        latency_table.read("mine")


def test_a_table_fits_recipes_with_the_same_final_networks(counting, tmp_path):
    space = made("nasbench201")
    about = {"use": "nasbench201", **space.config.to_json()}
    name = str(build_table(space, TASK, CPU, about, settings=SETTINGS).write(tmp_path / "t.json").path)
    assert table_for(name, space, TASK, about).about["space"] == about
    # Options of the search network, and the number of classes, change no option's time.
    other = made("nasbench201", search_channels=8, execution="reference")
    described = {**about, "search_channels": 8, "execution": "reference"}
    assert table_for(name, other, replace(TASK, num_classes=9), described).checksum
    wider = made("nasbench201", channels=8)
    with pytest.raises(RunError, match=r"channels = 4 there and 8 here"):
        table_for(name, wider, TASK, {**about, "channels": 8})
    with pytest.raises(RunError, match=r"images of 16 pixels there and 32 here"):
        table_for(name, space, Task(3, 32, 5), about)
    with pytest.raises(RunError, match=r"is about space 'nasbench201' with other choices than 'tiny'"):
        table_for(name, TinySpace(PluginConfig()), TASK, {"use": "tiny"})


def test_errors_by_hand():
    error = errors_of([1.0, 2.0, 6.0], [2.0, 2.0, 4.0])
    assert error["mape"] == pytest.approx(100 * (0.5 + 0 + 0.5) / 3)
    assert error["spearman"] == pytest.approx(spearman([1, 2, 3], [1.5, 1.5, 3]))
    assert spearman([1, 2, 3, 4], [10, 20, 30, 40]) == pytest.approx(1)
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert spearman([1, 1, 1], [1, 2, 3]) == 0.0
    assert fit_line([0.0, 1.0, 2.0], [1.0, 3.0, 5.0]) == pytest.approx((1.0, 2.0))
    assert fit_line([0.0, 1.0], [1.0, 0.0]) == pytest.approx((0.0, 1.0))  # no negative slope
    assert fit_line([2.0, 2.0], [5.0, 7.0]) == pytest.approx((4.0, 1.0))


def test_changed_latencies_are_found(counting, tmp_path):
    table = build_table(TinySpace(PluginConfig()), TASK, CPU, {"use": "tiny"}, settings=SETTINGS)
    table.write(tmp_path / "t.json")
    data = json.loads((tmp_path / "t.json").read_text())
    data["cost"]["terms"][0]["costs"]["latency_ms"] += 1
    (tmp_path / "t.json").write_text(json.dumps(data))
    with pytest.raises(RunError, match=r"t\.json: cannot be read .*checksum"):
        latency_table.read(str(tmp_path / "t.json"))
