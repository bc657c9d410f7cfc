"""Training of a supernet beside the published rules, written a second time."""

import pytest
import torch

from nasforge.config import PluginConfig
from nasforge.nn import one_hot
from nasforge.testing.parts import TinySpace as EdgeSpace
from nasforge_plugins.evaluators.supernet.config import SupernetConfig
from nasforge_plugins.evaluators.supernet.training import SupernetTraining
from support.tiny_training import TinySpace, context


def published_training(network, paths, batches, space, *, epochs, lr, decay, smoothing):
    """Train by the rules of megvii-model/SinglePathOneShot, src/Supernet/train.py and utils.py.

    Plain SGD with momentum is written out: matrices and kernels decay, vectors do not, gradients that are
    zero do not count, and the rate falls to zero on a line, step by step.
    """
    momentum: dict[str, torch.Tensor] = {}
    total, count = epochs * len(batches[0]), 0
    for epoch in range(epochs):
        for images, labels in batches[epoch]:
            logits = network(images, one_hot(space.choices, paths[count])).logits
            log_probabilities = logits.log_softmax(1)
            target = torch.full_like(logits, smoothing / logits.shape[1])
            target[range(len(labels)), labels] += 1.0 - smoothing
            network.zero_grad(set_to_none=True)
            (-target * log_probabilities).sum(1).mean().backward()
            with torch.no_grad():
                for name, parameter in network.named_parameters():
                    if parameter.grad is None or float(parameter.grad.abs().sum()) == 0.0:
                        continue
                    decays = name.endswith("weight") and parameter.ndim > 1
                    step = parameter.grad + (decay if decays else 0.0) * parameter
                    momentum[name] = 0.9 * momentum[name] + step if name in momentum else step
                    parameter -= lr * (1.0 - count / total) * momentum[name]
            count += 1


@pytest.mark.parametrize("space", [TinySpace, EdgeSpace])
def test_training_is_the_published_one(space, tmp_path):
    epochs, made_space = 3, space(PluginConfig())
    ctx = context(tmp_path, stage="search", space=made_space)
    config = SupernetConfig(epochs=epochs, batch_size=8, lr=0.1, weight_decay=0.05, clip=0.0)
    torch.manual_seed(0)
    training = SupernetTraining(config, ctx, made_space)
    torch.manual_seed(0)
    again = made_space.build(ctx.data.task, scale="search").train()
    for name, value in training.network.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    drawn = []
    training.path = lambda arch, path=training.path: (drawn.append(arch), path(arch))[1]
    for epoch in range(epochs):
        training.run_epoch(epoch, lambda values: None)
    batches = [list(ctx.data.batches("weights", epoch=e, batch_size=8)) for e in range(epochs)]
    published_training(again, drawn, batches, made_space, epochs=epochs, lr=0.1, decay=0.05, smoothing=0.1)
    expected = dict(again.named_parameters())
    for name, value in training.network.named_parameters():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_the_schedule_may_be_half_a_cosine_and_norms_may_decay(tmp_path):
    config = SupernetConfig(epochs=4, batch_size=8, lr=0.2, min_lr=0.1, schedule="cosine", decay_norms=True)
    training = SupernetTraining(config, context(tmp_path, stage="search"), TinySpace(PluginConfig()))
    assert [training.rate(3 * epoch) for epoch in range(4)] == [training.rate(3 * e + 2) for e in range(4)]
    assert training.rate(6) == pytest.approx(0.15)
    linear = SupernetConfig(epochs=4, batch_size=8, lr=0.2, min_lr=0.1)
    training = SupernetTraining(linear, context(tmp_path, stage="search"), TinySpace(PluginConfig()))
    assert [training.rate(batch) for batch in (0, 3, 6, 11)] == pytest.approx(
        [0.2, 0.175, 0.15, 0.2 - 1.1 / 12]
    )
