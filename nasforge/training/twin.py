"""The evaluation network inside a search: built from the derived architecture, taught and teaching.

Nothing here belongs to one searcher: every searcher that trains a supernet by gradients can keep a twin and
compare the two with any distiller; the documentation of CDARTS describes the cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from nasforge.arch import Arch
from nasforge.distiller import Distiller
from nasforge.nn import Network, Output, copy_shared, tie
from nasforge.runtime import Runtime
from nasforge.space import NetworkSpace, Task
from nasforge.training.loops import load_optimizer
from nasforge.training.optim import match_layout

__all__ = ["Twin", "TwinLoss"]


class TwinLoss(NamedTuple):
    """The output and losses of a twin for one batch.

    Attributes:
        task: Cross-entropy of the evaluation network, a scalar.
        distill: The distiller's loss between both networks, a scalar; 0 without a distiller.
        output: Output of the evaluation network.
    """

    task: Tensor
    distill: Tensor
    output: Output


class Twin:
    """The life of an evaluation network: rebuild, inherit, share, learn, remember.

    Between rebuilds, the weights of every operation are kept in a *bank*: the supernet of evaluation scale,
    which is never run and stays on the CPU. Weights go in and out by name.

    Args:
        space: Builds bank and networks at scale ``"eval"``.
        task: Input and output sizes.
        runtime: Where and how the networks compute.
        search_net: The supernet being searched, already prepared; its `NetworkSpace.tied` submodules become
            part of the evaluation network, where their shapes agree.
        make_optimizer: Makes the optimiser of the evaluation network and the distiller.
        distiller: Compares both networks; bound and prepared here.
        inherit: Take weights from the bank and bring them back; False starts every network anew.
        renew_optimizer: Start every network without momentum; False carries it over by parameter name.
        share: Make what the space ties, such as the stem, one for both networks; False gives each its own.
        skip: Given a network and its architecture, beginnings of names that never go to or from the bank.
        label_smoothing: Share of the labels that is spread over all classes.

    Attributes:
        bank: Weights of all operations.
        tied: Submodules that are one for both networks.
        network: The evaluation network; None before the first `rebuild`.
        arch: Its architecture.
        optimizer: Its optimiser.
    """

    def __init__(
        self,
        space: NetworkSpace[Any],
        task: Task,
        runtime: Runtime,
        search_net: Network,
        make_optimizer: Callable[[list[nn.Parameter]], Optimizer],
        distiller: Distiller[Any] | None = None,
        *,
        inherit: bool = True,
        renew_optimizer: bool = True,
        share: bool = True,
        skip: Callable[[Network, Arch], Iterable[str]] = lambda network, arch: (),
        label_smoothing: float = 0.0,
    ) -> None:
        self._space, self._task, self._runtime, self._search_net = space, task, runtime, search_net
        self._make_optimizer, self._skip = make_optimizer, skip
        self._inherit, self._renew, self._smoothing = inherit, renew_optimizer, label_smoothing
        self.bank = space.build(task, scale="eval")
        self.distiller = distiller
        if distiller is not None:
            distiller.bind(search_net.feature_info, self.bank.feature_info, task)
            runtime.prepare(distiller)
        self.tied = tuple(n for n in space.tied if share and _alike(search_net, self.bank, n))
        self._momentum: dict[str, dict[str, Any]] = {}
        self._resting: list[nn.Parameter] = []
        self.network: Network | None = None
        self.arch: Arch | None = None
        self.optimizer: Optimizer | None = None

    def rebuild(self, arch: Arch) -> None:
        """Replace the evaluation network, with the bank's weights and a new optimiser.

        Args:
            arch: The architecture derived last.
        """
        network = self._space.build(self._task, arch, scale="eval")
        if self._inherit:
            copy_shared(network, self.bank, self._skip(network, arch))
        self.network, self.arch = self._runtime.prepare(network), arch
        tie(self.network, self._search_net, self.tied)
        own = self.parameters()
        trained = {id(p) for p in own}
        self._resting = [p for p in self._search_net.parameters() if id(p) not in trained]
        self.optimizer = self._make_optimizer(own)
        for name, parameter in self._named():
            if _fits(parameter, self._momentum.get(name)):
                self.optimizer.state[parameter] = match_layout(parameter, self._momentum[name])

    def remember(self) -> None:
        """Bring the weights of the evaluation network back to the bank."""
        network, arch, optimizer = self._built()
        if self._inherit:
            copy_shared(self.bank, network, self._skip(network, arch))
        if not self._renew:
            states = optimizer.state
            self._momentum |= {n: dict(states[p]) for n, p in self._named() if p in states}

    def parameters(self) -> list[nn.Parameter]:
        """Return what its optimiser trains, each once: the network, what it shares, and the distiller."""
        return [p for _, p in self._named()]

    def find_untrained(self) -> list[nn.Parameter]:
        """Return the parameters of the search network that the twin does not train."""
        self._built()
        return self._resting

    def loss(self, images: Tensor, labels: Tensor, student: Output | None = None) -> TwinLoss:
        """Run the evaluation network on a batch and compare it with the search network.

        Args:
            images: ``(B, C, S, S)``.
            labels: ``(B,)``.
            student: Output of the search network for the same batch; None compares nothing.

        Returns:
            Losses in float32, for every precision of the networks.
        """
        network, _, _ = self._built()
        with self._runtime.autocast():
            output = network(images)
            if student is None or self.distiller is None:
                distill = torch.zeros((), device=images.device)
            else:
                distill = self.distiller(student, output, labels).float()
        task = cross_entropy(output.logits.float(), labels, label_smoothing=self._smoothing)
        return TwinLoss(task, distill, output)

    def state_dict(self) -> dict[str, Any]:
        """Return bank, network, architecture, optimiser and distiller."""
        state: dict[str, Any] = {"bank": self.bank.state_dict(), "momentum": self._momentum}
        if self.distiller is not None:
            state["distiller"] = self.distiller.state_dict()
        if self.network is not None:
            network, arch, optimizer = self._built()
            state["network"] = network.state_dict()
            state["arch"] = arch.to_json()
            state["optimizer"] = optimizer.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned; draws from torch's generator where it builds a network.

        Args:
            state: The result of `state_dict`.
        """
        self._momentum = {name: dict(values) for name, values in state["momentum"].items()}
        if self.distiller is not None:
            self.distiller.load_state_dict(state["distiller"])
        if "arch" in state:
            self.rebuild(Arch(state["arch"]))
            network, _, optimizer = self._built()
            network.load_state_dict(state["network"])
            load_optimizer(optimizer, state["optimizer"])
        self.bank.load_state_dict(state["bank"])

    def _named(self) -> Iterator[tuple[str, nn.Parameter]]:
        modules = {"network": self.network, "distiller": self.distiller}
        present = nn.ModuleDict({name: m for name, m in modules.items() if m is not None})
        return present.named_parameters()

    def _built(self) -> tuple[Network, Arch, Optimizer]:
        assert self.network is not None, "rebuild() comes first"
        assert self.arch is not None
        assert self.optimizer is not None
        return self.network, self.arch, self.optimizer


def _fits(parameter: Tensor, state: Mapping[str, Any] | None) -> bool:
    """Tell whether an optimiser's state fits a parameter: slices of elastic choices change their shapes."""
    buffers = [value for value in (state or {}).values() if isinstance(value, Tensor) and value.dim()]
    return state is not None and all(value.shape == parameter.shape for value in buffers)


def _alike(one: nn.Module, other: nn.Module, name: str) -> bool:
    """Tell whether a submodule has the same tensors in both modules, so that they may share it."""
    shapes = [{n: t.shape for n, t in m.get_submodule(name).state_dict().items()} for m in (one, other)]
    return shapes[0] == shapes[1]
