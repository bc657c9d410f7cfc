"""Sandwich sampling and in-place distillation: which architectures, which gradients, resume, shards."""

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from nasforge.config import PluginConfig
from nasforge.errors import RunError
from nasforge.nn import copy_shared
from nasforge.runtime import Runtime
from nasforge.runtime.shards import Shards
from nasforge_plugins.evaluators.supernet.config import SupernetConfig
from nasforge_plugins.evaluators.supernet.evaluator import Supernet
from nasforge_plugins.evaluators.supernet.training import SupernetTraining
from nasforge_plugins.spaces.vit.config import VitConfig
from nasforge_plugins.spaces.vit.plugin import nasforge_plugins
from nasforge_plugins.spaces.vit.space import VitSpace
from support.tiny_training import Interrupted, TinyData, TinySpace, context

(PLUGIN,) = nasforge_plugins()
SPACE = VitSpace(VitConfig(**PLUGIN.tiny))
SMALLEST, LARGEST = "(1, 1.5, 1, 8)", "(3, 2, 2, 2, 2, 2, 2, 12)"


def training_of(folder, runtime=None, **options):
    parts = {} if runtime is None else {"runtime": runtime}
    ctx = context(folder, stage="search", space=SPACE, **parts)
    torch.manual_seed(0)
    config = SupernetConfig(**{"epochs": 2, "batch_size": 8, "sandwich": 2, "clip": 0.0, **options})
    training = SupernetTraining(config, ctx, SPACE)
    training.begin_epoch(0)
    return training


def batch():
    return next(iter(TinyData().batches("weights", batch_size=8)))


def test_a_sandwich_has_the_largest_some_between_and_the_smallest(tmp_path):
    training = training_of(tmp_path, sandwich=3)
    drawn = [[SPACE.notation(arch) for arch in training.draw()] for _ in range(4)]
    assert {(len(batch), batch[0], batch[-1]) for batch in drawn} == {(5, LARGEST, SMALLEST)}
    assert len({arch for batch in drawn for arch in batch[1:-1]}) > 6
    again = training_of(tmp_path, sandwich=3)
    assert drawn == [[SPACE.notation(arch) for arch in again.draw()] for _ in range(4)]


@pytest.mark.parametrize("distill", [False, True])
def test_gradients_of_the_slices_are_added_up(distill, tmp_path):
    training = training_of(tmp_path, distill=distill, lr=0.1, weight_decay=0.0, momentum=0.0)
    images, labels = batch()
    archs = training_of(tmp_path).draw()
    expected = {name: p.detach().clone() for name, p in training.network.named_parameters()}
    total, teacher = 0.0, None
    for arch in archs:
        network = SPACE.build(training.data.task, arch).train()
        copy_shared(network, training.network)
        logits = network(images).logits
        if teacher is None or not distill:
            loss = F.cross_entropy(logits, labels, label_smoothing=0.1)
            teacher = logits.detach().softmax(1)
        else:
            loss = -(teacher * logits.log_softmax(1)).sum(1).mean()
        loss.backward()
        total += loss.item()
        for name, parameter in network.named_parameters():
            if parameter.grad is not None:
                expected[name][tuple(map(slice, parameter.shape))] -= 0.1 * parameter.grad
    loss, _ = training.step(images, labels)
    assert loss.item() == pytest.approx(total, rel=1e-5)
    for name, parameter in training.network.named_parameters():
        torch.testing.assert_close(parameter.detach(), expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_a_killed_training_ends_in_the_same_bits(tmp_path):
    options = {"epochs": 2, "batch_size": 8, "sandwich": 1, "distill": True, "optimizer": "adamw", "lr": 1e-3}

    def made(folder, data=None):
        evaluator = Supernet(SupernetConfig(**options))
        evaluator.setup(context(tmp_path / folder, data, "search", space=SPACE))
        return evaluator

    with pytest.raises(Interrupted):
        made("parts", TinyData(fail=(1, 2))).supernet()
    parts, whole = made("parts").supernet().state_dict(), made("whole").supernet().state_dict()
    assert all(torch.equal(value, whole[name]) for name, value in parts.items())


def test_shards_train_the_same_architectures_and_make_one_step(tmp_path):
    sizes, cpu = {}, torch.device("cpu")
    for count in (1, 4):
        runtime = Runtime(cpu, channels_last=False, shards=Shards(count))
        training = training_of(tmp_path, runtime, lr=0.1)
        loss, logits = training.step(*batch())
        assert logits.shape == (8, 3)
        sizes[count] = [loss.detach(), *(p.detach() for p in training.network.parameters())]
    for whole, parts in zip(sizes[1], sizes[4], strict=True):
        # Layer norms see one image each, so shards differ in rounding only.
        torch.testing.assert_close(whole, parts, rtol=1e-4, atol=1e-6)


def test_warm_up_raises_either_schedule(tmp_path):
    training = training_of(tmp_path, epochs=4, lr=0.2, warmup_epochs=2)
    assert [training.rate(b) for b in (0, 3, 6)] == pytest.approx([0.1, 0.15, 0.1])
    cosine = training_of(tmp_path, epochs=4, lr=0.2, warmup_epochs=2, schedule="cosine")
    assert cosine.rate(0) == pytest.approx(0.1)
    assert isinstance(training_of(tmp_path, optimizer="adamw").optimizer, torch.optim.AdamW)


def test_sandwiches_that_cannot_be_made_are_refused(tmp_path):
    ctx = context(tmp_path, stage="search")
    with pytest.raises(RunError, match=r"evaluator\.sandwich: TinySpace has no elastic choices"):
        SupernetTraining(SupernetConfig(sandwich=2), ctx, TinySpace(PluginConfig()))
    with pytest.raises(ValidationError, match="distill needs the largest architecture in every batch"):
        SupernetConfig(distill=True)
    with pytest.raises(ValidationError, match=r"warmup_epochs \(9\) must not be above epochs \(3\)"):
        SupernetConfig(epochs=3, warmup_epochs=9)
