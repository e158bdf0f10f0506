"""Attention: heads may be more, each as wide as before; keys are summed over by their scores.

MATH, attention and MLP: heads are ``(heads head_dim)`` everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from net2net_cli.axes import Axis, Number, product
from net2net_cli.errors import SpecError
from net2net_cli.layers.kinds import LayerType
from net2net_cli.laying.builder import Builder
from net2net_cli.laying.joining import broadcast, same_size
from net2net_cli.laying.lines import add_lines, check_given, note_arguments
from net2net_cli.laying.viewing import grows, integers
from net2net_cli.layout import EACH, NOTHING, ZERO, Data, integer, place_of
from net2net_cli.network import Layer

_OTHERS = EACH | ZERO


def dot_product(builder: Builder, layer: Layer, inputs: Sequence[Data]) -> Data:
    """``[..., L, E]``, ``[..., S, E]`` and ``[..., S, V]`` give ``[..., L, V]``."""
    query, key, value = inputs[:3]
    ranks = {len(data.axes) for data in inputs[:3]}
    if len(ranks) > 1 or min(ranks) < 2:
        raise SpecError(
            f"`{layer.name}` needs queries, keys and values with as many axes, at least 2",
            where=layer.place,
        )
    lead = _lead(builder, layer, inputs)
    rows, keys, inner, out = query.axes[-2], key.axes[-2], query.axes[-1], value.axes[-1]
    same_size(builder, layer, "", inner, key.axes[-1])
    same_size(builder, layer, "", keys, value.axes[-2])
    if layer.args["scale"] is None:
        reason = "scales scores by the root of its size; with a `scale:` new features may be zero"
        builder.demand(inner, NOTHING, layer.name, reason)
    else:
        reason = "sums over it: only new features that are zero keep its scores"
        builder.demand(inner, ZERO, layer.name, reason)
    _keep(builder, layer, keys)
    if layer.args["is_causal"]:
        _keep(builder, layer, rows)
    for axis in (*lead, rows, out):
        builder.demand(axis, _OTHERS, layer.name, "attention acts on each of its heads alone")
    if len(inputs) > 3:
        _mask(builder, layer, inputs[3], (*lead, rows, keys))
    return Data((*lead, rows, out))


def _lead(builder: Builder, layer: Layer, inputs: Sequence[Data]) -> tuple[Axis, ...]:
    """The axes before rows and features; several query heads may share one of keys."""
    query, key, value = (data.axes[:-2] for data in inputs[:3])
    if layer.args["enable_gqa"] and query:
        many, few = (builder.unifier.size(side[-1]) for side in (query, key))
        if many % few:
            raise SpecError(
                f"`{layer.name}` has {many} query heads, which {few} of keys cannot share",
                where=layer.place,
            )
        if many > few:
            group: Axis = Number(many // few)
            if grows(builder, query[-1]) and grows(builder, key[-1]):
                group = builder.unifier.width(f"{layer.name}.group", many // few)
            builder.unifier.unify(query[-1], product(key[-1], group), layer.name)
            same_size(builder, layer, "", key[-1], value[-1])
            return (*_lead_alike(builder, layer, query[:-1], key[:-1], value[:-1]), query[-1])
    return _lead_alike(builder, layer, query, key, value)


def _lead_alike(
    builder: Builder, layer: Layer, query: tuple[Axis, ...], *others: tuple[Axis, ...]
) -> tuple[Axis, ...]:
    found = query
    for other, name in zip(others, layer.inputs[1:], strict=False):
        found = tuple(
            broadcast(builder, layer, name, a, b) for a, b in zip(found, other, strict=True)
        )
    return found


def _mask(builder: Builder, layer: Layer, mask: Data, scores: tuple[Axis, ...]) -> None:
    if len(mask.axes) not in (2, len(scores)):
        raise SpecError(
            f"the mask of `{layer.name}` has {len(mask.axes)} axes, where it needs 2"
            f" or {len(scores)}",
            where=layer.place,
        )
    for own, axis in zip(mask.axes, scores[-len(mask.axes) :], strict=True):
        broadcast(builder, layer, layer.inputs[3], axis, own)


def attention(builder: Builder, layer: Layer, kind: LayerType, inputs: Sequence[Data]) -> Data:
    """Attention with its own projections; one input is queries, keys and values at once."""
    if len(inputs) == 2:
        raise SpecError(
            f"`{layer.name}` reads one value, or queries, keys and values", where=layer.place
        )
    if any(len(data.axes) != kind.rank + 1 for data in inputs):
        raise SpecError(
            f"`{layer.name}` ({layer.type}) needs {kind.rank + 1} axes beside the batch, but"
            f" `{layer.inputs[0]}` gives {len(inputs[0].axes)}",
            where=layer.place,
        )
    query, key, value = (inputs[0],) * 3 if len(inputs) == 1 else inputs
    stream = query.axes[-1]
    size, heads = builder.unifier.size(stream), integer(layer.args["num_heads"])
    check_given(layer, "embed_dim", size)
    if size % heads:
        raise SpecError(
            f"`{layer.name}` has {heads} heads, which do not divide {size}",
            where=place_of(layer, "num_heads"),
        )
    width = builder.unifier.width
    scope: dict[str, Axis] = {
        "in": stream,
        "out": width(layer.name, size),
        "heads": width(f"{layer.name}.heads", heads),
        "head_dim": width(f"{layer.name}.head_dim", size // heads),
        "k": key.axes[-1],
        "v": value.axes[-1],
        **_windows(layer),
    }
    _check_sources(builder, layer, scope)
    reason = "scales scores by the root of a head's size: let `num_heads` grow with the width"
    builder.demand(scope["head_dim"], NOTHING, layer.name, reason)
    reason = "attention acts on each of its heads alone"
    builder.demand(scope["heads"], _OTHERS, layer.name, reason)
    builder.tie(stream, product(scope["heads"], scope["head_dim"]))
    builder.tie(stream, scope["out"])
    for data in inputs:
        for axis in data.axes[:-1]:
            _keep(builder, layer, axis)
    settled = all(data.settled for data in inputs)
    add_lines(builder, layer, kind, scope, settled=settled)
    note_arguments(builder, layer, kind, scope)
    return Data((*query.axes[:-1], scope["out"]))


def _check_sources(builder: Builder, layer: Layer, scope: dict[str, Axis]) -> None:
    """Keys and values of other sizes have projections of their own; else all three have one."""
    sizes = {name: builder.unifier.size(scope[name]) for name in ("in", "k", "v")}
    if layer.args.get("kdim") is not None:
        for name, argument in (("k", "kdim"), ("v", "vdim")):
            check_given(layer, argument, sizes[name])
        if len(set(sizes.values())) == 1:
            raise SpecError(
                f"`{layer.name}` says `kdim` and `vdim`, which are its embed_dim",
                where=place_of(layer, "kdim"),
                hint="leave both out",
            )
        return
    if len(set(sizes.values())) > 1:
        raise SpecError(
            f"`{layer.name}` reads {sizes['in']}, {sizes['k']} and {sizes['v']} features",
            where=layer.place,
            hint="say `kdim:` and `vdim:`, the sizes of keys and values",
        )
    builder.unifier.unify(scope["in"], scope["k"], layer.name)
    builder.unifier.unify(scope["in"], scope["v"], layer.name)


def _windows(layer: Layer) -> dict[str, Axis]:
    if layer.type != "WindowAttention":
        return {}
    sides = integers(layer.args["window_size"])
    offsets, pairs = prod(2 * side - 1 for side in sides), prod(sides) ** 2
    return {"offsets": Number(offsets), "pairs": Number(pairs)}


def _keep(builder: Builder, layer: Layer, axis: Axis) -> None:
    if grows(builder, axis):
        builder.demand(axis, NOTHING, layer.name, "attention runs along it")
