"""The networks of BANANAS against torch's own layers, loss and optimiser."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nasforge_plugins.predictors import networks
from nasforge_plugins.predictors.networks import Networks


def samples(count: int = 70, columns: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    features = rng.integers(0, 2, (count, columns)).astype(float)
    return features, features @ rng.normal(size=columns)


def plainly(features: np.ndarray, targets: np.ndarray, seed: int, epochs: int) -> np.ndarray:
    """Train one network as the paper describes, with the draws of a member."""
    generator = torch.Generator().manual_seed(seed)
    widths = [features.shape[1], *[20] * 10, 1]
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        linear = nn.Linear(a, b)
        bound = (6 / (a + b)) ** 0.5
        linear.weight.data = torch.empty(a, b).uniform_(-bound, bound, generator=generator).T.contiguous()
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    network = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01, betas=(0.9, 0.99), eps=1e-7)
    x, y = torch.tensor(features).float(), torch.tensor(targets).float()
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).split(32):
            optimizer.zero_grad()
            F.l1_loss(network(x[batch]).squeeze(1), y[batch]).backward()
            optimizer.step()
    return network(x).squeeze(1).detach().numpy()


def test_members_against_layers_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    # Rounding grows with every step, because the loss has gradients of one size: few epochs are compared.
    monkeypatch.setattr(networks, "EPOCHS", 5)
    features, targets = samples()
    model = Networks([3, 4])
    model.fit(features, targets)
    expected = np.stack([plainly(features, targets, seed, 5) for seed in (3, 4)])
    assert model.predict_each(features) == pytest.approx(expected, rel=1e-3, abs=1e-4)
    mean, deviation = model.predict(features)
    assert mean == pytest.approx(expected.mean(0), rel=1e-3, abs=1e-4)
    assert deviation == pytest.approx(np.sqrt(expected.var(0)), rel=1e-2, abs=2e-4)


def test_settings_are_the_published_ones() -> None:
    assert (networks.HIDDEN, networks.EPOCHS, networks.BATCH) == ((20,) * 10, 150, 32)
    assert (networks.RATE, networks.BETAS) == (0.01, (0.9, 0.99))


def test_a_member_depends_on_its_own_seed_only() -> None:
    features, targets = samples(20)
    both, one = Networks([3, 4]), Networks([4])
    both.fit(features, targets)
    one.fit(features, targets)
    assert both.predict_each(features)[1] == pytest.approx(one.predict_each(features)[0], abs=0.2)
    again = Networks([3, 4])
    again.fit(features, targets)
    assert np.array_equal(again.predict_each(features), both.predict_each(features))
