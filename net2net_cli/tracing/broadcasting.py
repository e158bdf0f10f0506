"""Values brought to the same axes, as torch broadcasts them: aligned from the last on."""

from __future__ import annotations

from net2net_cli.tracing.drafts import Flow
from net2net_cli.tracing.op import Op
from net2net_cli.tracing.reader import Traced, batch_moved
from net2net_cli.tracing.shaping import reshaped


def joined(op: Op, kind: str, a: Traced, b: Traced) -> Flow:
    """Two values, axes aligned from the last on, as torch broadcasts them."""
    left, right = (unfolded(op, value) for value in (a, b))
    left, right = aligned(op, left, right)
    sizes = zip(left.source.shape, right.source.shape, strict=True)
    shape = tuple(max(pair) for pair in sizes)
    axes = left.axes if len(left.axes) >= len(right.axes) else right.axes
    return op.add(kind, {}, left, right, shape=shape, axes=axes)


def unfolded(op: Op, value: Traced) -> Flow:
    """Any value as one that flows, its axes in the layer's order."""
    return op.reader.natural(op.reader.flow(value, op.origin), op.origin)


def aligned(op: Op, left: Flow, right: Flow) -> tuple[Flow, Flow]:
    """Both with the same number of axes in their layers, axis by axis."""
    groups = max(len(left.axes), len(right.axes))
    counts = []
    for index in range(1, groups + 1):
        pair = [len(f.axes[-index]) if index <= len(f.axes) else 0 for f in (left, right)]
        counts.append(max(pair))
    counts.reverse()
    return with_axes(op, left, counts), with_axes(op, right, counts)


def with_axes(op: Op, flow: Flow, counts: list[int]) -> Flow:
    """The value with ``counts`` axes of its layer for each axis; new ones have size 1."""
    missing = len(counts) - len(flow.axes)
    own = [len(group) for group in flow.axes]
    has_batch = 0 in flow.order
    if not missing and own == counts and has_batch:
        return flow
    sizes = [1] * sum(counts[:missing])
    for group, count, index in zip(flow.axes, counts[missing:], range(len(own)), strict=True):
        held = [flow.source.shape[axis] for axis in group]
        if len(held) != count and flow.size(index) != 1:
            raise op.unsupported("it joins values whose batches are merged with other axes")
        sizes += held if len(held) == count else [1] * count
    if not has_batch:
        missing_batch = bool(counts) and sizes[:1] == [1]
        sizes = sizes if missing_batch else [1, *sizes]
    axes, at = [], 0 if has_batch or sum(counts) == len(sizes) else 1
    for count in counts:
        axes.append(tuple(range(at, at + count)))
        at += count
    return reshaped(op.reader, flow, tuple(sizes), tuple(axes), op.origin)


def with_new_axis(op: Op, flow: Flow, dim: int) -> Flow:
    """The natural value with an axis of size 1 before the traced axis ``dim``."""
    flow = op.reader.natural(flow, op.origin)
    at = flow.axes[dim][0] if dim < len(flow.axes) else len(flow.source.shape)
    if dim < len(flow.axes) and at == 0:
        raise batch_moved(op.origin)
    shape = (*flow.source.shape[:at], 1, *flow.source.shape[at:])
    moved = tuple(tuple(a + (a >= at) for a in group) for group in flow.axes)
    axes = (*moved[:dim], (at,), *moved[dim:])
    return reshaped(op.reader, flow, shape, axes, op.origin)
