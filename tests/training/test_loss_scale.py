"""Scaled losses for float16: against torch's scaler, with clipping, shards, and across a resume."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, Adam

from nasforge.config import PluginConfig
from nasforge.errors import RunError
from nasforge.runtime import Runtime
from nasforge.runtime.shards import Shards
from nasforge.training.epochs import EpochTraining
from nasforge.training.loss_scale import LossScale, loss_scale_for
from nasforge.training.shards import step_in_shards
from nasforge.training.update import Update
from support.tiny_training import ARCH, TinyData, TinySpace

CPU = torch.device("cpu")


def half(weight: Tensor, images: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.float16):
        return linear(images, weight).float().square().mean()


def weights() -> nn.Parameter:
    torch.manual_seed(0)
    return nn.Parameter(torch.randn(4, 8))


@pytest.mark.parametrize("optimizer", [SGD, Adam])
def test_steps_are_those_of_torchs_scaler(optimizer):
    """Overflows, halvings and doublings included; equal bits."""
    torch.manual_seed(1)
    batches = [torch.randn(6, 8) * size for size in (1.0, 1.0, 60.0, 1.0, 1.0, 1.0, 1e-3, 1.0)]
    theirs = weights()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**15, growth_interval=2)
    torchs = optimizer([theirs], lr=0.1)
    factors = []
    for images in batches:
        torchs.zero_grad()
        scaler.scale(half(theirs, images)).backward()
        scaler.unscale_(torchs)
        clip_grad_norm_([theirs], 0.5)
        scaler.step(torchs)
        scaler.update()
        factors.append(scaler.get_scale())

    mine, scale = weights(), LossScale(2.0**15, interval=2)
    update, own, found = Update(0.5, scale), optimizer([mine], lr=0.1), []
    for images in batches:
        update.descend(half(mine, images), [own], [mine])
        found.append(scale.factor)
    assert found == factors
    assert min(factors) < 2.0**15 < max(factors), "the batches make the factor fall and rise"
    assert torch.equal(mine, theirs)
    assert scale.metrics()["skipped_updates"] == scale.skipped > 0


def test_small_gradients_survive():
    weight, images = nn.Parameter(torch.full((1, 4), 1e-3)), torch.full((1, 4), 1e-4)

    def gradient(update: Update) -> Tensor:
        kept: list[Tensor] = []
        with torch.autocast("cpu", torch.float16):
            loss = linear(linear(images, weight), torch.full((1, 1), 1e-4)).float().sum()
        update.descend(loss, [SGD([weight], 0.0)], edit=lambda: kept.append(weight.grad.clone()))
        return kept[0]

    assert gradient(Update()).abs().max() == 0.0, "1e-4 squared is less than float16 has"
    found = gradient(Update(0.0, LossScale(2.0**12)))
    torch.testing.assert_close(found, torch.full((1, 4), 1e-8), rtol=1e-2, atol=0)


def test_gradients_of_all_parameters_of_a_norm_are_unscaled():
    weight, other = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    update = Update(clip=1.0, loss_scale=LossScale(1024.0))
    update.descend(3.0 * weight[0] + 4.0 * other[0], [SGD([weight], 1.0)], [weight, other])
    assert weight.item() == pytest.approx(1.0 - 3.0 / 5.0, abs=1e-5)


def test_a_skipped_step_leaves_nothing():
    weight, kept = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    kept.grad = torch.full((1,), 2.0)
    optimizers = [SGD([weight], 1.0, momentum=0.9), Adam([kept], 1.0)]
    update = Update(0.0, LossScale())
    edits: list[None] = []
    update.clear = lambda _: None  # as quirks that leave gradients do
    update.finish = lambda _: None
    # Its second gradient is finite, but both optimisers wait.
    update.descend(weight.sum() * float("inf") + kept.sum(), optimizers, edit=lambda: edits.append(None))
    assert weight.tolist() == kept.tolist() == [1.0]
    assert (weight.grad, kept.grad.item(), edits) == (None, 2.0, [])
    assert not optimizers[0].state
    assert update.loss_scale.state_dict() == {"factor": 2.0**15, "row": 0, "skipped": 1}
    update.descend(kept.sum(), optimizers)
    assert kept.grad.item() == 3.0, "what was left before counts, unscaled"


def test_a_step_of_several_losses_is_skipped_as_one():
    weight = nn.Parameter(torch.ones(2))
    update, optimizer = Update(0.0, LossScale()), SGD([weight], 1.0)
    update.descend(weight[0] * float("nan"), [optimizer], first=True, last=False)
    update.descend(weight[1], [optimizer], first=False, last=True)
    assert weight.tolist() == [1.0, 1.0]
    assert update.loss_scale.skipped == 1
    for number in range(2):
        update.descend(weight[number], [optimizer], first=number == 0, last=number == 1)
    assert weight.tolist() == [0.0, 0.0]


def test_gradients_that_are_given_are_unscaled():
    weight = nn.Parameter(torch.zeros(2))
    update, optimizer = Update(0.0, LossScale()), SGD([weight], 1.0)
    gradients = torch.autograd.grad(update.scaled((weight * torch.tensor([1.0, -2.0])).sum()), weight)
    update.apply([weight], gradients, optimizer)
    assert weight.tolist() == [-1.0, 2.0]
    update.apply([weight], [torch.tensor([1.0, float("inf")])], optimizer)
    assert weight.tolist() == [-1.0, 2.0]
    assert update.loss_scale.skipped == 1


def test_one_bad_shard_skips_the_step_of_all():
    runtime = Runtime(CPU, "fp16", channels_last=False, shards=Shards(3))
    scale = loss_scale_for(runtime)
    weight = nn.Parameter(torch.ones(1))
    optimizer = SGD([weight], 1.0)

    def step(images: Tensor) -> dict[str, Tensor]:
        Update(0.0, scale).descend((weight * images).sum(), [optimizer])
        return {}

    step_in_shards(runtime, step, torch.tensor([[1.0], [float("inf")], [2.0]]))
    assert (weight.item(), scale.skipped) == (1.0, 1)
    step_in_shards(runtime, step, torch.tensor([[1.0], [3.0], [2.0]]))
    assert (weight.item(), scale.skipped) == (-1.0, 1)


def test_gradients_that_stay_infinite_end_the_run():
    weight = nn.Parameter(torch.ones(1))
    update, optimizer = Update(0.0, LossScale()), SGD([weight], 1.0)
    for _ in range(30):  # 2^16 to 2^-14
        update.descend(weight.sum() * float("inf"), [optimizer])
    with pytest.raises(RunError, match=r"run\.precision: gradients in fp16 are not finite"):
        update.descend(weight.sum() * float("inf"), [optimizer])


def test_other_types_need_no_scale():
    assert loss_scale_for(Runtime(CPU)) is None
    assert loss_scale_for(Runtime(CPU, "bf16")) is None


class Tiny(EpochTraining):
    """A small network in float16."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.runtime, data = Runtime(CPU, "fp16"), TinyData()
        self.network = self.runtime.prepare(TinySpace(PluginConfig()).build(data.task, ARCH))
        parameters = list(self.network.parameters())
        optimizer = SGD(parameters, 0.1, momentum=0.9)
        super().__init__(data, self.runtime, {"network": self.network}, optimizer, parameters, 5.0)
        self.update.loss_scale = LossScale(2.0**40, interval=3)  # too large at first

    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        with self.runtime.autocast():
            logits = self.network(images).logits
        assert logits.dtype == torch.float16
        return cross_entropy(logits.float(), labels), logits

    def go(self, epochs: range) -> list[dict[str, float]]:
        reports: list[dict[str, float]] = []
        for epoch in epochs:
            self.train(
                "full", epoch, 4, lr=0.1, batch_size=6, where="test", report=lambda v: reports.append(dict(v))
            )
        return reports


def test_a_training_learns_counts_and_resumes_to_the_same_bits():
    straight = Tiny()
    reports = straight.go(range(4))
    assert reports[-1]["skipped_updates"] == straight.update.loss_scale.skipped > 0
    assert reports[-1]["loss_scale"] == straight.update.loss_scale.factor < 2.0**40
    assert reports[-1]["loss"] < reports[0]["loss"]

    first, second = Tiny(), Tiny()
    first.go(range(2))
    second.load_state_dict(first.state_dict())
    second.go(range(2, 4))
    assert second.update.loss_scale.state_dict() == straight.update.loss_scale.state_dict()
    for mine, expected in zip(second.parameters, straight.parameters, strict=True):
        assert torch.equal(mine, expected)
