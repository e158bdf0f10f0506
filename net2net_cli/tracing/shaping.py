"""Reshapes as layers: Flatten where axes are merged, Unflatten where one is split, else Reshape."""

from __future__ import annotations

from math import prod

from net2net_cli.network import Value
from net2net_cli.tracing.drafts import BATCH, Flow, Origin, Shape
from net2net_cli.tracing.reader import Reader

Axes = tuple[tuple[int, ...], ...]


def spread(shape: Shape, *, batched: bool, lead: bool) -> tuple[Shape | None, Axes]:
    """A traced shape as the axes of a layer: an axis that holds the batch is (batch, the rest).

    ``lead`` says that the layer has a batch of size 1 that the traced value lacks. The shape is
    None where the batch is not first.
    """
    sizes: list[int] = [1] if lead else []
    axes: list[tuple[int, ...]] = []
    for index, size in enumerate(shape):
        at = len(sizes)
        if batched and size % BATCH == 0 and size:
            if index:
                return None, ()
            sizes += [BATCH] if size == BATCH else [BATCH, size // BATCH]
        else:
            sizes.append(size)
        axes.append(tuple(range(at, len(sizes))))
    first = BATCH if batched else 1
    return (tuple(sizes) if sizes[:1] == [first] else None), tuple(axes)


def reshaped(
    reader: Reader,
    flow: Flow,
    shape: Shape,
    axes: Axes,
    origin: Origin,
    *,
    free: int | None = None,
) -> Flow:
    """The natural value ``flow`` as ``shape`` (batch included), its traced axes being ``axes``.

    ``free`` is the axis that takes what is left: the one that torch's code wrote as -1.
    """
    done = 1
    for old, new in _blocks(flow.source.shape, shape):
        if old != new:
            flow = _block(reader, flow, done, old, new, origin, free)
        done += len(new)
    return Flow(flow.source, axes, flow.origin)


def _blocks(old: Shape, new: Shape) -> list[tuple[Shape, Shape]]:
    """Runs of axes with the same number of entries: what each was, and what it becomes.

    Axes of size 1 that vanish go with those before them.
    """
    found: list[tuple[Shape, Shape]] = []
    i = j = 1
    while i < len(old) or j < len(new):
        a, b = i, j
        i, j = min(i + 1, len(old)), min(j + 1, len(new))
        while prod(old[a:i]) != prod(new[b:j]):
            if (prod(old[a:i]) < prod(new[b:j]) and i < len(old)) or j == len(new):
                i += 1
            else:
                j += 1
        if found and j == b:
            found[-1] = (found[-1][0] + old[a:i], found[-1][1])
        else:
            found.append((old[a:i], new[b:j]))
    return found


def _block(
    reader: Reader, flow: Flow, at: int, old: Shape, new: Shape, origin: Origin, free: int | None
) -> Flow:
    """The axes ``old``, which begin at ``at``, as ``new``."""
    before, after = flow.source.shape[:at], flow.source.shape[at + len(old) :]
    shape = (*before, *new, *after)
    args: dict[str, Value] = {}
    if len(new) == 1 and len(old) > 1:
        if at != 1:
            args["start_dim"] = at
        if after:
            args["end_dim"] = at + len(old) - 1
        return reader.layer("Flatten", args, (flow,), shape, origin)
    if tuple(size for size in new if size != 1) == old:
        return _with_ones(reader, flow, at, new, origin)
    if len(old) == 1 and len(new) > 1:
        place = free - at if free is not None and at <= free < at + len(new) else None
        args["dim"] = at
        args["unflattened_size"] = tuple(-1 if i == place else s for i, s in enumerate(new))
        return reader.layer("Unflatten", args, (flow,), shape, origin)
    return reader.layer("Reshape", {"shape": shape[1:]}, (flow,), shape, origin)


def _with_ones(reader: Reader, flow: Flow, at: int, new: Shape, origin: Origin) -> Flow:
    """The axes of size 1 among ``new``, put in where they stand."""
    for place, size in enumerate(new, at):
        if size == 1:
            shape = (*flow.source.shape[:place], 1, *flow.source.shape[place:])
            flow = reader.layer("Unsqueeze", {"dim": place}, (flow,), shape, origin)
    return flow
