import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasforge.errors import RunError
from nasforge.nn import Output
from nasforge.runtime import Runtime
from nasforge.training.loops import (
    RunningScores,
    accuracy,
    cosine_lr,
    isolated_random,
    load_optimizer,
    random_state,
    score,
    set_lr,
    set_random_state,
    train_epoch,
)

CPU = torch.device("cpu")


class Colour(nn.Module):
    def forward(self, x: torch.Tensor) -> Output:
        return Output(x.mean((2, 3)))


def fail_after(_: torch.Tensor) -> None:
    raise ZeroDivisionError


def batches(*sizes: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(n, 3, 4, 4, generator=generator), torch.randint(0, 3, (n,), generator=generator))
        for n in sizes
    ]


def test_score_weighs_every_image_alike_and_restores_the_mode() -> None:
    network = Colour().train()
    data = batches(5, 2)
    images, labels = (torch.cat(parts) for parts in zip(*data, strict=True))
    logits = images.mean((2, 3))
    scores = score(network, data, Runtime(CPU))
    assert scores.loss == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-6)
    assert scores.accuracy == pytest.approx(100 * float((logits.argmax(1) == labels).float().mean()))
    assert accuracy(network, data, Runtime(CPU)) == scores.accuracy
    assert network.training


def test_no_batch_is_an_error() -> None:
    with pytest.raises(RunError, match="gave no batch"):
        accuracy(Colour(), [], Runtime(CPU))


def test_cosine_lr_has_the_published_values() -> None:
    assert cosine_lr(0, 600, 0.025) == 0.025
    assert cosine_lr(300, 600, 0.025) == pytest.approx(0.0125)
    assert cosine_lr(600, 600, 0.025, min_lr=1e-3) == pytest.approx(1e-3)
    # ImageNet: five warm-up epochs, each the cosine's rate times (e + 1) / 5.
    second = 0.5 * (1 + math.cos(math.pi * 2 / 250)) / 2
    assert cosine_lr(2, 250, 0.5, warmup_epochs=5) == pytest.approx(second * 3 / 5)
    assert cosine_lr(5, 250, 0.5, warmup_epochs=5) == cosine_lr(5, 250, 0.5)


def test_meter_names_the_batch_of_a_bad_loss() -> None:
    meter = RunningScores("train, epoch 3")
    logits, labels = torch.eye(3), torch.arange(3)
    meter.add(torch.tensor(1.0), logits, labels)
    with pytest.raises(RunError, match=r"train, epoch 3, batch 2: the loss is nan"):
        meter.add(torch.tensor(math.nan), logits, labels)


def test_a_deferred_meter_finds_the_same() -> None:
    data = [
        (torch.tensor(float(n)), images.mean((2, 3)), y) for n, (images, y) in enumerate(batches(5, 2, 3))
    ]
    at_once, deferred = RunningScores("train"), RunningScores("train", defer=True)
    for batch in data:
        at_once.add(*batch)
        deferred.add(*batch)
    assert deferred.read() == at_once.read() == deferred.read()
    for loss in (math.inf, math.nan, 1.0):
        deferred.add(torch.tensor(loss), *data[0][1:])
    with pytest.raises(RunError, match=r"train, batch 4: the loss is inf"):
        deferred.read()


def test_train_epoch_reports_and_returns_running_means() -> None:
    losses = iter([4.0, 2.0, 1.0])
    seen: list[tuple[int, float]] = []

    def step(images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.tensor(next(losses)), images.mean((2, 3))

    scores = train_epoch(
        batches(2, 2, 4), step, "train", every=2, progress=lambda n, s: seen.append((n, s.loss))
    )
    assert seen == [(2, 3.0)]
    assert scores.loss == (4.0 * 2 + 2.0 * 2 + 1.0 * 4) / 8


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_load_optimizer_keeps_values_and_layout(kind: type[torch.optim.Optimizer]) -> None:
    def make() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        module = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
        options = {"momentum": 0.9} if kind is torch.optim.SGD else {}
        return module, kind(module.parameters(), lr=0.1, **options)  # type: ignore[call-arg]

    module, optimizer = make()
    module(torch.randn(2, 4, 5, 5)).square().sum().backward()
    optimizer.step()
    state = optimizer.state_dict()
    for values in state["state"].values():
        values.update({k: v.contiguous() for k, v in values.items() if isinstance(v, torch.Tensor)})
    other, restored = make()
    load_optimizer(restored, state)
    for mine, theirs in zip(module.parameters(), other.parameters(), strict=True):
        for name, value in optimizer.state[mine].items():
            assert torch.equal(restored.state[theirs][name], value)
            if value.ndim == 4:
                assert restored.state[theirs][name].is_contiguous(memory_format=torch.channels_last)


def test_set_lr_reaches_every_group() -> None:
    first, second = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second], "lr": 3.0}], lr=1.0)
    set_lr(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]


def test_random_state_restores_the_stream() -> None:
    torch.manual_seed(3)
    state = random_state(CPU)
    first = torch.rand(3)
    set_random_state(CPU, state)
    assert torch.equal(torch.rand(3), first)


def test_isolated_random_leaves_the_outside_alone_even_after_an_error() -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    with pytest.raises(ZeroDivisionError), isolated_random(CPU, 5):
        fail_after(inside := torch.rand(3))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(inside, torch.rand(3, generator=torch.Generator().manual_seed(5)))
