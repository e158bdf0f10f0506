"""What a pickle held, before anything walks it or reads its tensors.

A pickle that runs no code can still hold itself, nest without end, hold one list so often that no
walk ends, or say of one number that it is a tensor of terabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from net2net_cli.errors import CheckpointError
from net2net_cli.io.dtypes import SIZES

if TYPE_CHECKING:
    import torch

DEPTH = 200
"""How deep collections may lie in one another."""

SPREAD = 10**6
"""How many more items a walk may meet than there are, where some are held by several."""

REPEATED = 1 << 20
"""Bytes that a tensor may claim without holding them, by repeating what it holds."""


def check_plain(data: Any, where: str) -> None:
    """Raise CheckpointError where the collections in ``data`` cannot be walked."""
    unique, met = 0, dict[int, int]()  # by collection: the items that a walk meets in it
    path: list[tuple[Any, Iterator[Any]]] = []
    on_path: dict[int, int] = {}
    _enter(data, path, on_path)
    while path:
        node, left = path[-1]
        child = next((c for c in left if isinstance(c, _COLLECTIONS)), None)
        if child is None:
            path.pop()
            met[id(node)] = on_path.pop(id(node))
            unique += _length(node)
            if path:
                on_path[id(path[-1][0])] += met[id(node)]
        elif id(child) in on_path:
            raise CheckpointError("it holds a collection that holds itself", where=where)
        elif len(path) == DEPTH:
            raise CheckpointError(
                f"its collections lie more than {DEPTH} deep in one another", where=where
            )
        elif id(child) in met:
            on_path[id(node)] += met[id(child)]
        else:
            _enter(child, path, on_path)
    if met[id(data)] > SPREAD + 2 * unique:
        raise CheckpointError("its collections hold each other over and over", where=where)


def _enter(node: Any, path: list[tuple[Any, Iterator[Any]]], on_path: dict[int, int]) -> None:
    on_path[id(node)] = _length(node)
    path.append((node, _inside(node)))


_COLLECTIONS = (Mapping, list, tuple, set, frozenset)


def _inside(node: Any) -> Iterator[Any]:
    if isinstance(node, Mapping):
        return iter(node.values())
    return iter(node) if isinstance(node, _COLLECTIONS) else iter(())


def _length(node: Any) -> int:
    return len(node) if isinstance(node, _COLLECTIONS) else 0


def trouble(tensor: torch.Tensor, device: str = "cpu") -> str | None:
    """What keeps a tensor's bytes from being read, in words that stand behind its name. Those that
    can be read are on ``device``."""
    import torch

    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.layout is not torch.strided:
        return "is sparse"
    if tensor.is_quantized or dtype not in SIZES:
        return f"has the type {dtype}, which is not supported"
    if tensor.device.type != device:
        return "has no data"
    claimed, held = tensor.numel() * SIZES[dtype], tensor.untyped_storage().nbytes()
    if claimed > max(held, REPEATED):
        return f"claims {claimed:,} bytes, and holds {held:,}"
    return None
