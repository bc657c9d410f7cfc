import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from nasforge.arch import Arch
from nasforge.config import PluginConfig
from nasforge.errors import RecipeError, RunError
from nasforge.nn import DropPath
from nasforge.runs.guard import GuardedData
from nasforge.runs.scope import SEARCH, TRAIN
from nasforge.runtime import Runtime
from nasforge.training.loops import isolated_random, score
from nasforge_plugins.evaluators.train.config import TrainConfig
from nasforge_plugins.evaluators.train.evaluator import Trainer
from nasforge_plugins.evaluators.train.training import Training, size_rule
from support.tiny_training import ARCH, AuxiliarySpace, Interrupted, TinyData, TinySpace, context

OPTIONS: dict[str, Any] = {"epochs": 4, "batch_size": 8, "lr": 0.1, "keep_epochs": 2}


def trainer(folder: Path, data: TinyData | None = None, options: Any = (), **parts: Any) -> Trainer:
    train = Trainer(TrainConfig(**{**OPTIONS, **dict(options)}))
    train.setup(context(folder, data, **parts))
    return train


def initial(folder: Path, options: Any = (), **parts: Any) -> Training:
    with isolated_random(torch.device("cpu"), 0):
        config = TrainConfig(**{**OPTIONS, **dict(options)})
        return Training(config, context(folder, **parts), ARCH, config.epochs)


def test_the_train_stage_learns_and_reads_no_other_split(tmp_path: Path) -> None:
    data = TinyData()
    train = trainer(tmp_path, data, {"epochs": 12})
    result = train.evaluate(ARCH)
    assert set(data.read) == {"full"}
    assert result.score == result.metrics["train_accuracy"] > 80
    assert result.metrics["train_loss"] < 0.7
    assert result.metrics["epochs"] == 12
    network = train.network(ARCH)
    assert not network.training
    assert result.metrics["params"] == sum(p.numel() for p in network.parameters())
    # stem 3·6·9, layer 6·6·9 multiply-adds per pixel, head 6·3.
    assert result.metrics["macs"] == 64 * (162 + 324) + 18


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    first = trainer(tmp_path).evaluate(ARCH)
    data = TinyData()
    again = trainer(tmp_path, data).evaluate(ARCH)
    assert data.read == []
    assert again == first


def test_other_options_train_anew_and_drop_the_old_weights(tmp_path: Path) -> None:
    trainer(tmp_path).evaluate(ARCH)
    assert (tmp_path / f"{ARCH.key}-epoch3.safetensors").exists()
    data = TinyData()
    result = trainer(tmp_path, data, {"epochs": 6}).evaluate(ARCH)
    assert data.read == ["full"] * 6
    assert result.metrics["epochs"] == 6
    assert {p.stem for p in tmp_path.glob("*-epoch*")} == {f"{ARCH.key}-epoch5"}


@pytest.mark.parametrize(("select", "split"), [(9, "select"), (0, "arch")])
def test_a_candidate_is_scored_on_held_out_images(tmp_path: Path, select: int, split: str) -> None:
    data = TinyData(select=select)
    train = trainer(tmp_path, data, stage="search")
    result = train.evaluate(ARCH, budget=2)
    assert data.read == ["weights", "weights", split]
    assert result.metrics["epochs"] == 2
    assert result.score == result.metrics[f"{split}_accuracy"]
    assert f"{split}_loss" in result.metrics
    # Candidates leave their result behind, not their weights.
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) < 2000
    assert train.evaluate(ARCH, budget=2) == result
    assert len(data.read) == 3
    assert train.evaluate(ARCH, budget=1).metrics["epochs"] == 1


def test_what_else_was_evaluated_changes_nothing(tmp_path: Path) -> None:
    alone = trainer(tmp_path / "alone", stage="search").evaluate(ARCH)
    train = trainer(tmp_path / "second", stage="search")
    torch.manual_seed(123)
    expected = torch.rand(2)
    torch.manual_seed(123)
    train.evaluate(Arch({"layer": "skip"}))
    after = train.evaluate(ARCH)
    assert torch.equal(torch.rand(2), expected), "evaluating moved the global generator"
    assert (after.score, after.metrics) == (alone.score, alone.metrics)


def test_the_seed_decides_the_weights(tmp_path: Path) -> None:
    def weights(folder: str, seed: int) -> Tensor:
        train = trainer(tmp_path / folder, seed=seed)
        train.evaluate(ARCH)
        return train.network(ARCH).state_dict()["stem.weight"]

    assert torch.equal(weights("a", 1), weights("b", 1))
    assert not torch.equal(weights("a", 1), weights("c", 2))


def test_extras_do_not_change_the_initial_network(tmp_path: Path) -> None:
    space = AuxiliarySpace(PluginConfig())
    plain = initial(tmp_path, space=space).network.state_dict()
    extra = initial(tmp_path, {"auxiliary_weight": 0.4}, space=space).network.state_dict()
    assert all(torch.equal(plain[name], extra[name]) for name in plain)


def test_last_and_best_of_the_kept_epochs_are_tested(tmp_path: Path) -> None:
    options = {"epochs": 5, "keep_epochs": 3, "lr": 0.5}
    trainer(tmp_path, options=options).evaluate(ARCH)
    data = TinyData()
    tester = trainer(tmp_path, data, options, stage="test")
    result = tester.test(ARCH)
    assert set(data.read) == {"test"}
    # A shorter run with the same schedule is not the same training, so redo it and stop after each epoch.
    expected = {}
    for epoch in (3, 4, 5):
        stopped = trainer(tmp_path / str(epoch), TinyData(fail=(epoch, 1)), options)
        if epoch < 5:
            with pytest.raises(Interrupted):
                stopped.evaluate(ARCH)
        else:
            stopped.evaluate(ARCH)
        network = TinySpace(PluginConfig()).build(data.task, ARCH)
        network.load_state_dict(stopped.ctx.slot(ARCH.key).load()["training"]["network"])  # type: ignore[index]
        images = TinyData().batches("test", augment=False)
        expected[epoch] = score(network, images, stopped.ctx.runtime)
    best = max(expected, key=lambda e: expected[e].accuracy)
    assert result["accuracy"] == expected[5].accuracy
    assert result["loss"] == pytest.approx(expected[5].loss)
    assert result["accuracy_best"] == expected[best].accuracy
    assert result["best_epoch"] == best
    assert result["epochs_tested"] == 3


def test_the_guard_never_objects(tmp_path: Path) -> None:
    for scope, split in ((SEARCH, "weights"), (TRAIN, "full")):
        seen: list[str] = []
        guarded = GuardedData(TinyData(), scope, "train", seen.append)
        trainer(tmp_path / scope.stage, guarded, stage=scope.stage).evaluate(ARCH)  # type: ignore[arg-type]
        assert seen[0] == split
        assert "test" not in seen


def test_an_untrained_architecture_cannot_be_tested(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"not trained yet\. Run the train stage first"):
        trainer(tmp_path, stage="test").test(ARCH)


def test_a_bad_loss_names_epoch_and_batch_and_keeps_the_last_epoch(tmp_path: Path) -> None:
    data = TinyData()
    data.poison = (2, 3)
    train = trainer(tmp_path, data)
    with pytest.raises(RunError, match=r"train, epoch 3, batch 3: the loss is nan"):
        train.evaluate(ARCH)
    state = train.ctx.slot(ARCH.key).load()
    assert state is not None
    assert state["epoch"] == 2
    assert all(bool(t.isfinite().all()) for t in state["training"]["network"].values())


@pytest.mark.parametrize(
    ("millions", "expected"),
    [(2.99, (3e-4, 0.2)), (3.0, (5e-4, 0.3)), (3.2, (3e-4, 0.3)), (3.5, (5e-4, 0.3)), (3.86, (5e-4, 0.3))],
)
def test_size_rule(millions: float, expected: tuple[float, float]) -> None:
    assert size_rule(round(millions * 1e6)) == expected


def test_schedules_of_one_training(tmp_path: Path) -> None:
    options = {"epochs": 10, "lr": 0.2, "weight_decay": "by_size", "drop_path": "by_size", "nesterov": True}
    training = initial(tmp_path, options)
    assert training.optimizer.param_groups[0]["weight_decay"] == 3e-4
    assert training.optimizer.param_groups[0]["nesterov"]
    assert [training.drop_path_rate(e) for e in (0, 5)] == [0.0, 0.1]
    training.run_epoch(5, "full", lambda values: None)
    assert [m.rate for m in training.network.modules() if isinstance(m, DropPath)] == [0.1]
    assert training.optimizer.param_groups[0]["lr"] == pytest.approx(0.1)
    constant = initial(tmp_path, {**options, "schedule": "constant"})
    assert constant.lr(9) == 0.2


def test_the_exponential_schedule_is_that_of_darts_on_imagenet(tmp_path: Path) -> None:
    """StepLR(optimizer, 1, gamma=0.97) from 0.1 (cnn/train_imagenet.py), by logarithms."""
    options = {"epochs": 250, "lr": 0.1, "schedule": "exponential"}
    rates = [initial(tmp_path, options).lr(epoch) for epoch in (0, 1, 2, 100, 249)]
    expected = [0.1, 0.097, 0.09409, math.exp(math.log(0.1) + 100 * math.log(0.97)), 5.084e-5]
    assert rates == pytest.approx(expected, rel=1e-3)
    assert rates[:4] == pytest.approx(expected[:4], rel=1e-12)
    slow = initial(tmp_path, {**options, "gamma": 0.5, "warmup_epochs": 4})
    assert [slow.lr(epoch) for epoch in range(5)] == pytest.approx([0.025, 0.025, 0.01875, 0.0125, 0.00625])


def test_the_auxiliary_head_is_trained_but_not_counted(tmp_path: Path) -> None:
    space = AuxiliarySpace(PluginConfig())
    training = initial(tmp_path, {"auxiliary_weight": 0.4}, space=space)
    before = {n: p.clone() for n, p in training.auxiliary.named_parameters()}  # type: ignore[union-attr]
    training.run_epoch(0, "full", lambda values: None)
    assert all(not torch.equal(before[n], p) for n, p in training.auxiliary.named_parameters())  # type: ignore[union-attr]
    plain = trainer(tmp_path / "plain", space=space).evaluate(ARCH)
    extra = trainer(tmp_path / "extra", options={"auxiliary_weight": 0.4}, space=space).evaluate(ARCH)
    assert extra.metrics["params"] == plain.metrics["params"]
    assert extra.metrics["train_loss"] != plain.metrics["train_loss"]


def test_options_that_change_the_training_do(tmp_path: Path) -> None:
    def loss(**options: Any) -> float:
        training = initial(tmp_path, options)
        return training.run_epoch(1, "full", lambda values: None).loss

    losses = [loss(), loss(cutout=6), loss(label_smoothing=0.1), loss(clip=0.01), loss(drop_path=0.9)]
    losses += [loss(weight_decay=0.1), loss(optimizer="adamw"), loss(momentum=0.0), loss(warmup_epochs=4)]
    assert len(set(losses)) == len(losses)
    assert loss() == losses[0]


def test_mixed_precision_keeps_full_precision_weights(tmp_path: Path) -> None:
    options = {"auxiliary_weight": 0.4, "epochs": 8}
    runtime = Runtime(torch.device("cpu"), "bf16")
    train = trainer(tmp_path, options=options, runtime=runtime, space=AuxiliarySpace(PluginConfig()))
    assert train.evaluate(ARCH).score > 60
    assert {t.dtype for t in train.network(ARCH).parameters()} == {torch.float32}


def test_progress_and_records(tmp_path: Path) -> None:
    shares: list[float] = []
    records: list[tuple[int, Any]] = []
    parts = {
        "report": lambda values: shares.append(values["done"]),
        "record": lambda epoch, values: records.append((epoch, values)),
    }
    trainer(tmp_path, **parts).evaluate(ARCH)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) > 8
    assert [epoch for epoch, _ in records] == [1, 2, 3, 4]
    assert {"loss", "accuracy", "lr"} <= set(records[0][1])


def test_a_space_without_auxiliary_head_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"train\.auxiliary_weight: 0\.4, but TinySpace has no"):
        trainer(tmp_path, options={"auxiliary_weight": 0.4})


@pytest.mark.parametrize(
    "options",
    [
        {"drop_path": 1.0},
        {"drop_path": "by-size"},
        {"momentum": 0.0, "nesterov": True},
        {"lr": 0.1, "min_lr": 0.2},
        {"epochs": 3, "warmup_epochs": 4},
        {"epochs": 0},
        {"weight_decay": "by_width"},
    ],
)
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrainConfig(**options)
