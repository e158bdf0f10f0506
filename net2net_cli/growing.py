"""Targets made from a few words: one width wider, one layer deeper."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile

from net2net_cli.axes import Axis, Sum, Width, size_of, widths
from net2net_cli.choosing import refusals
from net2net_cli.errors import UnreachableError, UsageError, closest
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.layout import GraphLayout
from net2net_cli.spec import (
    Document,
    Layer,
    Spec,
    Value,
    insert_after,
    insert_numbered,
    with_args,
)
from net2net_cli.targets import argument_changes

_OUTPUTS = ("out_channels", "out_features", "embedding_dim", "num_features", "num_channels")


def widened(document: Document, layout: GraphLayout, layer: str, to: int) -> Document:
    """The document with the width of a layer's output at ``to``, and every argument that counts
    the same width.

    Raises UsageError (exit 2) for an unknown layer or a width that it has already;
    UnreachableError (exit 3) where the width cannot change, or would shrink.
    """
    found = find_layer(layout.spec, layer)
    axis = _output_axis(layout, found)
    present = layout.size(axis)
    if to == present:
        raise UsageError(f"`{layer}` is {to} wide already", hint=f"give --to more than {present}")
    if to < present:
        raise UnreachableError(
            f"`{layer}` shrinks from {present} to {to}", hint=f"give --to more than {present}"
        )
    return with_args(document, argument_changes(layout, _grown(layout, layer, axis, to)))


_GROUPS = ("groups", "num_groups")


def regrouped(before: Spec, after: Spec) -> tuple[str, ...]:
    """What to say of layers of the same names whose number of groups changes with a width: code
    that builds the network must say the new number."""
    changed = [
        f"`{argument}` of `{new.name}` is now {new.args[argument]}"
        for old, new in zip(before.layers, after.layers, strict=True)
        for argument in _GROUPS
        if old.args.get(argument) != new.args.get(argument)
    ]
    more = f", and {len(changed) - 3} more" if len(changed) > 3 else ""
    return (f"groups grow with the width: {', '.join(changed[:3])}{more}",) if changed else ()


def find_layer(spec: Spec, name: str) -> Layer:
    """The layer of that name, or of that group (its last). Raises UsageError with near names."""
    known = [layer.name for layer in spec.layers]
    if name in known:
        return spec.layer(name)
    inside = [k for k in known if k.startswith(f"{name}.")]
    if inside:
        return spec.layer(inside[-1])
    more = ", ..." if len(known) > 6 else ""
    hint = closest(name, known) or f"there are {', '.join(known[:6])}{more}"
    raise UsageError(f"there is no layer `{name}`", hint=hint)


def _output_axis(layout: GraphLayout, layer: Layer) -> Axis:
    counted = layout.arguments.get(layer.name, {})
    for name in _OUTPUTS:
        if name in counted:
            return counted[name][0]
    axes = layout.values[layer.name].axes
    held = [axis for axis in axes if any(widths(axis))] or [axes[0]]
    free = (axis for axis in held if any(layout.bears(width) for width in widths(axis)))
    return next(free, held[-1])


def _grown(layout: GraphLayout, layer: str, axis: Axis, to: int) -> Mapping[Width, int]:
    """The one width of an axis whose growth makes it ``to``, innermost first."""
    if isinstance(axis, Sum):
        free = [w for w in dict.fromkeys(widths(axis)) if layout.bears(w)]
        if len(free) != 1:
            parts = ", ".join(f"`{_named(layout, w)}`" for w in free)
            raise UsageError(
                f"`{layer}` lays several widths end to end, and --to does not say which grows",
                hint=f"name one of {parts}" if parts else None,
            )
    candidates = list(dict.fromkeys(reversed(list(widths(axis)))))
    steps = []
    for width in candidates:
        found = _solved(layout, axis, width, to)
        if found is None:
            steps.append(_step(layout, axis, width))
        elif layout.bears(width):
            return {width: found}
    if steps and any(layout.bears(w) for w in candidates):
        raise UnreachableError(
            f"`{layer}` cannot be {to} wide: its width is a multiple of {min(steps)}",
            hint=f"use {to // min(steps) * min(steps) + min(steps)}",
        )
    why = refusals(layout, candidates[0], frozenset({"fresh"})) if candidates else "it is fixed"
    raise UnreachableError(f"`{layer}` cannot grow: {why}")


def _named(layout: GraphLayout, width: Width) -> str:
    members = layout.members(width)
    return members[0] if members else width.name


def _step(layout: GraphLayout, axis: Axis, width: Width) -> int:
    sizes = dict(layout.sizes)
    return size_of(axis, {**sizes, width: 1}) - size_of(axis, {**sizes, width: 0})


def _solved(layout: GraphLayout, axis: Axis, width: Width, to: int) -> int | None:
    base = size_of(axis, {**dict(layout.sizes), width: 0})
    found, over = divmod(to - base, _step(layout, axis, width))
    return None if over or found <= layout.sizes[width] else found


@dataclass(frozen=True)
class Deepening:
    """One way to insert a copy of a layer: where, what, and its target.

    The target's ``rename`` says which layers have other names than before. ``assumed`` is the
    layer that the copy would have had behind it, were it known.
    """

    after: str
    layers: tuple[str, ...]
    document: Document
    assumed: str | None = None


def deepenings(
    document: Document,
    layout: GraphLayout,
    after: str,
    name: str | None,
    count: int,
    assumed: Collection[str] = (),
) -> Iterator[Deepening]:
    """Ways to insert ``count`` copies of the unit that a layer belongs to, the best first.

    A unit is a Linear or convolution with the norms and activations right behind it. It goes to
    the end of the unit or, where its activation would not be an identity there, inside. In a chain
    of numbers the new layers are numbered, and later ones move up; ``name`` gives them that name.
    A unit ends where an ``assumed`` layer follows: what goes before that is exact whatever it is.
    """
    start = find_layer(layout.spec, after)
    core = _core(layout.spec, start)
    whole = _unit(layout.spec, core)
    unit = list(takewhile(lambda layer: layer.name not in assumed, whole))
    cut = whole[len(unit)].name if len(unit) < len(whole) else None
    places = [start.name] if start.name != core.name else [x.name for x in reversed(unit)]
    if start.name != core.name:
        places += [x.name for x in reversed(unit) if x.name != start.name]
    for place in places:
        copies = [_copy(layout, layer, place) for layer in unit] * count
        numbered = insert_numbered(document, place, copies) if name is None else None
        if numbered is not None:
            yield Deepening(place, numbered[1], numbered[0], cut)
            continue
        names = _names(unit, name or f"{core.name}_deeper", count)
        entries = dict(zip(names, copies, strict=True))
        yield Deepening(place, names, insert_after(document, place, entries), cut)


def told(way: Deepening, wanted: str, refused: UnreachableError | None) -> tuple[str, ...]:
    """What to say of a way that was taken: that it is not behind the layer that was ``wanted``,
    since that was ``refused``; what was left out; which layers have other names."""
    found = []
    if refused is not None:
        found.append(f"inserted after `{way.after}`, since behind `{wanted}` {refused.message}")
    if way.assumed:
        found.append(
            f"inserted right behind `{way.after}`, without an activation: `{way.assumed}` is only"
            " assumed, and this is exact whatever it is; to insert both, correct the spec (`net2net"
            " spec CKPT -o FILE`) and give it with --source-spec FILE"
        )
    moves = [f"`{old}` is now `{new}`" for old, new in way.document.rename.items()]
    if moves:
        more = f", and {len(moves) - 3} more" if len(moves) > 3 else ""
        found.append(f"later layers are renumbered: {', '.join(moves[:3])}{more}")
    return tuple(found)


def _readers(spec: Spec, name: str) -> list[Layer]:
    return [layer for layer in spec.layers if name in layer.inputs]


def _follows(layer: Layer) -> bool:
    kind = LAYER_TYPES[layer.type]
    activation = kind.rule == "pointwise" and "Dropout" not in kind.name
    return activation or layer.type == "PReLU" or layer.type.startswith("BatchNorm")


def _core(spec: Spec, layer: Layer) -> Layer:
    """The Linear or convolution whose unit a layer belongs to."""
    at = layer
    known = {la.name for la in spec.layers}
    while _follows(at) and at.inputs[0] in known:
        at = spec.layer(at.inputs[0])
    if at.type != "Linear" and not at.type.startswith("Conv"):
        raise UsageError(
            f"`{layer.name}` ({layer.type}) is not part of a Linear or convolution that could be"
            " copied",
            hint="name one, or write the new layers into a spec with `extends: source`",
        )
    return at


def _unit(spec: Spec, core: Layer) -> list[Layer]:
    found = [core]
    while len(readers := _readers(spec, found[-1].name)) == 1 and _follows(readers[0]):
        found.append(readers[0])
    return found


def _names(unit: list[Layer], stem: str, count: int) -> tuple[str, ...]:
    """The copies' names: the stem, and for norms and activations what they are behind it."""
    kinds = [_short(layer) for layer in unit[1:]]
    tails = [""]
    for at, kind in enumerate(kinds):
        earlier = kinds[:at].count(kind)
        tails.append(f"_{kind}{earlier + 1 if earlier else ''}")
    stems = [stem] if count == 1 else [f"{stem}{turn + 1}" for turn in range(count)]
    return tuple(f"{own}{tail}" for own in stems for tail in tails)


def _copy(layout: GraphLayout, layer: Layer, place: str) -> dict[str, object]:
    return {"type": layer.type, **_arguments(layout, layer, place)}


def _short(layer: Layer) -> str:
    return "bn" if layer.type.startswith("BatchNorm") else layer.type.lower()


def _arguments(layout: GraphLayout, layer: Layer, place: str) -> dict[str, object]:
    """A copy's arguments: those that differ from the default, at the sizes of its new place."""
    kind, channels = LAYER_TYPES[layer.type], layout.values[place].axes
    given: dict[str, object] = {
        arg.name: layer.args[arg.name]
        for arg in kind.args
        if arg.need != "inferred"
        and arg.name in layer.args
        and _plain(layer.args[arg.name]) != arg.default
    }
    if layer.type == "Linear":
        return {**given, "out_features": layout.size(channels[-1])}
    if layer.type == "PReLU" and given.get("num_parameters"):
        return {**given, "num_parameters": layout.size(channels[0])}
    if kind.spatial not in ("conv", "transposed"):
        return given
    return {**given, **_same_size(layer, layout.size(channels[0]))}


def _same_size(layer: Layer, channels: int) -> dict[str, object]:
    """What makes a copied convolution keep channels and size."""
    groups = layer.args["groups"]
    kernel, dilation = layer.args["kernel_size"], layer.args["dilation"]
    assert isinstance(groups, int)
    assert isinstance(kernel, tuple)
    assert isinstance(dilation, tuple)
    depthwise = groups > 1 and groups == layer.args.get("out_channels")
    kept = channels if depthwise else groups if channels % groups == 0 else 1
    reach = [int(str(d)) * (int(str(k)) - 1) for k, d in zip(kernel, dilation, strict=True)]
    found: dict[str, object] = {"out_channels": channels, "groups": kept, "stride": 1}
    odd = all(r % 2 == 0 for r in reach)
    if LAYER_TYPES[layer.type].spatial != "transposed":
        return {**found, "padding": [r // 2 for r in reach] if odd else "same"}
    if not odd:
        raise UnreachableError(
            f"a copy of `{layer.name}` ({layer.type}) cannot be inserted here: its even kernel"
            " makes every image into one of another size",
            where=layer.place,
            hint="write a layer with an odd kernel into a spec with `extends: source`",
        )
    return {**found, "padding": [r // 2 for r in reach], "output_padding": 0}


def _plain(value: Value) -> Value:
    """A size with equal entries as the one number that a default is."""
    same = isinstance(value, tuple) and len(set(value)) == 1
    return value[0] if same and isinstance(value, tuple) else value
