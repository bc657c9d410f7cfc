"""Recorded operators, sorted by the module that called them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Node

__all__ = ["Recording", "Region"]

NO_STACK = "_empty_nn_module_stack"


@dataclass
class Region:
    """The computation of one call of a module.

    Attributes:
        path: Dotted path of the module; empty for the root.
        call: Identity of the call; a module that is called twice has two.
        items: Operators and inner calls, in order.
    """

    path: str
    call: str = ""
    items: list[Node | Region] = field(default_factory=list)

    def nodes(self) -> Iterator[Node]:
        """Yield all operators, also those of inner calls, in order."""
        for item in self.items:
            if isinstance(item, Node):
                yield item
            else:
                yield from item.nodes()


class Recording:
    """A program whose operators are sorted by module.

    Args:
        program: One tensor in, one tensor out.

    Attributes:
        root: The outermost call.
        constants: Tensors that are neither parameters nor buffers, by dotted name.
        weights: Dotted name of the parameter, buffer or constant behind a placeholder, by its node name.
        image: The placeholder of the input.
        result: The node that is returned.
    """

    def __init__(self, program: ExportedProgram) -> None:
        # Without operators that change their input; layers of torch.nn stay whole. Recording again takes ten
        # times as long as all the rest, and few networks need it.
        if any(map(_changes_input, program.graph.nodes)):
            program = program.run_decompositions({})
        self.constants: dict[str, Tensor] = {
            name: value for name, value in program.constants.items() if isinstance(value, Tensor)
        }
        signature = program.graph_signature
        self.weights: dict[str, str] = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        graph = program.graph
        graph.eliminate_dead_code()
        (self.image,) = (n for n in graph.nodes if n.op == "placeholder" and n.name not in self.weights)
        (output,) = (n for n in graph.nodes if n.op == "output")
        self.result: Node = output.args[0][0]
        self.root = Region("")
        self._inputs: dict[int, list[Node]] = {}
        self._outputs: dict[int, list[Node]] = {}
        self._sort([n for n in graph.nodes if n.op == "call_function"])

    def is_weight(self, node: Node) -> bool:
        """Return whether a node stands for a parameter, a buffer or a constant."""
        return node.op == "placeholder" and node.name in self.weights

    def inputs(self, region: Region) -> list[Node]:
        """Return the nodes outside a region that it reads, in the order of their first use.

        Weights of the module itself and sizes, which can be read off any tensor, are left out.
        """
        if (known := self._inputs.get(id(region))) is not None:
            return known
        inside = set(region.nodes())
        prefix = f"{region.path}." if region.path else ""
        found: dict[Node, None] = {}
        for node in region.nodes():
            for source in _leaves(node):
                own = self.is_weight(source) and self.weights[source.name].startswith(prefix)
                if source not in inside and not own:
                    found[source] = None
        self._inputs[id(region)] = list(found)
        return self._inputs[id(region)]

    def outputs(self, region: Region) -> list[Node]:
        """Return the nodes of a region that are read outside of it, in order."""
        if (known := self._outputs.get(id(region))) is None:
            nodes = list(region.nodes())
            inside = set(nodes)
            known = [n for n in nodes if n is self.result or any(u not in inside for u in _users(n))]
            self._outputs[id(region)] = known
        return known

    def _sort(self, nodes: list[Node]) -> None:
        open_regions = [self.root]
        for node in nodes:
            if is_size(node):
                continue
            stack = [
                (call, path)
                for call, (path, _) in (node.meta.get("nn_module_stack") or {}).items()
                if path and not call.startswith(NO_STACK)
            ]
            depth = 0
            while depth < min(len(stack), len(open_regions) - 1):
                if open_regions[depth + 1].call != stack[depth][0]:
                    break
                depth += 1
            del open_regions[depth + 1 :]
            for call, path in stack[depth:]:
                region = Region(path, call)
                open_regions[-1].items.append(region)
                open_regions.append(region)
            open_regions[-1].items.append(node)


def _changes_input(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return node.op == "call_function" and schema is not None and schema.is_mutable


def is_size(node: Node) -> bool:
    """Return whether a node is a number: the size of a tensor, or computed from sizes."""
    return (
        node.op == "call_function"
        and not hasattr(node.meta.get("val"), "shape")
        and not isinstance(node.meta.get("val"), tuple | list)
    )


def _leaves(node: Node) -> Iterator[Node]:
    """Yield the tensors that a node reads, those behind sizes left out."""
    for source in node.all_input_nodes:
        if not is_size(source):
            yield source


def _users(node: Node) -> Iterator[Node]:
    """Yield the operators that read a tensor."""
    for user in node.users:
        if not is_size(user):
            yield user
