"""Checks of networks of spaces that can leave out options."""

from __future__ import annotations

from random import Random

import torch

from nasforge.nn import copy_shared
from nasforge.testing.common import Rule, Subject, require

__all__ = ["CHECKS"]


def reduced_networks_compute_the_same(subject: Subject) -> None:
    """With copied weights, a reduced network computes what its supernet does if pruned options weigh 0."""
    space, task, rng = subject.make(), subject.partners.task, Random(0)
    torch.manual_seed(0)
    supernet = space.build(task, scale="search").double()
    x = torch.randn(4, task.in_channels, task.image_size, task.image_size, dtype=torch.float64)
    supernet(x)  # running statistics other than the initial ones
    supernet.eval()
    operations = [c for c in space.choices if c.kind == "op" and len(c.options) > 1]
    kept = {c.name: tuple(rng.sample(c.options, min(2, len(c.options) - 1))) for c in operations[::2]}
    weights = {
        c.name: torch.tensor(
            [float(o in kept.get(c.name, c.options)) for o in c.options], dtype=torch.float64
        )
        * (0.5 + torch.rand(len(c.options), dtype=torch.float64))
        for c in space.choices
    }
    torch.manual_seed(1)
    reduced = space.build_reduced(task, kept).double().eval()
    names = {name: tensor.shape for name, tensor in supernet.state_dict().items()}
    for name, tensor in reduced.state_dict().items():
        require(
            names.get(name) == tensor.shape,
            f"the network with {kept} has a tensor {name!r} of shape {tuple(tensor.shape)}, which its "
            "supernet lacks. Build both with the same code: weights are copied by name.",
        )
    require(
        not kept or len(reduced.state_dict()) < len(names) or _count(reduced) < _count(supernet),
        f"the network with {kept} has all modules of the supernet. Leave out the options that are not kept.",
    )
    copy_shared(reduced, supernet)
    logits, expected = reduced(x, weights).logits, supernet(x, weights).logits
    off = ((logits - expected).abs().max() / expected.abs().max().clamp_min(1e-6)).item()
    require(
        off < 1e-6,
        f"the network with {kept} gives other logits than its supernet whose other options weigh 0 (off by "
        f"{off:.2g} of the largest value). Option weights keep the shapes and the order of the choices.",
    )


def _count(network: torch.nn.Module) -> int:
    return sum(1 for _ in network.modules())


CHECKS: tuple[Rule, ...] = (reduced_networks_compute_the_same,)
