"""Operations that take a part of a value: select, slice, chunk, split, an index."""

from __future__ import annotations

from collections.abc import Mapping

from net2net_cli.network import Value
from net2net_cli.tracing.broadcasting import unfolded
from net2net_cli.tracing.drafts import Flow
from net2net_cli.tracing.op import Handler, Op, own_axis, unless
from net2net_cli.tracing.reader import GETITEM, Traced


def _select(op: Op) -> Flow:
    x = op.flow("self")
    dim, index = op.a["dim"] % len(x.axes), op.a["index"]
    axes = tuple(group for d, group in enumerate(x.axes) if d != dim)
    at = own_axis(op, x, dim)
    if at == 0 and x.source.shape[0] == 1:  # a parameter stored as [1, ...]
        return Flow(x.source, axes, x.origin)
    if at == 0:
        raise op.unsupported("it picks an example out of the batch")
    shape = tuple(size for axis, size in enumerate(x.source.shape) if axis != at)
    moved = tuple(tuple(axis - (axis > at) for axis in group) for group in axes)
    args: dict[str, Value] = {"dim": at, "index": index}
    return op.add("Select", args, x, shape=shape, axes=moved)


def _slice(op: Op) -> Traced:
    x = op.flow("self")
    dim = op.a["dim"] % len(x.axes)
    size = x.size(dim)
    start, end, step = slice(op.a["start"], op.a["end"], op.a["step"]).indices(size)
    if (start, end, step) == (0, size, 1):
        return op.a["self"]
    return _sliced(op, x, dim, start, end, step)


def _sliced(op: Op, x: Flow, dim: int, start: int, end: int, step: int = 1) -> Flow:
    at = own_axis(op, x, dim)
    if at == 0:
        raise op.unsupported("it takes a part of the batch")
    args: dict[str, Value] = {"dim": at}
    unless(args, "start", start, 0)
    unless(args, "end", end, x.size(dim))
    unless(args, "step", step, 1)
    shape = list(x.source.shape)
    shape[at] = len(range(start, end, step))
    return op.add("Slice", args, x, shape=tuple(shape), axes=x.axes)


def _chunk(op: Op) -> list[Flow]:
    x = op.flow("self")
    dim = op.a["dim"] % len(x.axes)
    at, count, size = own_axis(op, x, dim), op.a["chunks"], x.size(dim)
    if size % count:
        return _cut(op, x, dim, [part.shape[dim] for part in op.node.meta["val"]])
    if at == 0:
        raise op.unsupported("it cuts the batch")
    shape = list(x.source.shape)
    shape[at] = size // count
    read = _read_parts(op)
    found = []
    for index in range(count):
        args: dict[str, Value] = {"chunks": count, "index": index}
        unless(args, "dim", at, 1)
        found.append(
            op.add("Chunk", args, x, shape=tuple(shape), axes=x.axes) if index in read else x
        )
    return found


def _split(op: Op) -> list[Flow]:
    x = op.flow("self")
    dim = op.a["dim"] % len(x.axes)
    return _cut(op, x, dim, [part.shape[dim] for part in op.node.meta["val"]])


def _cut(op: Op, x: Flow, dim: int, sizes: list[int]) -> list[Flow]:
    """Parts of an axis at fixed places; parts that nothing reads are not made."""
    found, start, read = [], 0, _read_parts(op)
    for index, size in enumerate(sizes):
        found.append(_sliced(op, x, dim, start, start + size) if index in read else x)
        start += size
    return found


def _read_parts(op: Op) -> set[int]:
    """Which of several values are read at all."""
    read = (user.args[1] for user in op.node.users if user.target is GETITEM and user.users)
    return {index for index in read if isinstance(index, int)}


def _unbind(op: Op) -> list[Flow]:
    x = op.flow("self")
    dim = op.a["dim"] % len(x.axes)
    at = own_axis(op, x, dim)
    if at == 0:
        raise op.unsupported("it takes the batch apart")
    shape = tuple(size for axis, size in enumerate(x.source.shape) if axis != at)
    moved = tuple(
        tuple(axis - (axis > at) for axis in group) for d, group in enumerate(x.axes) if d != dim
    )
    read = _read_parts(op)
    return [
        op.add("Select", {"dim": at, "index": index}, x, shape=shape, axes=moved)
        if index in read
        else x
        for index in range(x.size(dim))
    ]


def _index(op: Op) -> Flow:
    """``table[index]`` along one axis, the index a buffer or a constant."""
    x, indices = unfolded(op, op.a["self"]), op.a["indices"]
    said = [d for d, index in enumerate(indices) if index is not None]
    if len(said) != 1:
        raise op.unsupported("it picks along several axes at once")
    dim, index = said[0], op.reader.flow(indices[said[0]], op.origin)
    at = own_axis(op, x, dim)
    if at == 0 or index.source.shape[0] != 1 or 0 in index.order:
        raise op.unsupported("it picks examples out of the batch, or by computed places")
    inner = index.source.shape[1:]
    shape = (*x.source.shape[:at], *inner, *x.source.shape[at + 1 :])
    moved = tuple(tuple(a + (len(inner) - 1) * (a > at) for a in group) for group in x.axes)
    axes = (*moved[:dim], *((at + i,) for i in range(len(inner))), *moved[dim + 1 :])
    return op.add("IndexSelect", {"dim": at}, x, index, shape=shape, axes=axes)


PARTS: Mapping[str, Handler] = {
    "select": _select, "slice": _slice, "chunk": _chunk, "split": _split,
    "split_with_sizes": _split, "unbind": _unbind, "index": _index,
}  # fmt: skip
"""By the name of the operation."""
