"""Recorded operators as expressions of Python that a person would write."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["Text", "write_operator"]

END = 2**63 - 1
"""How a recorded slice says that it goes to the end."""


@dataclass(frozen=True)
class Text:
    """An expression.

    Attributes:
        code: As Python reads it.
        binds: How tightly: 2 for a name, a call or an index, 1 for a product, 0 for a sum.
        first: Whether it is the first of the results that the operator was recorded with.
        base: The indexed object, if it is an index.
        ranges: The index of every dimension.
    """

    code: str
    binds: int = 2
    first: bool = False
    base: str = ""
    ranges: tuple[str, ...] = ()

    def inside(self, at_least: int) -> str:
        """Return the code, in parentheses if it binds less tightly than its surroundings need."""
        return self.code if self.binds >= at_least else f"({self.code})"


Write = Callable[[Sequence[Any], dict[str, Any]], Text]


def write_operator(target: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Text:
    """Write an operator as an expression.

    Args:
        target: The recorded operator.
        args: Its arguments; what other operators compute is a `Text`.
        kwargs: Its named arguments.
    """
    name = str(target) if isinstance(target, torch._ops.OpOverload) else getattr(target, "__name__", "")
    writer = _WRITERS.get(name)
    if writer is not None:
        try:
            return writer(args, kwargs)
        except _UnusualError:
            pass
    if target is operator.getitem:
        # Where the expression is the first of several results already, there is nothing to pick.
        if isinstance(args[0], Text) and args[0].first:
            return Text(args[0].code)
        return Text(f"{args[0].inside(2)}[{args[1]}]")
    if not isinstance(target, torch._ops.OpOverload):
        return Text(f"{name}({_list(args)})")
    # Where a tensor says device and layout, numbers recorded on this one would only bind it to it.
    kept = {k: v for k, v in kwargs.items() if k not in ("device", "pin_memory", "layout")}
    named = [f"{k}={_shown(v)}" for k, v in kept.items()]
    overload = "" if target._overloadname == "default" else f".{target._overloadname}"
    called = f"torch.ops.{target.namespace}.{target._opname}{overload}"
    return Text(f"{called}({', '.join([*map(_shown, args), *named])})")


class _UnusualError(Exception):
    """An operator has arguments that its short form cannot take."""


def _shown(value: Any) -> str:
    if isinstance(value, Text):
        return value.code
    if isinstance(value, list | tuple):
        inner = ", ".join(map(_shown, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    return repr(value)


def _list(args: Sequence[Any], start: int = 0) -> str:
    return ", ".join(_shown(a) for a in args[start:])


def _binary(sign: str, binds: int) -> Write:
    def write(args: Sequence[Any], kwargs: dict[str, Any]) -> Text:
        if kwargs.get("alpha", 1) != 1:
            raise _UnusualError
        a, b = (v if isinstance(v, Text) else Text(repr(v)) for v in args[:2])
        return Text(f"{a.inside(binds)} {sign} {b.inside(binds + 1)}", binds)

    return write


def _call(name: str, order: Sequence[int] | None = None) -> Write:
    def write(args: Sequence[Any], kwargs: dict[str, Any]) -> Text:
        picked = args if order is None else [args[i] for i in order]
        named = [f"{k}={_shown(v)}" for k, v in kwargs.items()]
        return Text(f"{name}({', '.join([*map(_shown, picked), *named])})")

    return write


def _pool(name: str, names: Sequence[str]) -> Write:
    """Write a pooling: one number for equal ones, and names for what comes behind the padding."""

    def write(args: Sequence[Any], kwargs: dict[str, Any]) -> Text:
        given = [a[0] if isinstance(a, list) and a and len(set(a)) == 1 else a for a in args]
        words = [_shown(a) for a in given[:4]]
        words += [f"{name}={_shown(a)}" for name, a in zip(names, given[4:], strict=False)]
        return Text(f"{name}({', '.join(words)})")

    return write


def _method(name: str, names: Sequence[str] = (), *, spread: bool = False) -> Write:
    """Write ``x.name(a, b)``; arguments are named as given, and one list is spread over them."""

    def write(args: Sequence[Any], kwargs: dict[str, Any]) -> Text:
        given = [tuple(a) if isinstance(a, list) else a for a in args[1:]]
        if spread and len(given) == 1 and isinstance(given[0], tuple):
            given = list(given[0])
        padded = [*names, *[""] * len(given)]
        words = [f"{word}={_shown(a)}" if word else _shown(a) for word, a in zip(padded, given, strict=False)]
        words += [f"{k}={_shown(v)}" for k, v in kwargs.items()]
        return Text(f"{args[0].inside(2)}.{name}({', '.join(words)})")

    return write


def _slice(args: Sequence[Any], kwargs: dict[str, Any]) -> Text:
    defaults: list[Any] = [0, 0, END, 1]
    tensor, dim, start, end, step = [*args, *defaults[len(args) - 1 :]]
    if not isinstance(dim, int) or dim < 0:
        raise _UnusualError
    assert isinstance(tensor, Text), "what is sliced is a tensor"
    if start in (0, None) and end in (END, None) and step == 1:
        return tensor
    first = "" if start in (0, None) else _shown(start)
    last = "" if end in (END, None) else _shown(end)
    every = "" if step == 1 else f":{_shown(step)}"
    ranges, base = list(tensor.ranges), tensor.base
    if not base or (dim < len(ranges) and ranges[dim] != ":"):
        ranges, base = [], tensor.inside(2)
    ranges += [":"] * (dim + 1 - len(ranges))
    ranges[dim] = f"{first}:{last}{every}"
    return Text(f"{base}[{', '.join(ranges)}]", base=base, ranges=tuple(ranges))


def _batch_norm(args: Sequence[Any], kwargs: dict[str, Any]) -> Text:
    x, weight, bias, mean, var, momentum, eps = args
    return Text(f"F.batch_norm({_list([x, mean, var, weight, bias, False, momentum, eps])})", first=True)


def _evaluated_batch_norm(args: Sequence[Any], kwargs: dict[str, Any]) -> Text:
    x, weight, bias, mean, var, training, momentum, eps, _ = args
    if training:
        raise _UnusualError
    return Text(f"F.batch_norm({_list([x, mean, var, weight, bias, False, momentum, eps])})")


def _layer_norm(args: Sequence[Any], kwargs: dict[str, Any]) -> Text:
    return Text(f"F.layer_norm({_list(args[:5])})")  # the sixth chooses a kernel


def _evaluated_dropout(args: Sequence[Any], kwargs: dict[str, Any]) -> Text:
    if args[2]:
        raise _UnusualError
    return _first(args, kwargs)


def _new_zeros(args: Sequence[Any], kwargs: dict[str, Any]) -> Text:
    if kwargs.get("dtype") is not None:
        raise _UnusualError
    return Text(f"{args[0].inside(2)}.new_zeros({_shown(tuple(args[1]))})")


def _pad(args: Sequence[Any], kwargs: dict[str, Any]) -> Text:
    value = f", value={args[2]!r}" if len(args) > 2 and args[2] else ""
    return Text(f"F.pad({_list([args[0], tuple(args[1])])}{value})")


def _first(args: Sequence[Any], kwargs: dict[str, Any]) -> Text:
    assert isinstance(args[0], Text), "what has another name is a tensor"
    return args[0]


_WRITERS: dict[str, Write] = {
    "aten.add.Tensor": _binary("+", 0),
    "aten.sub.Tensor": _binary("-", 0),
    "aten.mul.Tensor": _binary("*", 1),
    "aten.div.Tensor": _binary("/", 1),
    "add": _binary("+", 0),
    "sub": _binary("-", 0),
    "mul": _binary("*", 1),
    "floordiv": _binary("//", 1),
    "aten.relu.default": _call("torch.relu"),
    "aten.sigmoid.default": _call("torch.sigmoid"),
    "aten.tanh.default": _call("torch.tanh"),
    "aten.silu.default": _call("F.silu"),
    "aten.gelu.default": _call("F.gelu"),
    "aten.hardsigmoid.default": _call("F.hardsigmoid"),
    "aten.hardswish.default": _call("F.hardswish"),
    "aten.relu6.default": _call("F.relu6"),
    "aten.hardtanh.default": _call("F.hardtanh"),
    "aten.leaky_relu.default": _call("F.leaky_relu"),
    "aten.softmax.int": _call("torch.softmax"),
    "aten.conv2d.default": _call("F.conv2d"),
    "aten.linear.default": _call("F.linear"),
    "aten.matmul.default": _call("torch.matmul"),
    "aten.max_pool2d.default": _pool("F.max_pool2d", ("dilation", "ceil_mode")),
    "aten.avg_pool2d.default": _pool("F.avg_pool2d", ("ceil_mode", "count_include_pad", "divisor_override")),
    "aten.adaptive_avg_pool2d.default": _call("F.adaptive_avg_pool2d"),
    "aten.constant_pad_nd.default": _pad,
    "aten.pad.default": _call("F.pad"),
    "aten.cat.default": _call("torch.cat"),
    "aten.stack.default": _call("torch.stack"),
    "aten.mean.dim": _method("mean", ("", "keepdim")),
    "aten.sum.dim_IntList": _method("sum", ("", "keepdim")),
    "aten.flatten.using_ints": _method("flatten"),
    "aten.unflatten.int": _method("unflatten"),
    "aten.reshape.default": _method("reshape", spread=True),
    "aten.view.default": _method("reshape", spread=True),
    "aten.permute.default": _method("permute", spread=True),
    "aten.transpose.int": _method("transpose"),
    "aten.unsqueeze.default": _method("unsqueeze"),
    "aten.squeeze.dim": _method("squeeze"),
    "aten.squeeze.dims": _method("squeeze"),
    "aten.expand.default": _method("expand", spread=True),
    "aten.expand_as.default": _method("expand_as"),
    "aten.new_zeros.default": _new_zeros,
    "aten.slice.Tensor": _slice,
    "aten.alias.default": _first,
    "aten.detach.default": _first,
    "aten.unbind.int": _method("unbind"),
    "aten.embedding.default": _call("F.embedding", (1, 0)),
    "aten.layer_norm.default": _layer_norm,
    "aten.dropout.default": _evaluated_dropout,
    "aten.batch_norm.default": _evaluated_batch_norm,
    "aten._native_batch_norm_legit_no_training.default": _batch_norm,
}
