"""Training steps in shards, in one process."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, Adam

from nasforge.arch import Choice
from nasforge.errors import DataError, RunError
from nasforge.images.config import SplitConfig
from nasforge.images.splits import Splits
from nasforge.nn import ArchParameters, Dirichlet, Gumbel
from nasforge.runtime import Runtime
from nasforge.runtime.shards import Shards
from nasforge.training.shards import shard_generator, step_in_shards
from nasforge.training.update import Update

CPU = torch.device("cpu")


def runtime(count: int) -> Runtime:
    return Runtime(CPU, channels_last=False, shards=Shards(count))


def batch(size: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    images = torch.randn(size, 2, 4, 4, generator=generator, dtype=torch.float64)
    return images, torch.arange(size) % 3


class Trained:
    """A network that learns in shards."""

    def __init__(self, count: int, *middle: nn.Module) -> None:
        torch.manual_seed(1)
        layers = [nn.Conv2d(2, 4, 3), *middle, nn.Flatten(), nn.Linear(16, 3)]
        self.network = nn.Sequential(*layers).double()
        self.runtime = runtime(count)
        self.runtime.prepare(self.network)
        self.optimizer = SGD(self.network.parameters(), 0.1, momentum=0.9)

    def step(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        loss = cross_entropy(self.network(images), labels)
        Update(clip=1.0).descend(loss, [self.optimizer], (p for p in self.network.parameters()))
        return {"loss": loss}

    def train(self, steps: int = 3) -> list[float]:
        losses = [step_in_shards(self.runtime, self.step, *batch())["loss"] for _ in range(steps)]
        return [float(loss.detach()) for loss in losses]

    def weights(self) -> Tensor:
        return torch.cat([p.detach().flatten() for p in self.network.parameters()])


def test_without_norms_shards_are_a_whole_batch():
    whole, parts = Trained(1), Trained(4)
    assert whole.train() == pytest.approx(parts.train(), rel=1e-6)
    torch.testing.assert_close(whole.weights(), parts.weights(), rtol=1e-12, atol=1e-12)


def test_a_norm_sees_one_shard_and_its_running_statistics_are_means():
    norm = nn.BatchNorm2d(4)
    trained = Trained(4, norm)
    inputs: list[Tensor] = []
    norm.register_forward_pre_hook(lambda module, args: inputs.append(args[0].detach()))
    trained.train(1)
    assert [len(one) for one in inputs] == [3] * 4
    means = torch.stack([0.1 * one.mean((0, 2, 3)) for one in inputs])
    variances = torch.stack([0.9 + 0.1 * one.var((0, 2, 3)) for one in inputs])
    torch.testing.assert_close(norm.running_mean, means.mean(0), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(norm.running_var, variances.mean(0), rtol=1e-12, atol=1e-14)
    assert int(norm.num_batches_tracked) == 1, "four shards are one batch"


def test_gradients_are_summed_in_the_order_of_the_shards():
    images, labels = batch()
    torch.manual_seed(1)
    layer = nn.Linear(32, 3)
    terms = []
    for part, target in zip(images.float().flatten(1).split(3), labels.split(3), strict=True):
        terms.append(torch.autograd.grad(cross_entropy(layer(part), target), layer.weight)[0])
    expected = layer.weight.detach() - (((terms[0] + terms[1]) + terms[2]) + terms[3]) / 4

    def step(images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        Update().descend(cross_entropy(layer(images.flatten(1)), labels), [optimizer])
        return {}

    optimizer = SGD(layer.parameters(), 1.0)
    assert step_in_shards(runtime(4), step, images.float(), labels) == {}
    assert torch.equal(layer.weight, expected)


def test_gradients_that_are_given_are_averaged():
    weight = nn.Parameter(torch.zeros(2))
    optimizer = SGD([weight], 1.0)

    def step(images: Tensor) -> dict[str, Tensor]:
        Update().apply([weight], [images[0]], optimizer)
        return {"first": images[0, 0]}

    found = step_in_shards(runtime(2), step, torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    assert weight.tolist() == [-2.0, -4.0]
    assert float(found["first"]) == 2.0


def test_unused_parameters_keep_no_gradient():
    used, unused = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizer = Adam([used, unused], 0.1)

    def step(images: Tensor) -> dict[str, Tensor]:
        Update().descend((used * images).sum(), [optimizer])
        return {}

    step_in_shards(runtime(2), step, torch.ones(2, 1))
    assert unused.tolist() == [1.0]
    assert unused not in optimizer.state


def test_two_updates_in_one_step_are_refused():
    weight = nn.Parameter(torch.ones(1))
    optimizer = SGD([weight], 0.1)

    def step(images: Tensor) -> dict[str, Tensor]:
        Update().descend(weight.sum(), [optimizer])
        Update().descend(weight.sum(), [optimizer])
        return {}

    with pytest.raises(RunError, match="two updates of one batch"):
        step_in_shards(runtime(2), step, torch.ones(2, 1))


@pytest.mark.parametrize("relaxation", [Gumbel(), Dirichlet()])
def test_shards_draw_the_same_architecture_and_other_noise(relaxation):
    torch.manual_seed(0)
    choices = [Choice(f"edge{i}", ("a", "b", "c")) for i in range(8)]
    alpha = ArchParameters(choices, 0.1, relaxation)
    archs, noises, sources = [], [], []
    epoch = torch.Generator().manual_seed(3)

    def step(images: Tensor) -> dict[str, Tensor]:
        noises.append(torch.rand(3).tolist())
        weights = alpha.weights()
        archs.append([str(weight) for weight in weights.values()])
        sources.append(torch.rand(3, generator=shard_generator(epoch)).tolist())
        return {}

    state = torch.get_rng_state()
    for _ in range(2):
        step_in_shards(runtime(4), step, torch.ones(4, 1))
    assert all(arch == archs[0] for arch in archs[:4])
    assert all(arch == archs[4] for arch in archs[4:])
    assert archs[0] != archs[4], "each batch draws anew"
    assert len({str(noise) for noise in noises}) == len({str(noise) for noise in sources}) == 8
    torch.set_rng_state(state)
    torch.randint(2**62, ())
    torch.randint(2**62, ())
    after = torch.rand(1)
    torch.set_rng_state(state)
    for _ in range(2):
        step_in_shards(runtime(4), step, torch.ones(4, 1))
    assert torch.equal(torch.rand(1), after), "a batch takes one number from the generator of the run"


def test_outside_of_shards_a_generator_stays_itself():
    generator = torch.Generator()
    assert shard_generator(generator) is generator


@pytest.mark.parametrize(
    ("total", "size", "count", "ends"),
    [
        (32, 8, 4, [8, 16, 24, 32]),
        (30, 8, 4, [8, 16, 24]),  # a last batch of six would have one image per shard
        (31, 12, 2, [12, 24, 30]),
        (10, 4, 4, [4, 8]),
        (9, 4, 1, [4, 8]),
        (12, 4, 4, [4, 8, 12]),
    ],
)
def test_all_shards_of_a_batch_have_the_same_size(total, size, count, ends):
    config = SplitConfig(arch_share=0.0)
    splits = Splits(config, torch.arange(total) % 2, 4, 0)
    bounds = splits.bounds("weights", size, training=True, shards=Shards(count))
    assert [min(start + bounds.step, bounds.stop) for start in bounds] == ends


def test_a_batch_that_does_not_divide_is_refused():
    splits = Splits(SplitConfig(arch_share=0.0), torch.arange(32) % 2, 4, 0)
    with pytest.raises(DataError, match=r"a batch of 10 images does not divide into 4 equal shards.*to 8"):
        splits.bounds("weights", 10, training=True, shards=Shards(4))
