"""Operations that see the same entries under other axes, and reductions over some of them."""

from __future__ import annotations

from collections.abc import Mapping

from torch.fx import Node

from net2net_cli.network import Value
from net2net_cli.tracing.broadcasting import unfolded, with_new_axis
from net2net_cli.tracing.drafts import Flow, Shape
from net2net_cli.tracing.op import Handler, Op, own_axis, unless
from net2net_cli.tracing.reader import Traced, batch_moved
from net2net_cli.tracing.shaping import reshaped, spread


def _view(op: Op) -> Flow:
    """view, reshape, flatten and unflatten: other axes for the same entries in the same order."""
    x = unfolded(op, op.a["self"])
    wanted = op.a.get("size", op.a.get("shape", ()))
    free = list(wanted).index(-1) if -1 in list(wanted) else None
    if op.name == "unflatten" and -1 in op.a["sizes"]:
        free = op.a["dim"] % len(x.axes) + list(op.a["sizes"]).index(-1)
    return _viewed(op, x, op.shape, free)


def _viewed(op: Op, x: Flow, shape: Shape, free: int | None) -> Flow:
    """The natural value ``x`` as the traced shape; ``free`` is the axis that was written as -1."""
    sizes, axes = spread(shape, batched=x.source.shape[0] != 1, lead=0 not in x.order)
    if sizes is None:
        raise batch_moved(op.origin)
    kept = axes[free][-1] if free is not None else None
    return reshaped(op.reader, x, sizes, axes, op.origin, free=kept)


def _permute(op: Op) -> Flow:
    x = op.flow("self")
    axes = tuple(x.axes[dim] for dim in op.a["dims"])
    return Flow(x.source, axes, op.origin)


def _transpose(op: Op) -> Flow:
    x = op.flow("self")
    axes = list(x.axes)
    first, second = op.a["dim0"], op.a["dim1"]
    axes[first], axes[second] = axes[second], axes[first]
    return Flow(x.source, tuple(axes), op.origin)


def _t(op: Op) -> Flow:
    x = op.flow("self")
    return Flow(x.source, tuple(reversed(x.axes)), op.origin)


def _unsqueeze(op: Op) -> Flow:
    x = op.flow("self")
    return with_new_axis(op, x, op.a["dim"] % (len(x.axes) + 1))


def _squeeze(op: Op) -> Flow:
    x = op.reader.natural(op.flow("self"), op.origin)
    dims = op.a.get("dim")
    wanted = range(len(x.axes)) if dims is None else [dims] if isinstance(dims, int) else dims
    gone = [d % len(x.axes) for d in wanted if x.size(d) == 1]
    dropped = {axis for d in gone for axis in x.axes[d] if axis != 0}
    left = [axis for axis in range(len(x.source.shape)) if axis not in dropped]
    at = {axis: index for index, axis in enumerate(left)}
    axes = tuple(
        tuple(at[axis] for axis in group) for d, group in enumerate(x.axes) if d not in gone
    )
    for axis in sorted(dropped, reverse=True):
        shape = (*x.source.shape[:axis], *x.source.shape[axis + 1 :])
        x = op.add("Squeeze", {"dim": axis}, x, shape=shape)
    return Flow(x.source, axes)


def _expand(op: Op) -> Flow:
    """Only what is more than broadcasting over the batch becomes a layer."""
    x = unfolded(op, op.a["self"])
    lead = len(op.shape) - len(x.axes)
    for _ in range(lead):
        x = with_new_axis(op, x, 0) if 0 not in x.order and x.axes else x
    if len(op.shape) != len(x.axes):
        raise op.unsupported("it adds axes before the batch")
    sizes: list[int] = [-1] * (len(x.source.shape) - 1)
    shape = list(x.source.shape)
    for group, size in zip(x.axes, op.shape, strict=True):
        own = group[-1] if group else None
        if own and x.source.shape[own] == 1 and size != 1 and len(group) == 1:
            sizes[own - 1] = shape[own] = size
    if all(size == -1 for size in sizes):
        return x
    return op.add("Expand", {"sizes": tuple(sizes)}, x, shape=tuple(shape), axes=x.axes)


def _reduction(kind: str) -> Handler:
    """Mean and its kin over some axes."""

    def reduce(op: Op) -> Flow:
        if op.a.get("dtype") not in (None, op.made.dtype):
            raise op.unsupported("it changes the dtype")
        x = op.reader.natural(op.flow("self"), op.origin)
        said = op.a.get("dim")
        if said is None or said == []:
            raise op.unsupported("it goes over all axes, the batch too")
        dims = sorted(d % len(x.axes) for d in ([said] if isinstance(said, int) else said))
        gone = [own_axis(op, x, d) for d in dims]
        if 0 in gone:
            raise op.unsupported("it goes over the batch")
        keep = bool(op.a.get("keepdim"))
        args: dict[str, Value] = {"dim": gone[0] if len(gone) == 1 else tuple(gone)}
        unless(args, "keepdim", keep, False)
        if kind in ("Var", "Std"):
            unless(args, "correction", op.a.get("correction", 1), 1)
        if keep:
            shape = tuple(1 if axis in gone else s for axis, s in enumerate(x.source.shape))
            return op.add(kind, args, x, shape=shape, axes=x.axes)
        left = [axis for axis in range(len(x.source.shape)) if axis not in gone]
        at = {axis: index for index, axis in enumerate(left)}
        axes = tuple(tuple(at[a] for a in g) for d, g in enumerate(x.axes) if d not in dims)
        return op.add(kind, args, x, shape=tuple(x.source.shape[a] for a in left), axes=axes)

    return reduce


def _largest(kind: str) -> Handler:
    """``x.max(dim)``, whose first value is the maximum; where it stands is not known here."""
    reduce = _reduction(kind)

    def apply(op: Op) -> list[Traced]:
        if "dim" not in op.a:
            raise op.unsupported("it goes over all axes, the batch too")
        return [reduce(op), None]

    return apply


def _moved(op: Op) -> Flow:
    x = op.flow("self")
    count = len(x.axes)
    said = [op.a[name] for name in ("source", "destination")]
    source, places = ([d % count for d in ([v] if isinstance(v, int) else v)] for v in said)
    target = dict(zip(places, source, strict=True))
    others = iter(d for d in range(count) if d not in source)
    axes = tuple(x.axes[target[d] if d in target else next(others)] for d in range(count))
    return Flow(x.source, axes, op.origin)


def _roll(op: Op) -> Flow:
    x = op.flow("self")
    dims = tuple(own_axis(op, x, d % len(x.axes)) for d in op.a["dims"])
    if 0 in dims:
        raise op.unsupported("it rolls the batch")
    args: dict[str, Value] = {"shifts": tuple(op.a["shifts"]), "dims": dims}
    return op.add("Roll", args, x, shape=x.source.shape, axes=x.axes)


def _flip(op: Op) -> Flow:
    x = op.flow("self")
    dims = tuple(own_axis(op, x, d % len(x.axes)) for d in op.a["dims"])
    if 0 in dims:
        raise op.unsupported("it turns the batch around")
    return op.add("Flip", {"dims": dims}, x, shape=x.source.shape, axes=x.axes)


def _same(op: Op) -> Traced:
    """What moves memory only."""
    return next(iter(op.a.values()))


def _to(op: Op) -> Traced:
    x = next(iter(op.a.values()))
    made, was = op.node.meta["val"], op.node.args[0]
    if isinstance(was, Node) and made.dtype != was.meta["val"].dtype:
        raise op.unsupported(f"it changes the dtype to {made.dtype}")
    return x


SHAPES: Mapping[str, Handler] = {
    **dict.fromkeys(("view", "reshape", "_unsafe_view", "flatten", "unflatten"), _view),
    "max": _largest("Amax"), "min": _largest("Amin"), "movedim": _moved,
    "permute": _permute, "transpose": _transpose, "swapaxes": _transpose, "t": _t,
    "unsqueeze": _unsqueeze, "squeeze": _squeeze, "expand": _expand,
    "mean": _reduction("Mean"), "sum": _reduction("Sum"), "amax": _reduction("Amax"),
    "amin": _reduction("Amin"), "var": _reduction("Var"), "std": _reduction("Std"),
    "roll": _roll, "flip": _flip,
    **dict.fromkeys(
        ("contiguous", "clone", "alias", "detach", "lift_fresh", "lift_fresh_copy", "identity"),
        _same,
    ),
    **dict.fromkeys(("to", "_to_copy", "type_as"), _to),
}  # fmt: skip
"""By the name of the operation."""
