from pathlib import Path
from typing import Any

import pytest
import torch

from nasforge.component import Stage
from nasforge.config import PluginConfig
from nasforge_plugins.evaluators.train.config import TrainConfig
from nasforge_plugins.evaluators.train.evaluator import Trainer
from support.tiny_training import ARCH, AuxiliarySpace, Interrupted, TinyData, assert_same, context

OPTIONS: dict[str, Any] = {
    "epochs": 4,
    "batch_size": 8,
    "lr": 0.1,
    "drop_path": 0.5,
    "auxiliary_weight": 0.4,
    "cutout": 3,
    "keep_epochs": 3,
}


def trainer(folder: Path, data: TinyData, stage: Stage = "train", **options: Any) -> Trainer:
    train = Trainer(TrainConfig(**{**OPTIONS, **options}))
    train.setup(context(folder, data, stage, space=AuxiliarySpace(PluginConfig())))
    return train


def everything(train: Trainer) -> dict[str, Any]:
    names = [ARCH.key, *(f"{ARCH.key}-epoch{e}" for e in (2, 3))]
    return {name: train.ctx.slot(name).load() for name in names}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize(
    "stops",
    [[(0, 1)], [(0, 4)], [(1, 1)], [(1, 3)], [(2, 5)], [(3, 5)], [(0, 2), (1, 1), (1, 4), (2, 2), (3, 1)]],
    ids=str,
)
def test_a_killed_training_ends_in_the_same_bits(
    tmp_path: Path, stops: list[tuple[int, int]], optimizer: str
) -> None:
    undisturbed = trainer(tmp_path / "whole", TinyData(), optimizer=optimizer)
    whole = undisturbed.evaluate(ARCH)
    for stop in stops:
        torch.manual_seed(77)  # a new process starts with another generator
        with pytest.raises(Interrupted):
            trainer(tmp_path / "parts", TinyData(fail=stop), optimizer=optimizer).evaluate(ARCH)
    data = TinyData()
    resumed = trainer(tmp_path / "parts", data, optimizer=optimizer)
    parts = resumed.evaluate(ARCH)
    assert len(data.read) == 4 - stops[-1][0], "finished epochs were repeated"
    assert (parts.score, parts.metrics) == (whole.score, whole.metrics)
    assert_same(everything(resumed), everything(undisturbed))
    assert_same(resumed.network(ARCH).state_dict(), undisturbed.network(ARCH).state_dict())


@pytest.mark.parametrize("stop", [(0, 2), (2, 1), (3, 3)])
def test_a_killed_candidate_gets_the_same_score(tmp_path: Path, stop: tuple[int, int]) -> None:
    whole = trainer(tmp_path / "whole", TinyData(), "search").evaluate(ARCH)
    with pytest.raises(Interrupted):
        trainer(tmp_path / "parts", TinyData(fail=stop), "search").evaluate(ARCH)
    parts = trainer(tmp_path / "parts", TinyData(), "search").evaluate(ARCH)
    assert (parts.score, parts.metrics) == (whole.score, whole.metrics)


def test_the_cost_counts_all_processes(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        trainer(tmp_path, TinyData(fail=(2, 1))).evaluate(ARCH)
    train = trainer(tmp_path, TinyData())
    state = train.ctx.slot(ARCH.key).load()
    assert state is not None
    state["seconds"] += 1000.0
    train.ctx.slot(ARCH.key).save(state)
    assert train.evaluate(ARCH).cost > 1000.0


def test_a_truncated_slot_falls_back_to_the_epoch_before(tmp_path: Path) -> None:
    undisturbed = trainer(tmp_path / "whole", TinyData())
    undisturbed.evaluate(ARCH)
    with pytest.raises(Interrupted):
        trainer(tmp_path / "parts", TinyData(fail=(3, 1))).evaluate(ARCH)
    newest = tmp_path / "parts" / f"{ARCH.key}.safetensors"
    newest.write_bytes(newest.read_bytes()[:100])
    data = TinyData()
    resumed = trainer(tmp_path / "parts", data)
    with pytest.warns(UserWarning, match="Resuming from the one before"):
        resumed.evaluate(ARCH)
    assert len(data.read) == 2
    assert_same(resumed.network(ARCH).state_dict(), undisturbed.network(ARCH).state_dict())
