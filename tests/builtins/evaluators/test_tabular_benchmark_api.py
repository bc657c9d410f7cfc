"""Reading the benchmark's own interfaces: an object of the same interface, and the real package if there."""

import sys
from types import SimpleNamespace

import pytest

from nasforge_plugins.evaluators.tabular.benchmark_api import open_api, read_api, read_row
from nasforge_plugins.evaluators.tabular.errors import TableError
from nasforge_plugins.evaluators.tabular.imports import import_table
from nasforge_plugins.evaluators.tabular.store import load
from nasforge_plugins.spaces.nasbench201.notation import format_cell, parse_code

OFFICIAL = load("nasbench201")
CELLS = [format_cell(parse_code(OFFICIAL.key(i))) for i in range(len(OFFICIAL))]


class FakeApi:
    """Answers like NATStopology: runs of seeds 777 and 888 after 200 epochs, of 111 after 12."""

    def __init__(self, cells=CELLS):
        self.cells = cells
        self.asked = set()

    def __len__(self):
        return len(self.cells)

    def __getitem__(self, index):
        return self.cells[index]

    def get_more_info(self, index, dataset, iepoch=None, hp="12", is_random=True):
        self.asked.add((dataset, hp))
        seeds = {"200": (777, 888), "12": (111,)}[hp]
        if is_random not in seeds:
            raise ValueError(f"can not find random seed ({is_random}) from {seeds}")
        base = index / 1000 + seeds.index(is_random) + {"200": 20, "12": 0}[hp]
        info = {"train-accuracy": 99.0, "test-accuracy": base + 1}
        if dataset != "cifar10":
            info["valid-accuracy"] = base
        return info


def test_reads_validation_and_test_of_every_run():
    shares = []
    api = FakeApi()
    table = read_api(api, shares.append)
    assert api.asked == {
        (d, hp) for d in ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120") for hp in ("12", "200")
    }
    assert shares[-1] == pytest.approx(15_600 / 15_625)
    assert table.seeds == (111, 777, 888, 999)
    for dataset in ("cifar10", "cifar100", "imagenet16-120"):
        assert table.accuracy(dataset, "valid", 200)[1000] == 21.5
        assert table.accuracy(dataset, "test", 200, 888)[1000] == 23.0
        assert table.accuracy(dataset, "valid", 12)[1000] == 1.0


def test_other_benchmarks_are_refused():
    with pytest.raises(TableError, match="has 3 architectures, NAS-Bench-201 has 15625"):
        read_api(FakeApi(CELLS[:3]))
    with pytest.raises(
        TableError, match="architecture 0 is not a NAS-Bench-201 cell: '64:64:64:64:64', character 1"
    ):
        read_api(FakeApi(["64:64:64:64:64"] * 15_625))
    with pytest.raises(TableError, match=r"architecture 0 is .* which has index 1"):
        read_api(FakeApi([CELLS[1], CELLS[0], *CELLS[2:]]))


def test_gaps_are_refused(monkeypatch):
    whole = FakeApi.get_more_info

    def holes(self, index, dataset, iepoch=None, hp="12", is_random=True):
        if index == 77 and dataset == "cifar100" and hp == "200":
            raise ValueError("not evaluated")
        return whole(self, index, dataset, iepoch, hp, is_random)

    monkeypatch.setattr(FakeApi, "get_more_info", holes)
    with pytest.raises(
        TableError, match=r"1 of 15625 architectures have no cifar100/valid/200, the first is index 77"
    ):
        read_api(FakeApi())


def test_damaged_archives_are_refused(monkeypatch):
    def fail(self, *args, **kwargs):
        raise EOFError("ended early")

    monkeypatch.setattr(FakeApi, "get_more_info", fail)
    with pytest.raises(TableError, match=r"architecture 0 cannot be read \(EOFError: ended early\)"):
        read_api(FakeApi())


def test_accuracies_out_of_range_are_refused(monkeypatch):
    monkeypatch.setattr(FakeApi, "get_more_info", lambda *a, **k: {"valid-accuracy": 123.0})
    with pytest.raises(TableError, match=r"valid-accuracy is 123\.0, which is no percentage"):
        read_api(FakeApi())


def test_archives_need_trust_and_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("NASFORGE_DATA", str(tmp_path / "data"))
    archive = tmp_path / "NATS-tss-v1_0-3ffb9.pickle.pbz2"
    archive.write_bytes(b"BZh9")
    with pytest.raises(TableError, match="add --trust"):
        import_table(archive)
    monkeypatch.setitem(sys.modules, "nats_bench", None)
    with pytest.raises(TableError, match="Run: pip install nats_bench"):
        import_table(archive, trust=True)

    def fail(*args, **kwargs):
        raise EOFError("ended early")

    monkeypatch.setitem(sys.modules, "nats_bench", SimpleNamespace(create=fail))
    with pytest.raises(TableError, match=r"cannot read it \(EOFError: ended early\)"):
        open_api(archive)
    calls = []

    def create(*args, **kwargs):
        calls.append((args, kwargs))
        return FakeApi()

    monkeypatch.setitem(sys.modules, "nats_bench", SimpleNamespace(create=create))
    assert import_table(archive, "NATS", trust=True)["source"] == "FakeApi"
    assert calls == [((str(archive), "tss"), {"fast_mode": False, "verbose": False})]
    assert load("NATS").accuracy("cifar10", "test")[0] == 21.5


def test_the_real_package_answers_as_expected():
    nats_bench = pytest.importorskip("nats_bench", reason="the optional package nats_bench is not installed")
    from nats_bench.api_utils import ArchResults, ResultsCount

    results = ArchResults(0, CELLS[0])
    for dataset, sets in {
        "cifar10-valid": ("x-valid", "ori-test"),
        "cifar10": ("ori-test",),
        "cifar100": ("x-valid", "x-test", "ori-test"),
    }.items():
        results.dataset_seed[dataset] = [777, 888]
        for seed in (777, 888):
            run = ResultsCount(dataset, None, {199: 99.0}, {199: 0.1}, 1.0, 2.0, None, seed, 200, 0.01)
            for number, name in enumerate(sets):
                run.eval_names.append(name)
                run.eval_acc1es[f"{name}@199"] = seed / 100 + 10 * number
                run.eval_losses[f"{name}@199"] = 0.5
            results.all_results[dataset, seed] = run
    api = nats_bench.create(
        {
            "meta_archs": CELLS[:1],
            "arch2infos": {0: {"200": results.state_dict()}},
            "evaluated_indexes": [0],
        },
        "tss",
        fast_mode=False,
        verbose=False,
    )
    assert len(api) == 1
    assert api[0] == CELLS[0]

    nan = pytest.approx(float("nan"), nan_ok=True)
    found = read_row(api, 0)
    assert found["cifar10/valid/200"] == [nan, 7.77, 8.88, nan]
    assert found["cifar10/test/200"] == [nan, 7.77, 8.88, nan]
    assert found["cifar100/valid/200"] == [nan, 7.77, 8.88, nan]
    assert found["cifar100/test/200"] == [nan, pytest.approx(17.77), pytest.approx(18.88), nan]
    assert found["imagenet16-120/valid/200"] == [nan] * 4
    assert found["cifar10/valid/12"] == [nan] * 4
