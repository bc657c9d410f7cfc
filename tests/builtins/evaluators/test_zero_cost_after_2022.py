"""ZiCo, SWAP, MeCo and the proxies of AZ-NAS against other writings of their published code."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import nn
from torch.nn.functional import cross_entropy, pixel_unshuffle

from nasforge.nn import Network, Output
from nasforge_plugins.evaluators.zero_cost.correlation import meco
from nasforge_plugins.evaluators.zero_cost.layerwise import (
    LOWEST,
    expressivity,
    progressivity,
    trainability,
)
from nasforge_plugins.evaluators.zero_cost.patterns import swap
from nasforge_plugins.evaluators.zero_cost.ranking import log_rank
from nasforge_plugins.evaluators.zero_cost.variance import zico


class Part(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x.relu()))


class Stack(Network):
    def __init__(self, middle: nn.Module | None = None) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.parts = nn.ModuleList([middle or Part(4, 4, 1), Part(4, 6, 2)])
        self.last = nn.BatchNorm2d(6)
        self.classifier = nn.Linear(6, 3)

    def forward(self, x, weights=None):
        x = self.stem(x)
        for part in self.parts:
            x = part(x)
        return Output(self.classifier(self.last(x).relu().mean((2, 3))))


def made(middle: nn.Module | None = None) -> tuple[Stack, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return Stack(middle).double(), torch.randn(8, 3, 6, 6).double(), torch.arange(8) % 3


def layers_of(network: nn.Module) -> list[nn.Module]:
    return [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]


def test_zico_is_the_published_sum():
    # caculate_zico of SLDGroup/ZiCo: np.std, np.nonzero, the logarithm of the sum of mean / deviation.
    network, images, labels = made()
    model, rows = copy.deepcopy(network).train(), []
    for x, y in ((images[:4], labels[:4]), (images[4:], labels[4:])):
        model.zero_grad()
        cross_entropy(model(x).logits, y).backward()
        rows.append([layer.weight.grad.flatten().numpy().copy() for layer in layers_of(model)])
    expected = 0.0
    for first, second in zip(*rows, strict=True):
        std, mean = np.std([first, second], axis=0), np.mean(np.abs([first, second]), axis=0)
        some = np.nonzero(std)[0]
        expected += np.log(np.sum(mean[some] / std[some]))
    assert zico(network, images, labels) == pytest.approx(expected, rel=1e-9)
    twice = torch.cat([images[:4], images[:4]]), torch.cat([labels[:4], labels[:4]])
    assert zico(network, *twice) == 0.0, "gradients without deviation are left out"


def test_swap_counts_patterns_of_units():
    network, images, labels = made()
    torch.manual_seed(3)
    found = swap(network, images, labels)
    torch.manual_seed(3)
    model = copy.deepcopy(network)
    for layer in layers_of(model):
        nn.init.normal_(layer.weight)
        nn.init.zeros_(layer.bias) if layer.bias is not None else None
    with torch.no_grad():
        first = model.stem(images)
        second = model.parts[0](first)
        third = model.last(model.parts[1](second))
    # Of the published code: signs of what every ReLU returns, one row for each unit, different rows.
    signs = torch.cat([torch.sign(x.relu()).reshape(8, -1) for x in (first, second, third)], 1)
    expected = len({tuple(row) for row in signs.T.tolist()})
    assert found == expected
    torch.manual_seed(3)
    regular = swap(network, images, labels, size=(0.4, 0.1))
    thousands = sum(p.numel() for p in network.parameters()) / 1e3
    assert regular == pytest.approx(expected * math.exp(-((thousands - 0.4) ** 2) / 0.1), rel=1e-12)


def test_swap_of_more_images_than_bits_and_of_several_draws():
    network, _, labels = made()
    images = torch.randn(70, 3, 6, 6).double()
    torch.manual_seed(1)
    one = [swap(network, images, labels) for _ in range(2)]
    torch.manual_seed(1)
    assert swap(network, images, labels, draws=2) == sum(one) / 2
    assert one[0] > swap(network, images[:2], labels), "two images have four patterns at most"
    assert swap(network, images[:2], labels) <= 4


def test_meco_adds_smallest_eigenvalues_of_correlations():
    network, images, labels = made()
    torch.manual_seed(5)
    found = meco(network, images, labels)
    torch.manual_seed(5)
    noise, maps = torch.randn(1, 3, 64, 64, dtype=torch.float64), []
    model = copy.deepcopy(network)
    for module in model.modules():
        module.register_forward_hook(lambda module, args, output: maps.append(output))
    model(noise)
    expected = 0.0
    for output in maps:
        if isinstance(output, torch.Tensor) and output.dim() == 4:
            rows = output[0].detach().reshape(output.shape[1], -1).numpy()
            expected += np.linalg.eigvals(np.corrcoef(rows)).real.min()
    # float32 noise of the published code would round at 1e-6; both are float64 here.
    assert found == pytest.approx(expected, rel=1e-9)
    assert len(maps) == 10


def published_features(network: Stack, images: torch.Tensor) -> list[torch.Tensor]:
    model = copy.deepcopy(network).train()
    for layer in layers_of(model):
        nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
        nn.init.zeros_(layer.bias) if layer.bias is not None else None
    noise = torch.randn(images.shape, dtype=images.dtype)
    features = [model.stem(noise)]
    for part in model.parts:
        features.append(part(features[-1]))
    return features


def entropies(features: list[torch.Tensor]) -> np.ndarray:
    found = []
    for feature in features:
        rows = feature.detach().permute(0, 2, 3, 1).reshape(-1, feature.shape[1]).numpy()
        values = np.linalg.eigvalsh(np.cov(rows.T, bias=True))
        shares = values / values.sum()
        found.append(-(shares * np.log(shares + 1e-8)).sum())
    return np.array(found)


def test_expressivity_and_progressivity_are_entropies_of_features():
    network, images, labels = made()
    torch.manual_seed(7)
    expected = entropies(published_features(network, images))
    torch.manual_seed(7)
    assert expressivity(network, images, labels) == pytest.approx(expected.sum(), rel=1e-9)
    torch.manual_seed(7)
    assert progressivity(network, images, labels) == pytest.approx(np.diff(expected).min(), rel=1e-9)


def test_trainability_is_the_published_mean_of_spectral_norms():
    network, images, labels = made()
    torch.manual_seed(7)
    features, scores = published_features(network, images), []
    for i in (2, 1):
        out, before = features[i], features[i - 1]
        g_out = (torch.bernoulli(torch.ones_like(out) * 0.5) - 0.5) * 2
        g_in = torch.autograd.grad(out, before, g_out, retain_graph=True)[0]
        if g_in.shape[2] != g_out.shape[2]:
            g_in = pixel_unshuffle(g_in, 2)
        rows, columns = (g.permute(0, 2, 3, 1).reshape(-1, g.shape[1]) for g in (g_in, g_out))
        matrix = torch.stack([torch.outer(a, b) for a, b in zip(rows, columns, strict=True)]).mean(0)
        largest = np.linalg.svd(matrix.numpy(), compute_uv=False).max()
        scores.append(-largest - 1 / (largest + 1e-6) + 2)
    torch.manual_seed(7)
    assert trainability(network, images, labels) == pytest.approx(np.mean(scores), rel=1e-9)


def test_parts_that_compute_nothing_are_the_lowest():
    network, images, labels = made(nn.Identity())
    assert trainability(network, images, labels) == LOWEST
    assert progressivity(network, images, labels) <= 0.0


def test_log_rank_is_the_published_sum_over_all():
    # tss_general.ipynb of cvlab-yonsei/AZ-NAS: the sum of np.log(stats.rankdata(values) / count).
    draw = np.random.default_rng(0)
    rows = [{"a": float(draw.integers(0, 6)), "b": float(draw.normal())} for _ in range(20)]
    expected = sum(np.log(rankdata([row[name] for row in rows]) / 20) for name in "ab")
    found = [log_rank(row, rows[:i] + rows[i + 1 :]) for i, row in enumerate(rows)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
