"""The tabular evaluator: scores, simulated seconds, seeds, and the locked test accuracies."""

from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from pydantic import ValidationError

from nasforge import Arch, Choice, Evaluation
from nasforge.space import SearchSpace
from nasforge_plugins.evaluators.tabular.config import TabularConfig
from nasforge_plugins.evaluators.tabular.errors import TableError
from nasforge_plugins.evaluators.tabular.evaluator import Tabular
from nasforge_plugins.evaluators.tabular.store import folder, load
from nasforge_plugins.evaluators.tabular.table import Table
from nasforge_plugins.spaces.nasbench201.config import NasBench201Config
from nasforge_plugins.spaces.nasbench201.space import NasBench201

SPACE = NasBench201(NasBench201Config())


def evaluator(run_seed=0, space=SPACE, **options):
    made = Tabular(TabularConfig(**options))
    made.setup(SimpleNamespace(space=space, seed=run_seed))
    return made


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """A user's table with 12-epoch and test accuracies; numbers are made up."""
    monkeypatch.setenv("NASFORGE_DATA", str(tmp_path))
    official = load("nasbench201")
    rows = np.arange(len(official), dtype=float)
    columns = {"cifar10/valid/12": rows / 200, "cifar10/test/200": 90 - rows / 200}
    Table(official.keys, columns, {"space": "nasbench201"}).save(folder() / "mine.npz")
    return "mine"


def test_look_up():
    result = evaluator().evaluate(SPACE.parse("#6111"))
    assert isinstance(result, Evaluation)
    assert result.score == result.metrics["valid_accuracy"] == pytest.approx(91.6067, abs=1e-4)
    assert result.cost == pytest.approx(load("nasbench201").seconds("cifar10", 200)[6111])
    assert set(result.metrics) == {"valid_accuracy", "params", "macs", "latency_ms"}
    assert Evaluation.from_json(result.to_json()) == result


def test_first_row_of_every_data_set():
    arch = SPACE.parse("#0")
    for dataset, accuracy, seconds, params in (
        ("cifar10", 81.9827, 1444.2, 129_306),
        ("cifar100", 52.7, 2888.4, 135_156),
        ("imagenet16-120", 28.2111, 8763.5, 136_456),
    ):
        result = evaluator(dataset=dataset).evaluate(arch)
        assert result.score == pytest.approx(accuracy, abs=1e-4)
        assert result.cost == pytest.approx(seconds, abs=0.06)
        assert result.metrics["params"] == params


def test_seeds():
    arch = SPACE.parse("#0")

    def score(run_seed, arch=arch, **options):
        return evaluator(run_seed, **options).evaluate(arch).score

    assert score(0, seed=777) == pytest.approx(82.092)
    assert score(1, seed=888) == pytest.approx(81.616)
    assert score(777) == score(888) == pytest.approx(81.9827, abs=1e-4)
    drawn = {round(score(s, seed="random"), 3) for s in range(30)}
    assert drawn == {82.092, 81.616, 82.24}
    assert score(5, seed="random") == score(5, seed="random")
    two = SPACE.parse("#4992")  # has no run of seed 999
    assert np.isfinite([score(s, two, seed="random") for s in range(20)]).all()
    with pytest.raises(TableError, match="7456 of 15625 architectures have no run with seed 999"):
        score(0, seed=999)


def test_budget(imported):
    made = evaluator(table=imported)
    arch = SPACE.parse("#400")
    short, full = made.evaluate(arch, budget=12), made.evaluate(arch)
    assert short.score == 2.0
    assert full.score == pytest.approx(load("nasbench201").accuracy("cifar10")[400])
    assert short.cost == pytest.approx(full.cost * 12 / 200)
    assert evaluator(table=imported, epochs=12).evaluate(arch).score == 2.0
    with pytest.raises(TableError, match="after 50 epochs, only after 12 or 200"):
        made.evaluate(arch, budget=50)
    made.check_budget(12)
    with pytest.raises(TableError, match=r"after 50 epochs, only after 12 or 200\. Ask for one of these"):
        made.check_budget(50)
    with pytest.raises(TableError, match="after 12 epochs, only after 200"):
        evaluator(epochs=12)
    with pytest.raises(TableError, match="only means of cifar10 after 12 epochs"):
        evaluator(table=imported, epochs=12, seed="random")


def test_test_accuracy_only_where_imported(imported):
    arch = SPACE.parse("#400")
    with pytest.raises(TableError, match=r"no test accuracies of cifar10\. Import a table"):
        evaluator().test(arch)
    assert evaluator(table=imported).test(arch) == {"test_accuracy": 88.0}
    assert not any("test" in name for name in evaluator(table=imported).evaluate(arch).metrics)
    space = NasBench201(NasBench201Config(table=imported))
    assert space.lookup(arch, test=True)["cifar10_test_accuracy"] == 88.0
    assert "cifar10_test_accuracy" not in space.lookup(arch)


def test_other_spaces_are_refused():
    class Other(SearchSpace):
        choices = (Choice("a", ("x", "y")),)

    with pytest.raises(TableError, match=r"Other has no tables\. Import one with"):
        evaluator(space=Other(NasBench201Config()))

    class Foreign(Other):
        table_space = "foreign"

        def table_key(self, arch: Arch) -> str:
            return "0"

    with pytest.raises(TableError, match="not of 'foreign'"):
        evaluator(space=Foreign(NasBench201Config()))


def test_results_are_a_pure_function_of_the_architecture():
    first, second = evaluator(), evaluator()
    rng = Random(0)
    for _ in range(50):
        arch = SPACE.sample(rng)
        assert first.evaluate(arch) == second.evaluate(arch)
    assert first.state_dict() == {}


@pytest.mark.parametrize("config", [TabularConfig, NasBench201Config])
def test_missing_tables_are_found_before_a_run(config, tmp_path):
    with pytest.raises(ValidationError, match="Did you mean 'nasbench201'"):
        config(table="nasbench")
    with pytest.raises(ValidationError, match="no such file"):
        config(table=str(tmp_path / "absent.npz"))
