"""Layers with tensors: their lines of the notation, made into axes.

A line's local widths (``in``, ``out``, ``groups``, ``c``) become the axes of the network. A width
on a reading axis is summed over, unless the layer's output has it too (a group of a grouped
convolution): then the layer acts on it alone, and reading it copies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from net2net_cli.axes import Axis, Number, product, total, widths
from net2net_cli.errors import SpecError
from net2net_cli.layers.kinds import lines_of
from net2net_cli.layers.shapes import spatial_sizes
from net2net_cli.layers.table import LayerType, TensorLine, has_tensor, tensor_name
from net2net_cli.layers.zero import maps_zero
from net2net_cli.laying.builder import Builder
from net2net_cli.layout import (
    EACH,
    MEAN,
    NOTHING,
    ZERO,
    Data,
    Factor,
    LaidTensor,
    integer,
    place_of,
    shape_of,
)
from net2net_cli.network import Layer
from net2net_cli.notation import Count, Expression, Group, Line, Name, Role, parse

Scope = Mapping[str, Axis]


def channels(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """Layers whose first axis holds channels and whose other axes are spatial."""
    if layer.args.get("dim") == -1 and len(data.axes) > 1:  # a LayerScale of the last axis
        axes = data.axes[-1:]
        channels(builder, layer, kind, replace(data, axes=axes))
        for axis in data.axes[:-1]:
            reason = f"{layer.type} acts on each of its positions alone"
            builder.demand(axis, EACH | ZERO, layer.name, reason)
        return data
    _check_rank(layer, kind, data)
    scope = _scope(builder, layer, kind, data)
    spatial = _spatial(builder, layer, kind, data)
    _add_tensors(builder, layer, kind, scope, data, len(spatial))
    note_arguments(builder, layer, kind, scope)
    _bear_channels(builder, layer, kind, scope, data)
    out = _axis(_writes(kind), scope) if "out" in scope else data.axes[0]
    kept = "out" not in scope
    return Data((out, *spatial), data.settled and kept, data.normed and kept)


def features(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """Linear: acts on the last axis, whatever stands before it."""
    if not data.axes:
        raise SpecError(f"`{layer.name}` needs an axis to read", where=layer.place)
    given = builder.unifier.size(data.axes[-1])
    check_given(layer, "in_features", given)
    out = builder.unifier.width(layer.name, integer(layer.args["out_features"]))
    scope = {"in": data.axes[-1], "out": out}
    _add_tensors(builder, layer, kind, scope, data, 0)
    note_arguments(builder, layer, kind, scope)
    for axis in data.axes[:-1]:
        builder.demand(axis, EACH, layer.name, "Linear acts on each of its positions alone")
    return Data((*data.axes[:-1], out))


def lookup(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """Embedding: ids become vectors along a new last axis."""
    ids = builder.unifier.width(f"{layer.name}.ids", integer(layer.args["num_embeddings"]))
    out = builder.unifier.width(layer.name, integer(layer.args["embedding_dim"]))
    builder.demand(ids, NOTHING, layer.name, "counts the network's input ids")
    scope = {"ids": ids, "out": out}
    _add_tensors(builder, layer, kind, scope, data, 0)
    note_arguments(builder, layer, kind, scope)
    return Data((*data.axes, out))


def norm(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Data:
    """LayerNorm: statistics over the last axes (MATH: widths under LayerNorm)."""
    given = layer.args.get("normalized_shape")
    count = len(given) if isinstance(given, tuple) else 1
    if count > len(data.axes):
        raise SpecError(
            f"`{layer.name}` normalises {count} axes, but gets {len(data.axes)}",
            where=place_of(layer, "normalized_shape"),
        )
    first = 0 if layer.type == "LayerNorm2d" else len(data.axes) - count
    axes = data.axes[first : first + count]
    if layer.type == "LayerNorm2d" and (count != 1 or len(data.axes) != 3):
        raise SpecError(
            f"`{layer.name}` (LayerNorm2d) normalises the channels of an image,"
            f" but `{layer.inputs[0]}` gives {len(data.axes)} axes beside the batch",
            where=layer.place,
        )
    sizes = tuple(builder.unifier.size(axis) for axis in axes)
    if given is not None and given != sizes:
        raise SpecError(
            f"`{layer.name}` normalises {_shown(given)}, but gets {_shown(sizes)}",
            where=place_of(layer, "normalized_shape"),
            hint="remove `normalized_shape`, it is inferred",
        )
    for line in kind.tensors:
        if has_tensor(line, layer.args):
            factors = tuple((Factor(axis, "write"),) for axis in axes)
            add_tensor(builder, layer, line, factors, settled=False)
    builder.arguments[layer.name] = {"normalized_shape": axes}
    affine = count == 1 and bool(layer.args["elementwise_affine"])
    bears, reason = (_rms if layer.type == "RMSNorm" else _mean)(layer, data, affine=affine)
    builder.demand(product(*axes), bears, layer.name, reason, joint=True)
    for axis in (*data.axes[:first], *data.axes[first + count :]):
        reason = f"{layer.type} acts on each of its positions alone"
        builder.demand(axis, EACH, layer.name, reason)
    mean = layer.type != "RMSNorm"
    return Data(data.axes, settled=count == 1 and mean, normed=mean or data.normed)


def _mean(layer: Layer, data: Data, *, affine: bool) -> tuple[frozenset[str], str]:
    """What LayerNorm bears, and why no more."""
    reason = f"{layer.type} takes mean and variance over it: only copies in equal number"
    if affine and not data.normed:
        return _EVEN | MEAN, f"{reason}, or new channels that hold the mean, keep them"
    return _EVEN, f"{reason} keep them"


def _rms(layer: Layer, _data: Data, *, affine: bool) -> tuple[frozenset[str], str]:
    """What RMSNorm bears: gain and eps must change with a width that grows by zeros."""
    reason = "RMSNorm takes the mean square over it: only copies in equal number"
    if not affine:
        return _EVEN, f"{reason} keep it"
    if layer.args["eps"] is None:
        return _EVEN, (
            f"{reason} keep it; with an eps of its own (`eps: 1e-6`) new channels that are zero"
            " would, but torch's depends on the dtype"
        )
    return _EVEN | ZERO, f"{reason}, or new channels that are zero, keep it"


_EVEN = frozenset({"even"})


def _check_rank(layer: Layer, kind: LayerType, data: Data) -> None:
    count = len(data.axes)
    allowed = {"BatchNorm1d": (1, 2), "InstanceNorm1d": (2,)}.get(
        layer.type, (kind.rank + 1,) if kind.rank >= 0 else range(1, 5)
    )
    if count not in allowed:
        wanted = " or ".join(str(n) for n in allowed) if kind.rank >= 0 else "1 to 4"
        raise SpecError(
            f"`{layer.name}` ({layer.type}) needs {wanted} axes beside the batch,"
            f" but `{layer.inputs[0]}` gives {count}",
            where=layer.place,
        )


def _scope(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> Scope:
    """The axes behind a line's local widths."""
    axis = data.axes[0]
    size = builder.unifier.size(axis)
    for argument in kind.sizes:
        if argument in ("in_channels", "num_features", "num_channels"):
            check_given(layer, argument, size)
    if layer.type == "PReLU":
        return {"c": _slopes(layer, axis, size)}
    if not kind.tensors or kind.signature == "c -> c":
        return {"c": axis}
    return _grouped(builder, layer, axis, size)


def _slopes(layer: Layer, axis: Axis, size: int) -> Axis:
    count = integer(layer.args["num_parameters"])
    if count not in (1, size):
        raise SpecError(
            f"`{layer.name}` has {count} slopes, but `{layer.inputs[0]}` gives {size} channels",
            where=place_of(layer, "num_parameters"),
        )
    return Number(1) if count == 1 else axis


def _grouped(builder: Builder, layer: Layer, axis: Axis, size: int) -> Scope:
    count_name = "num_groups" if layer.type == "GroupNorm" else "groups"
    groups = integer(layer.args[count_name])
    if size % groups:
        raise SpecError(
            f"`{layer.name}` has {groups} groups, but `{layer.inputs[0]}` gives {size} channels",
            where=place_of(layer, count_name),
        )
    width = builder.unifier.width
    if layer.type == "GroupNorm":
        scope: dict[str, Axis] = {
            "groups": width(f"{layer.name}.groups", groups) if groups > 1 else Number(1),
            "c": width(f"{layer.name}.channels", size // groups) if size > groups else Number(1),
        }
        builder.unifier.unify(axis, product(scope["groups"], scope["c"]), layer.name)
        return scope
    outs = integer(layer.args["out_channels"])
    if outs % groups:
        raise SpecError(
            f"`{layer.name}` has {groups} groups, which do not divide its {outs} channels",
            where=place_of(layer, count_name),
        )
    if groups == 1:
        return {"groups": Number(1), "in": axis, "out": width(layer.name, outs)}
    scope = {
        "groups": width(f"{layer.name}.groups", groups),
        "in": width(f"{layer.name}.in", size // groups) if size > groups else Number(1),
        "out": width(layer.name, outs // groups) if outs > groups else Number(1),
    }
    builder.unifier.unify(axis, product(scope["groups"], scope["in"]), layer.name)
    return scope


def check_given(layer: Layer, argument: str, size: int) -> None:
    """Refuse an argument that says another size than the layer's input has."""
    given = layer.args.get(argument)
    if given is not None and given != size:
        raise SpecError(
            f"`{layer.name}` reads {given} channels, but `{layer.inputs[0]}` gives {size}",
            where=place_of(layer, argument),
            hint=f"remove `{argument}`, it is inferred",
        )


def _spatial(builder: Builder, layer: Layer, kind: LayerType, data: Data) -> tuple[Axis, ...]:
    axes = data.axes[1:]
    norms = kind.name.startswith(("BatchNorm", "InstanceNorm", "GroupNorm"))
    if kind.spatial == "none" and not norms:
        for axis in axes:
            builder.demand(axis, EACH, layer.name, f"{layer.type} acts on each channel alone")
        return axes
    for axis in axes:
        if any(widths(axis)):
            builder.demand(axis, NOTHING, layer.name, f"{layer.type} runs along it")
    if norms:
        return axes
    sizes = tuple(builder.unifier.size(axis) for axis in axes)
    try:
        return tuple(Number(size) for size in spatial_sizes(kind, layer.args, sizes))
    except ValueError as error:
        raise SpecError(f"`{layer.name}` {error}", where=layer.place) from None


def _bear_channels(
    builder: Builder, layer: Layer, kind: LayerType, scope: Scope, data: Data
) -> None:
    each = EACH | (ZERO if maps_zero(kind, layer.args) else NOTHING)
    if layer.type == "GroupNorm":
        builder.demand(scope["groups"], each, layer.name, "GroupNorm acts on each group alone")
        builder.demand(
            scope["c"],
            frozenset({"even"}),
            layer.name,
            "GroupNorm takes mean and variance over each group: only copies in equal number keep"
            " them; whole new groups (`num_groups`) are free",
            joint=True,
        )
    elif layer.type == "LocalResponseNorm":
        reason = "LocalResponseNorm divides by its neighbours: only zeros behind them keep it"
        builder.demand(data.axes[0], ZERO, layer.name, reason, joint=True)
    elif "in" in scope:
        builder.demand(scope["groups"], each, layer.name, "a convolution acts on each group alone")
    else:
        builder.demand(data.axes[0], each, layer.name, f"{layer.type} acts on each channel alone")


def _add_tensors(
    builder: Builder, layer: Layer, kind: LayerType, scope: Scope, data: Data, spatial: int
) -> None:
    signature = parse(kind.signature)
    kernel = layer.args.get("kernel_size")
    for line in kind.tensors:
        if not has_tensor(line, layer.args):
            continue
        axes = _factors(parse(line.axes), signature, scope)
        if line.kernel:
            assert isinstance(kernel, tuple)
            axes += tuple((Factor(Number(integer(k)), "write"),) for k in kernel)
        if line.trailing:
            axes += ((Factor(Number(1), "write"),),) * spatial
        add_tensor(builder, layer, line, axes, settled=data.settled)


def add_lines(
    builder: Builder, layer: Layer, kind: LayerType, scope: Scope, *, settled: bool
) -> None:
    """Give a layer all its tensors, where none has a kernel; ``scope`` holds its lines' widths."""
    signature = parse(kind.signature)
    for line in lines_of(kind, layer.args):
        axes = _factors(parse(line.axes), signature, scope)
        add_tensor(builder, layer, line, axes, settled=settled and "in" in line.axes.split())


def add_tensor(
    builder: Builder,
    layer: Layer,
    line: TensorLine,
    axes: tuple[tuple[Factor, ...], ...],
    *,
    settled: bool,
) -> None:
    """Give a layer one of its tensors; ``settled`` as in LaidTensor."""
    shape = shape_of(axes, builder.unifier.sizes)
    name = tensor_name(layer.name, line)
    builder.add_tensor(LaidTensor(name, layer.name, line, axes, shape, settled), layer)


def _factors(line: Line, signature: Line, scope: Scope) -> tuple[tuple[Factor, ...], ...]:
    carried = signature.names("write")
    return tuple(
        tuple(
            Factor(_axis(part, scope), _role(part, role, carried))
            for part in (axis.parts if isinstance(axis, Group) and not axis.plus else (axis,))
            if _axis(part, scope) != Number(1)
        )
        or (Factor(Number(1), role),)
        for axis, role in line.axes
    )


def _role(part: Expression, role: Role, carried: frozenset[str]) -> Role:
    return "write" if isinstance(part, Name) and part.name in carried else role


def _axis(expression: Expression, scope: Scope) -> Axis:
    match expression:
        case Name(name):
            return scope[name]
        case Count(size):
            return Number(size)
        case Group(parts, plus):
            return (total if plus else product)(*(_axis(part, scope) for part in parts))


def _writes(kind: LayerType) -> Expression:
    return next(axis for axis, role in parse(kind.signature).axes if role == "write")


def note_arguments(builder: Builder, layer: Layer, kind: LayerType, scope: Scope) -> None:
    """Note which axis each of a layer's arguments counts."""
    found: dict[str, tuple[Axis, ...]] = {
        argument: (_axis(parse(text).axes[0][0], scope),) for argument, text in kind.sizes.items()
    }
    if layer.type == "PReLU" and scope["c"] == Number(1):
        found = {}
    builder.arguments[layer.name] = found


def _shown(sizes: object) -> str:
    return str(list(sizes)) if isinstance(sizes, tuple) else str(sizes)
