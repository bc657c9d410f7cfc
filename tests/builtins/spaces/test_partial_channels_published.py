"""The mixed operation and the derive rule of PC-DARTS, written again from its published code."""

from __future__ import annotations

import numpy as np
import torch

from nasforge.nn.partial import bypass
from nasforge_plugins.spaces.darts.config import DartsConfig
from nasforge_plugins.spaces.darts.names import edge_name, inputs_name, sources
from nasforge_plugins.spaces.darts.operation_sets import OPERATIONS
from nasforge_plugins.spaces.darts.space import DartsSpace

CELLS = ("normal", "reduce")


def mix_as_published(x: np.ndarray, operate, k: int) -> np.ndarray:
    """MixedOp and channel_shuffle of yuhuixu1993/PC-DARTS, `model_search.py`, channel by channel."""
    channels, height = x.shape[1:3]
    part = channels // k
    mixed = operate(x[:, :part])
    rest = [x[:, c] for c in range(part, channels)]
    if mixed.shape[2] != height:  # 2x2 max pool
        rest = [np.max([r[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=0) for r in rest]
    planes = [*(mixed[:, c] for c in range(part)), *rest]
    # Channel c of the result is the (c // k)-th one of group c % k.
    return np.stack([planes[(c % k) * part + c // k] for c in range(channels)], axis=1)


def test_the_mixture_is_the_published_one():
    x = np.random.default_rng(0).standard_normal((3, 8, 6, 6))
    for k in (2, 4):
        for stride in (1, 2):

            def operate(part, stride=stride):
                return 0.3 * part[:, :, ::stride, ::stride] ** 2 - part[:, :, ::stride, ::stride]

            found = bypass(torch.from_numpy(x), k, operate)
            np.testing.assert_allclose(found.numpy(), mix_as_published(x, operate, k), rtol=0, atol=1e-12)


def derive_as_published(alphas: np.ndarray, betas: np.ndarray) -> list[set[tuple[str, int]]]:
    """`genotype` of the same file for one cell: two inputs per node, by the product of both softmaxes."""
    nodes, row = [], 0
    for node in range(4):
        inputs = range(node + 2)
        shares = np.exp(betas[row : row + len(inputs)])
        shares /= shares.sum()
        weights = np.exp(alphas[row : row + len(inputs)])
        weights /= weights.sum(1, keepdims=True)
        strength = weights * shares[:, None]
        strength[:, OPERATIONS.index("none")] = 0.0
        kept = np.argsort(-strength.max(1))[:2]
        nodes.append({(OPERATIONS[int(strength[j].argmax())], int(j)) for j in kept})
        row += len(inputs)
    return nodes


def test_genotypes_are_derived_as_published():
    space = DartsSpace(DartsConfig())
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(50):
        parameters = {cell: (rng.standard_normal((14, 8)), rng.standard_normal(14)) for cell in CELLS}
        weights = {}
        for cell, (alphas, betas) in parameters.items():
            row = 0
            for node in range(4):
                for source in sources(node):
                    weights[edge_name(cell, node, source)] = soft(alphas[row])
                    row += 1
                weights[inputs_name(cell, node)] = soft(betas[row - node - 2 : row])
        genotype = space.genotype(space.discretize(weights))
        for cell, (alphas, betas) in parameters.items():
            found = [set(pairs) for pairs in getattr(genotype, cell)]
            assert found == derive_as_published(alphas, betas)
            seen |= set().union(*found)
    assert len({operation for operation, _ in seen}) == 7


def soft(values: np.ndarray) -> list[float]:
    return torch.softmax(torch.from_numpy(values), 0).tolist()
