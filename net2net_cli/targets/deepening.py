"""A target of a few words: one layer deeper, by a copy of a layer that computes the identity."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import takewhile

from net2net_cli.errors import UnreachableError, UsageError
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.layout import GraphLayout
from net2net_cli.spec import Document, Layer, Spec, Value, insert_after, insert_numbered
from net2net_cli.targets.layers import find_layer


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
    whole = chain_of(layout.spec, core)
    unit = list(takewhile(lambda layer: layer.name not in assumed, whole))
    cut = whole[len(unit)].name if len(unit) < len(whole) else None
    places = [start.name] if start.name != core.name else [x.name for x in reversed(unit)]
    if start.name != core.name:
        places += [x.name for x in reversed(unit) if x.name != start.name]
    for place in places:
        copies = [copy_of(layout, layer, place) for layer in unit] * count
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


def chain_of(spec: Spec, core: Layer) -> list[Layer]:
    """A Linear or convolution with the norms and activations right behind it."""
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


def copy_of(layout: GraphLayout, layer: Layer, place: str) -> dict[str, object]:
    """A copy of a layer as plain data, with the arguments that it needs behind ``place``."""
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
