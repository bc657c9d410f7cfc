"""Classes of cells that compute the same function. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence

from nasforge_plugins.spaces.nasbench201.notation import EDGES

__all__ = ["function_key"]


def function_key(operations: Sequence[str]) -> str:
    """Return a text that is equal for cells which compute the same function.

    ``none`` removes an edge, ``skip_connect`` is the identity and distributes over sums, and what does not
    lie on a path from input to output is dropped. Each node is then a sum of terms, and the order of terms
    has no meaning. All 15,625 cells fall into 4,930 classes.

    Args:
        operations: Six operations in the order of `EDGES`.
    """
    terms: list[list[str]] = [["x"], [], [], []]
    for (node, source), operation in zip(EDGES, operations, strict=True):
        if operation == "none" or not terms[source]:
            continue
        if operation == "skip_connect":
            terms[node] += terms[source]
        else:
            terms[node].append(f"{operation}({'+'.join(sorted(terms[source]))})")
    return "+".join(sorted(terms[3]))
