"""Options of the train evaluator that change its updates: off means the same bits, a kill changes nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD

from nasforge.arch import Arch
from nasforge.component import Stage
from nasforge.config import PluginConfig
from nasforge.data import Split
from nasforge.errors import RecipeError
from nasforge.seeding import derive_seed
from nasforge.space import Task
from nasforge_plugins.evaluators.train.augmenting import to_bytes
from nasforge_plugins.evaluators.train.config import TrainConfig
from nasforge_plugins.evaluators.train.evaluator import Trainer
from nasforge_plugins.evaluators.train.training import Training
from nasforge_plugins.evaluators.train.weighting import class_weights
from support.tiny_training import ARCH, Interrupted, TinyData, TinySpace, assert_same, context

OPTIONS: dict[str, Any] = {"epochs": 4, "batch_size": 8, "lr": 0.1, "keep_epochs": 2}
ON: dict[str, dict[str, Any]] = {
    "ema": {"ema": {"decay": 0.9, "every": 2}},
    "policy": {"augment": {"policy": "trivialaugment", "erasing": 0.5}},
    "mixing": {"augment": {"mixup": 0.2, "cutmix": 1.0, "mix_share": 0.9}, "label_smoothing": 0.1},
    "class weights": {"class_weights": (0.5, 1.0, 2.0)},
    "accumulate": {"accumulate": 2, "ema": {"decay": 0.5}},
}


def trainer(folder: Path, data: TinyData, options: dict[str, Any], stage: Stage = "train") -> Trainer:
    train = Trainer(TrainConfig(**{**OPTIONS, **options}))
    train.setup(context(folder, data, stage))
    return train


def test_without_options_a_training_is_plain_sgd_to_the_bit(tmp_path: Path) -> None:
    train = trainer(tmp_path, TinyData(), {})
    train.evaluate(ARCH)
    data = TinyData()
    torch.manual_seed(derive_seed(0, "train", ARCH.key))
    network = TinySpace(PluginConfig()).build(data.task, ARCH).to(memory_format=torch.channels_last)
    optimizer = SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=3e-4)
    for epoch in range(4):
        for group in optimizer.param_groups:
            group["lr"] = train_lr(epoch)
        for images, labels in data.batches("full", epoch=epoch, batch_size=8):
            optimizer.zero_grad()
            logits = network(images.contiguous(memory_format=torch.channels_last)).logits
            cross_entropy(logits, labels).backward()
            clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
    assert_same(train.network(ARCH).state_dict(), network.state_dict())


def train_lr(epoch: int) -> float:
    return float(0.1 * (1 + torch.cos(torch.tensor(torch.pi * epoch / 4, dtype=torch.float64))) / 2)


@pytest.mark.parametrize("options", ON.values(), ids=ON)
def test_a_killed_training_ends_in_the_same_bits(tmp_path: Path, options: dict[str, Any]) -> None:
    undisturbed = trainer(tmp_path / "whole", TinyData(), options)
    whole = undisturbed.evaluate(ARCH)
    plain = trainer(tmp_path / "plain", TinyData(), {})
    plain.evaluate(ARCH)
    for stop in [(0, 3), (2, 2), (3, 5)]:
        torch.manual_seed(77)  # a new process starts with another generator
        with pytest.raises(Interrupted):
            trainer(tmp_path / "parts", TinyData(fail=stop), options).evaluate(ARCH)
    resumed = trainer(tmp_path / "parts", TinyData(), options)
    parts = resumed.evaluate(ARCH)
    assert (parts.score, parts.metrics) == (whole.score, whole.metrics)
    assert_same(resumed.ctx.slot(ARCH.key).load(), undisturbed.ctx.slot(ARCH.key).load())
    found, without = (t.network(ARCH).state_dict()["head.weight"] for t in (resumed, plain))
    assert not torch.equal(found, without), "the option changed nothing"


@pytest.mark.parametrize("options", ON.values(), ids=ON)
def test_a_score_in_a_search_does_not_depend_on_what_was_drawn_before(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    torch.manual_seed(1)
    first = trainer(tmp_path / "first", TinyData(), options, "search").evaluate(ARCH)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = trainer(tmp_path / "second", TinyData(), options, "search").evaluate(ARCH)
    assert (first.score, first.metrics) == (second.score, second.metrics)
    assert torch.equal(torch.get_rng_state(), state), "a searcher would draw other numbers"


def test_the_average_is_what_is_stored_tested_and_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    original = Training.after_update

    def watch(self: Training) -> None:
        seen.append(self.network.state_dict()["head.weight"].double())
        original(self)

    monkeypatch.setattr(Training, "after_update", watch)
    options = {"ema": {"decay": 0.8, "warmup": False}}
    train = trainer(tmp_path, TinyData(), options)
    train.evaluate(ARCH)
    torch.manual_seed(derive_seed(0, "train", ARCH.key))
    mean = TinySpace(PluginConfig()).build(TinyData().task, ARCH).state_dict()["head.weight"].double()
    for weight in seen:
        mean = 0.8 * mean + 0.2 * weight
    stored = train.network(ARCH).state_dict()["head.weight"]
    torch.testing.assert_close(stored.double(), mean, rtol=1e-5, atol=1e-6)
    measured = trainer(tmp_path, TinyData(), options, "test").test(ARCH)
    assert measured["loss"] != measured["loss_without_ema"]
    plain = trainer(tmp_path / "plain", TinyData(), {})
    plain.evaluate(ARCH)
    expected = trainer(tmp_path / "plain", TinyData(), {}, "test").test(ARCH)
    assert measured["loss_without_ema"] == expected["loss"], "an average changes no weights"
    assert "loss_without_ema" not in expected
    scores = [
        trainer(tmp_path / str(decay), TinyData(), {"ema": {"decay": decay}, "score": "loss"}, "search")
        .evaluate(ARCH)
        .score
        for decay in (0.0, 0.8)
    ]
    assert scores[0] != scores[1]


def test_class_weights_average_a_batch_by_the_weights_of_its_labels(tmp_path: Path) -> None:
    weights = torch.tensor([0.5, 1.0, 2.0])
    config = TrainConfig(**OPTIONS, class_weights=tuple(weights.tolist()))
    training = Training(config, context(tmp_path), ARCH, 4, class_weights=weights)
    images, labels = next(iter(TinyData().batches("full")))
    loss, logits = training.loss(images, labels)
    log_p = logits.double().log_softmax(1)
    total = sum(weights[y].item() * -log_p[i, y].item() for i, y in enumerate(labels.tolist()))
    share = sum(weights[y].item() for y in labels.tolist())
    assert loss.item() == pytest.approx(total / share, rel=1e-5)


def test_balanced_weights_give_every_class_the_same_share() -> None:
    class Unbalanced(TinyData):
        def class_counts(self, split: Split) -> tuple[int, ...]:
            assert split == "full"
            return (30, 5, 1)

    weights = class_weights(TrainConfig(class_weights="balanced"), Unbalanced(), "full")
    assert weights is not None
    assert (weights * torch.tensor([30, 5, 1])).tolist() == pytest.approx([12, 12, 12])
    assert class_weights(TrainConfig(), Unbalanced(), "full") is None


def test_as_many_class_weights_as_classes(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"class_weights: has 2 number\(s\), the images 3 classes"):
        trainer(tmp_path, TinyData(), {"class_weights": (1.0, 2.0)})


@pytest.mark.parametrize("extra", [{}, {"class_weights": (0.5, 1.0, 2.0), "label_smoothing": 0.1}], ids=str)
def test_accumulated_batches_equal_a_large_batch(tmp_path: Path, extra: dict[str, Any]) -> None:
    arch = Arch({"layer": "skip"})  # without batch norm
    few, many = ({**options, **extra} for options in ({"batch_size": 36}, {"batch_size": 8, "accumulate": 5}))
    large = trainer(tmp_path / "large", TinyData(), few)
    small = trainer(tmp_path / "small", TinyData(), many)
    large.evaluate(arch)
    small.evaluate(arch)
    other = trainer(tmp_path / "other", TinyData(), {**many, "accumulate": 4})
    other.evaluate(arch)
    expected = large.network(arch).state_dict()
    for name, value in small.network(arch).state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(
        other.network(arch).state_dict()["head.weight"], expected["head.weight"], atol=1e-4
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 1, "accumulate": 8}, "batch_size is 1: set it to 2 or more"),
        ({"class_weights": "balanced"}, "class_weights cannot tell its weight"),
        ({"teacher": "runs/x"}, "distillers compare with one label"),
    ],
)
def test_mixtures_exclude_what_needs_one_label(options: dict[str, Any], message: str) -> None:
    TrainConfig(**options)
    with pytest.raises(ValidationError, match=message):
        TrainConfig(**options, augment={"cutmix": 1.0})


def test_the_loss_of_a_mixture_is_the_mixture_of_losses(tmp_path: Path) -> None:
    config = TrainConfig(**OPTIONS, augment={"mixup": 1.0})
    training = Training(config, context(tmp_path), Arch({"layer": "skip"}), 4)
    training.augmentation.start(0)
    images, labels = next(iter(TinyData().batches("full")))
    loss, logits = training.loss(images, labels)
    training.augmentation.start(0)
    mixed, targets = training.augmentation.mix(images, labels)
    torch.testing.assert_close(training.network(training.runtime.prepare_images(mixed)).logits, logits)
    log_p = logits.detach().double().log_softmax(1)
    # The first image's own label has the share λ, that of the last image 1 - λ.
    own = next(i for i in range(8) if labels[i] != labels[i - 1])
    share = targets[own, labels[own]].item()
    expected = sum(
        -share * log_p[i, labels[i]].item() - (1 - share) * log_p[i, labels[i - 1]].item() for i in range(8)
    )
    assert loss.item() == pytest.approx(expected / 8, rel=1e-5)


def test_what_augmentation_needs_of_the_images(tmp_path: Path) -> None:
    class Plain(TinyData):
        preprocessing = None

    class Pixel(TinyData):
        @property
        def task(self) -> Task:
            return Task(2, 1, 3)

    with pytest.raises(RecipeError, match=r"augment.policy: 'randaugment' changes bytes"):
        trainer(tmp_path, Plain(), {"augment": {"policy": "randaugment"}})
    with pytest.raises(RecipeError, match="these have 2") as error:
        trainer(tmp_path, Pixel(), {"augment": {"policy": "randaugment", "erasing": 0.1}})
    assert "augment.erasing: images of one pixel" in str(error.value)


def test_bytes_come_back_from_normalised_images() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 3, 16, 16)
    preprocessing = TinyData().preprocessing
    assert torch.equal(to_bytes(preprocessing.apply(pixels), preprocessing), pixels)
