"""The networks of BANANAS, trained side by side."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from nasforge_plugins.predictors.encodings import Array

__all__ = ["Networks"]

HIDDEN = (20,) * 10
"""Widths of the hidden layers."""
EPOCHS = 150
BATCH = 32
RATE = 0.01
BETAS = (0.9, 0.99)
EPSILON = 1e-7
"""Of Adam, as in Keras."""


class Networks:
    """Feed-forward networks of 10 layers of 20 units (White et al., "BANANAS", AAAI 2021, section 5).

    ReLU between the layers, Glorot's uniform initialisation with biases of 0, mean absolute error, Adam with
    rate .01 and betas (.9, .99), 150 epochs of shuffled batches of 32: `MetaNeuralnet` of the published code
    with its parameters for NAS-Bench-101 and 201. Members differ in initialisation and batches.

    All members are one batch of matrices, and the backward pass is written out: on matrices of this size
    autograd takes twice as long.

    Args:
        seeds: One per member.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self._seeds = seeds

    def fit(self, features: Array, targets: Array) -> None:
        """Train all members from their initialisation.

        Args:
            features: ``(samples, columns)``.
            targets: ``(samples,)``.
        """
        generators = [torch.Generator().manual_seed(seed) for seed in self._seeds]
        self._weights, self._biases, state = _initial(features.shape[1], generators)
        x, y = torch.tensor(features, dtype=torch.float32), torch.tensor(targets, dtype=torch.float32)
        step = 0
        with torch.no_grad():
            for _ in range(EPOCHS):
                order = torch.stack([torch.randperm(len(x), generator=g) for g in generators])
                for batch in order.split(BATCH, dim=1):
                    step += 1
                    self._update(x[batch], y[batch], state, step)

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation of the members.

        Args:
            features: ``(samples, columns)``.
        """
        predicted = self.predict_each(features)
        return predicted.mean(0), predicted.std(0)

    def predict_each(self, features: Array) -> Array:
        """Return the predictions of every member ``(members, samples)``.

        Args:
            features: ``(samples, columns)``.
        """
        with torch.no_grad():
            x = torch.tensor(features, dtype=torch.float32).expand(len(self._seeds), -1, -1)
            return self._outputs(x)[-1].squeeze(2).numpy().astype(np.float64)

    def _outputs(self, x: Tensor) -> list[Tensor]:
        """Return the input and the output of every layer, each ``(members, samples, width)``."""
        outputs = [x]
        for layer, (weight, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            output = torch.baddbmm(bias, outputs[-1], weight)
            outputs.append(output.relu_() if layer < len(HIDDEN) else output)
        return outputs

    def _update(self, x: Tensor, y: Tensor, state: _AdamState, step: int) -> None:
        """Take a step of Adam on the mean absolute error of a batch per member."""
        outputs = self._outputs(x)
        # The derivative of the mean absolute error, (members, samples, 1).
        grad = (outputs.pop().squeeze(2) - y).sign_().div_(y.shape[1]).unsqueeze(2)
        for layer in reversed(range(len(self._weights))):
            below = outputs[layer]
            torch.bmm(below.transpose(1, 2), grad, out=state.weights[layer])
            torch.sum(grad, 1, keepdim=True, out=state.biases[layer])
            if layer:
                grad = torch.bmm(grad, self._weights[layer].transpose(1, 2)).mul_(below > 0)
        state.adam(step)


class _AdamState:
    """Parameters, gradients and moments, each in one tensor, so that a step of Adam is a few operations."""

    def __init__(self, parameters: Tensor, gradients: Tensor) -> None:
        self._parameters, self._gradients = parameters, gradients
        self._first, self._second = torch.zeros_like(parameters), torch.zeros_like(parameters)
        self.weights: list[Tensor] = []
        self.biases: list[Tensor] = []

    def adam(self, step: int) -> None:
        self._first.lerp_(self._gradients, 1.0 - BETAS[0])
        self._second.mul_(BETAS[1]).addcmul_(self._gradients, self._gradients, value=1.0 - BETAS[1])
        size = (self._second / (1.0 - BETAS[1] ** step)).sqrt_().add_(EPSILON)
        self._parameters.addcdiv_(self._first, size, value=-RATE / (1.0 - BETAS[0] ** step))


def _initial(
    columns: int, generators: Sequence[torch.Generator]
) -> tuple[list[Tensor], list[Tensor], _AdamState]:
    """Draw the weights, and lay out parameters and gradients."""
    widths, members = (columns, *HIDDEN, 1), len(generators)
    shapes = [shape for a, b in pairwise(widths) for shape in ((a, b), (1, b))]
    sizes = [members * a * b for a, b in shapes]
    parameters = torch.zeros(sum(sizes))
    state = _AdamState(parameters, gradients := torch.zeros_like(parameters))
    cut = [part.view(members, *shape) for part, shape in zip(parameters.split(sizes), shapes, strict=True)]
    grads = [part.view(members, *shape) for part, shape in zip(gradients.split(sizes), shapes, strict=True)]
    state.weights, state.biases = grads[::2], grads[1::2]
    for weight in cut[::2]:
        bound = (6.0 / (weight.shape[1] + weight.shape[2])) ** 0.5
        for member, generator in zip(weight, generators, strict=True):
            member.uniform_(-bound, bound, generator=generator)
    return cut[::2], cut[1::2], state
