"""The text of ``model.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill, indent
from typing import Any

from torch import Tensor, nn
from torch.export import ExportedProgram

from nasforge.exports.standalone.blocks import Block, Chain, Member, Weight
from nasforge.exports.standalone.building import Builder
from nasforge.exports.standalone.classes import Class, Form, find_classes
from nasforge.exports.standalone.layers import TorchLayer
from nasforge.exports.standalone.regions import Recording

__all__ = ["WIDTH", "write_model"]

WIDTH = 100
"""Longest line that is written."""

GLUE = "\N{NO-BREAK SPACE}"
"""Stands for spaces at which no line is broken."""

HEAD = """
from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
"""

LOAD = '''
def load(weights: str | Path | None = None) -> {name}:
    """Return the trained network in evaluation mode, by default with the weights here."""
    model = {name}()
    path = Path(weights or Path(__file__).with_name("weights.safetensors"))
    model.load_state_dict(read_safetensors(path))
    return model.eval()


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a .safetensors file: the length of a header, the header as JSON, and the numbers."""
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    types = {{"F32": torch.float32, "F64": torch.float64, "F16": torch.float16,
             "BF16": torch.bfloat16, "I64": torch.int64, "I32": torch.int32,
             "U8": torch.uint8, "BOOL": torch.bool}}
    tensors = {{}}
    for name, entry in json.loads(content[8:start]).items():
        if name != "__metadata__":
            begin, end = (start + offset for offset in entry["data_offsets"])
            # A copy: tensors must begin at addresses that suit their type.
            numbers = bytearray(content[begin:end])
            tensor = torch.frombuffer(numbers, dtype=types[entry["dtype"]])
            tensors[name] = tensor.reshape(entry["shape"])
    return tensors
'''


def write_model(program: ExportedProgram, module: nn.Module, about: str) -> tuple[str, dict[str, Tensor]]:
    """Write a recorded module as code.

    Args:
        program: The recording; any batch size.
        module: The recorded module.
        about: The docstring of the file.

    Returns:
        The code, and its state dict.

    Raises:
        NotImplementedError: A module is called twice and computes different things.
    """
    recording = Recording(program)
    root = Builder(recording, module).build()
    classes = find_classes(root)
    parts = [f'"""{about}"""\n{HEAD.rstrip()}', *map(_class, classes)]
    parts[-1] = _with_shapes(parts[-1], classes[-1].block)
    parts.append(LOAD.format(name=classes[-1].name).strip())
    known = {**recording.constants, **dict(module.named_parameters()), **dict(module.named_buffers())}
    tensors = {name: known[path].detach().contiguous().clone() for name, path in _names(root, module)}
    return "\n\n\n".join(parts) + "\n", tensors


def _class(one: Class) -> str:
    block = one.block
    lines = [f"class {one.name}(nn.Module):"]
    if one.count > 1:
        lines.append(f'    """Used {one.count} times."""\n')
    given = [f"{n}: {type(value).__name__}" for n, value in zip(one.arguments, _values(one), strict=True)]
    lines.append(_wrapped("    def __init__(", ["self", *given], ") -> None:"))
    lines.append("        super().__init__()")
    for name, form in one.forms.items():
        lines.append(indent(_member(name, form, block.members[name]), " " * 8))
    inputs = ", ".join(f"{name}: Tensor" for name in block.inputs)
    lines += ["", f"    def forward(self, {inputs}) -> Tensor:"]
    lines += [f"        {statement.code}" for statement in block.statements]
    lines.append(f"        return {block.result}")
    return "\n".join(lines)


def _values(one: Class) -> tuple[Any, ...]:
    return next(iter(one.values.values()))


def _member(name: str, form: Form, member: Member) -> str:
    if isinstance(member.what, Weight):
        typed = "" if member.what.dtype == "torch.float32" else f", dtype={member.what.dtype}"
        empty = f"torch.empty({form.columns[0].text}{typed})"
        if member.what.trained:
            return f"self.{name} = nn.Parameter({empty})"
        return f'self.register_buffer("{name}", {empty})'
    return f"self.{name} = {_constructor(form, len(name) + 16)}"


def _constructor(form: Form, used: int) -> str:
    """Return a constructor, on several lines if one is too short; ``used`` columns are taken already."""
    if form.inner:
        items = [_constructor(inner, 12) for inner in form.inner]
        line = f"{form.callee}({', '.join(items)})"
        if used + len(line) <= WIDTH and "\n" not in line:
            return line
        return f"{form.callee}(\n" + "".join(f"{indent(item, '    ')},\n" for item in items) + ")"
    first_named = len(form.columns) - form.named
    words = [c.text if i < first_named else f"{c.word}={c.text}" for i, c in enumerate(form.columns)]
    return _wrapped(f"{form.callee}(", words, ")", used)


def _wrapped(head: str, words: Sequence[str], tail: str, used: int = 0) -> str:
    """Return a call or signature; its arguments stand on lines of their own if one line is too short."""
    line = f"{head}{', '.join(words)}{tail}"
    if used + len(line) <= WIDTH:
        return line
    margin = " " * (len(head) - len(head.lstrip()))
    inner = f"{margin}    "
    whole = ", ".join(word.replace(" ", GLUE) for word in words)  # no argument is broken in two
    body = fill(
        f"{whole},", WIDTH - 16, initial_indent=inner, subsequent_indent=inner, break_on_hyphens=False
    )
    return f"{head}\n{body.replace(GLUE, ' ')}\n{margin}{tail}"


def _with_shapes(text: str, block: Block) -> str:
    """Write the shape of every value of the outermost forward pass behind its line."""
    head, _, body = text.rpartition("    def forward(")
    lines = body.split("\n")
    shapes = [statement.shape for statement in block.statements]
    for i, shape in enumerate([*shapes, block.shape], start=1):
        if shape and i < len(lines) and len(lines[i]) + len(shape) + 4 <= WIDTH:
            lines[i] += f"  # {shape}"
    return f"{head}    def forward({chr(10).join(lines)}"


def _names(member: Member, module: nn.Module, at: str = "") -> Iterator[tuple[str, str]]:
    """Yield the name of every tensor in the written code, and in the recorded module."""
    what = member.what
    inner: Mapping[str, Member] = {}
    if isinstance(what, Weight):
        yield at, member.path
    elif isinstance(what, TorchLayer):
        for name in module.get_submodule(member.path).state_dict():
            yield f"{at}.{name}", f"{member.path}.{name}"
    elif isinstance(what, Chain):
        inner = {str(i): part for i, part in enumerate(what.members)}
    else:
        inner = what.members
    for name, part in inner.items():
        yield from _names(part, module, f"{at}.{name}" if at else name)
