"""The networks of the published CDARTS code, written from its rules as functions of plain tensors.

Nothing of nasforge is imported. Tensors carry the names of nasforge's parameters, so that equal weights can
be given to both. Networks are always in training mode: norms use the statistics of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = Mapping[str, Tensor]
Terms = Sequence[tuple[Tensor | None, str]]
"""Operations of an edge with their factors; None is a factor of one."""


class Maps(NamedTuple):
    """Maps behind the three stages."""

    first: Tensor
    second: Tensor
    third: Tensor


def normalise(x: Tensor, weights: Weights, name: str) -> Tensor:
    scale, shift = weights.get(f"{name}.weight"), weights.get(f"{name}.bias")
    return F.batch_norm(x, None, None, scale, shift, training=True)


def relu_conv_norm(x: Tensor, weights: Weights, name: str, stride: int = 1) -> Tensor:
    kernel = weights[f"{name}.conv.weight"]
    return normalise(
        F.conv2d(x.relu(), kernel, stride=stride, padding=kernel.shape[-1] // 2), weights, f"{name}.norm"
    )


def average(x: Tensor, stride: int = 1) -> Tensor:
    return F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)


def add_up(terms: Terms, run: Callable[[str], Tensor]) -> Tensor:
    return sum(run(op) if factor is None else factor * run(op) for factor, op in terms)  # type: ignore


class NasBench201Cells:
    """Cells of six edges between four nodes, and two residual blocks that halve the side."""

    operations = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    edges = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))

    @staticmethod
    def choices() -> tuple[str, ...]:
        return tuple(f"node{node}/node{source}" for node, source in NasBench201Cells.edges)

    @staticmethod
    def operate(x: Tensor, weights: Weights, name: str, op: str) -> Tensor:
        match op:
            case "none":
                return x * 0.0
            case "skip_connect":
                return x
            case "avg_pool_3x3":
                return average(x)
            case _:
                return relu_conv_norm(x, weights, f"{name}.options.{op}")

    def stem(self, x: Tensor, weights: Weights) -> Tensor:
        return normalise(F.conv2d(x, weights["stem.0.weight"], padding=1), weights, "stem.1")

    def run(self, stem: Tensor, weights: Weights, pick: Callable[[str], Terms], cells: Sequence[int]) -> Maps:
        x, maps = stem, []
        for stage, count in enumerate(cells):
            if stage:
                block = f"reductions.{stage - 1}"
                deep = relu_conv_norm(x, weights, f"{block}.first", 2)
                short = F.conv2d(F.avg_pool2d(x, 2, 2), weights[f"{block}.shortcut.weight"])
                x = short + relu_conv_norm(deep, weights, f"{block}.second")
                maps.append(x)
            for cell in range(count):
                nodes = [x]
                for node in (1, 2, 3):
                    parts = []
                    for source in range(node):
                        edge = f"node{node}/node{source}"
                        name, state = f"stages.{stage}.{cell}.edges.{edge}", nodes[source]
                        parts.append(
                            add_up(pick(edge), lambda op, n=name, s=state: self.operate(s, weights, n, op))
                        )
                    nodes.append(sum(parts))  # type: ignore
                x = nodes[-1]
        return Maps(*maps, x)

    def relax(self, alpha: Weights) -> Callable[[str], Terms]:
        return lambda edge: list(zip(alpha[edge].softmax(0), self.operations, strict=True))

    def derive(self, alpha: Weights) -> dict[str, str]:
        return {edge: self.operations[int(alpha[edge].argmax())] for edge in self.choices()}

    def discrete(self, derived: Mapping[str, str]) -> Callable[[str], Terms]:
        return lambda edge: [(None, derived[edge])]

    def penalty(self, alpha: Weights) -> Tensor:
        return torch.stack([alpha[edge][0].abs() for edge in self.choices()]).mean()

    def is_copied(self, name: str, derived: Mapping[str, str]) -> bool:
        """The bank's cells have no norms; everything else goes both ways."""
        return not (".options." in name and ".norm." in name)


class DartsCells:
    """Cells of four nodes; a node adds two earlier states in a network, and averages all in a supernet."""

    operations = (
        *("max_pool_3x3", "avg_pool_3x3", "skip_connect"),
        *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5", "none"),
    )

    @staticmethod
    def sources(node: int) -> tuple[str, ...]:
        return ("in0", "in1", *(f"node{n}" for n in range(node)))

    def choices(self) -> tuple[str, ...]:
        kinds = ("normal", "reduce")
        return tuple(f"{k}/node{n}/{s}" for k in kinds for n in range(4) for s in self.sources(n))

    @staticmethod
    def halve(x: Tensor, weights: Weights, name: str) -> Tensor:
        x = x.relu()
        halves = [
            F.conv2d(x, weights[f"{name}.even.weight"], stride=2),
            F.conv2d(x[:, :, 1:, 1:], weights[f"{name}.odd.weight"], stride=2),
        ]
        return normalise(torch.cat(halves, 1), weights, f"{name}.norm")

    @staticmethod
    def separate(x: Tensor, weights: Weights, name: str, stride: int, dilation: int = 1) -> Tensor:
        kernel = weights[f"{name}.depthwise.weight"]
        padding = dilation * (kernel.shape[-1] // 2)
        y = F.conv2d(x.relu(), kernel, None, stride, padding, dilation, groups=x.shape[1])
        return normalise(F.conv2d(y, weights[f"{name}.pointwise.weight"]), weights, f"{name}.norm")

    def operate(self, x: Tensor, weights: Weights, name: str, op: str, stride: int) -> Tensor:
        name = f"{name}.options.{op}"
        match op:
            case "none":
                return x[:, :, ::stride, ::stride] * 0.0
            case "max_pool_3x3":
                return F.max_pool2d(x, 3, stride, 1)
            case "avg_pool_3x3":
                return average(x, stride)
            case "skip_connect":
                return x if stride == 1 else self.halve(x, weights, name)
            case "sep_conv_3x3" | "sep_conv_5x5":
                return self.separate(self.separate(x, weights, f"{name}.0", stride), weights, f"{name}.1", 1)
            case _:
                return self.separate(x, weights, name, stride, 2)

    def stem(self, x: Tensor, weights: Weights) -> Tensor:
        return normalise(F.conv2d(x, weights["stem.conv.weight"], padding=1), weights, "stem.norm")

    def run(self, stem: Tensor, weights: Weights, pick: Callable, cells: Sequence[int]) -> Maps:
        """Run stages of ``cells`` cells; the last cell of the first two stages halves the side."""
        before = previous = stem
        shrunk, index, maps = False, 0, []
        for stage, count in enumerate(cells):
            for cell in range(count):
                name, reduces = f"cells.{index}", stage < 2 and cell == count - 1
                enter = self.halve if shrunk else relu_conv_norm
                states = {
                    "in0": enter(before, weights, f"{name}.before"),
                    "in1": relu_conv_norm(previous, weights, f"{name}.previous"),
                }
                for node in range(4):
                    parts = []
                    for source, share, terms in pick("reduce" if reduces else "normal", node, stage):
                        stride = 2 if reduces and source.startswith("in") else 1
                        edge, state = f"{name}.nodes.{node}.edges.{source}", states[source]
                        value = add_up(
                            terms,
                            lambda op, e=edge, x=state, s=stride: self.operate(x, weights, e, op, s),
                        )
                        parts.append(value if share is None else share * value)
                    states[f"node{node}"] = sum(parts)  # type: ignore
                out = torch.cat([states[f"node{n}"] for n in range(4)], 1)
                before, previous, shrunk, index = previous, out, reduces, index + 1
            maps.append(previous)
        return Maps(*maps)

    def relax(self, alpha: Weights) -> Callable:
        def pick(kind: str, node: int, stage: int) -> list:
            names = self.sources(node)
            soft = {s: alpha[f"{kind}/node{node}/{s}"].softmax(0) for s in names}
            return [(s, 1 / len(names), list(zip(soft[s], self.operations, strict=True))) for s in names]

        return pick

    def derive(self, alpha: Weights) -> dict[str, list[tuple[str, str]]]:
        """Return the two (source, operation) pairs of each node, the stronger one first."""
        derived = {}
        for kind in ("normal", "reduce"):
            for node in range(4):
                scored = []
                for source in self.sources(node):
                    value, best = alpha[f"{kind}/node{node}/{source}"].softmax(0)[:-1].max(0)
                    scored.append((value.item(), source, self.operations[int(best)]))
                scored.sort(key=lambda entry: -entry[0])
                derived[f"{kind}/node{node}"] = [(source, op) for _, source, op in scored[:2]]
        return derived

    def discrete(self, derived: Mapping[str, list[tuple[str, str]]]) -> Callable:
        return lambda kind, node, stage: [
            (source, None, [(None, op)]) for source, op in derived[f"{kind}/node{node}"]
        ]

    def penalty(self, alpha: Weights) -> Tensor:
        """Three times, because three stages that share their parameters are added."""
        return 3 * torch.cat([alpha[name][:3].abs() for name in self.choices()]).sum()

    reductions: Sequence[int] = ()

    def is_copied(self, name: str, derived: Mapping[str, list[tuple[str, str]]]) -> bool:
        """A node's copy ends at its first identity, which an edge with stride is not."""
        if ".nodes." not in name:
            return True
        _, cell, _, node, _, edge, *_ = name.split(".")
        kind = "reduce" if int(cell) in self.reductions else "normal"
        for source, op in derived[f"{kind}/node{node}"]:
            strides = kind == "reduce" and source.startswith("in")
            if op == "skip_connect" and not strides:
                return False
            if source == edge:
                return True
        raise AssertionError(f"{name} is no operation of the architecture")
