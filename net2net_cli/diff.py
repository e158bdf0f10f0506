"""What differs between two layouts, and whether growth can bridge it.

``differences`` lists everything, for ``net2net diff``; ``compare`` goes on to what a plan needs
(matches, duties, source sizes) and refuses what no growth does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from net2net_cli.axes import Width
from net2net_cli.errors import Net2NetError, UnreachableError
from net2net_cli.insertion import Duties, find_duties
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.layout import GraphLayout, place_of
from net2net_cli.match import changed_arguments, match_layers
from net2net_cli.network import Layer, Value
from net2net_cli.solve import source_sizes, source_tensor


@dataclass(frozen=True)
class Difference:
    """One difference. ``kind``: added, removed, changed, size, input, output."""

    kind: str
    layer: str
    what: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class Comparison:
    """Two layouts side by side. ``matches`` maps target names to source names; ``sizes`` gives
    each of the target's widths its size in the source."""

    source: GraphLayout
    target: GraphLayout
    matches: Mapping[str, str]
    duties: Duties
    sizes: Mapping[Width, int]


def differences(source: GraphLayout, target: GraphLayout) -> tuple[Difference, ...]:
    """Everything that differs, in the target's order, removed layers last."""
    matches = match_layers(source.spec, target.spec)
    found = list(_ends(source, target))
    for layer in target.spec.layers:
        if layer.name not in matches:
            found.append(Difference("added", layer.name, layer.type))
            continue
        old = source.spec.layer(matches[layer.name])
        found += _changes(old, layer)
    kept = set(matches.values())
    found += [
        Difference("removed", la.name, la.type) for la in source.spec.layers if la.name not in kept
    ]
    return tuple(found)


def compare(source: GraphLayout, target: GraphLayout) -> Comparison:
    """All that a plan needs to know of the two.

    Raises UnreachableError (exit 3) where the target is smaller, or differs in something that is
    no growth: a removed layer, another kernel, stride, activation or input.
    """
    for difference in differences(source, target):
        _refuse(difference, target)
    matches = match_layers(source.spec, target.spec)
    duties = find_duties(source, target, matches)
    _check_shared(source, target, matches)
    sizes = source_sizes(source, target, matches, duties)
    return Comparison(source, target, matches, duties, sizes)


def _check_shared(source: GraphLayout, target: GraphLayout, matches: Mapping[str, str]) -> None:
    """What two layers share in the target must be one in the source."""
    for alias, layer in target.sharers().items():
        owner = target.tensors[target.aliases[alias]]
        if layer not in matches:
            continue
        kept = source_tensor(source, alias, layer, matches)
        if owner.layer not in matches or kept != source_tensor(
            source, owner.name, owner.layer, matches
        ):
            raise UnreachableError(
                f"`{layer}` shares `{owner.name}` in the target, but not in the source",
                where=target.spec.layer(layer).place,
                hint="parameters that differ cannot become one; remove the `share`",
            )


def _ends(source: GraphLayout, target: GraphLayout) -> list[Difference]:
    found = []
    old, new = source.spec.inputs, target.spec.inputs
    shapes = [[(list(i.shape), i.dtype, i.high) for i in side] for side in (old, new)]
    if shapes[0] != shapes[1]:
        shown = [", ".join(str(list(i.shape)) for i in side) for side in (old, new)]
        name = new[0].name if new else "input"
        found.append(Difference("input", name, "input", shown[0], shown[1]))
    if len(source.spec.outputs) != len(target.spec.outputs):
        shown = [", ".join(layout.spec.outputs) for layout in (source, target)]
        found.append(Difference("output", target.spec.outputs[0], "outputs", shown[0], shown[1]))
    return found


def _changes(old: Layer, new: Layer) -> list[Difference]:
    if old.type != new.type:
        return [Difference("changed", new.name, "type", old.type, new.type)]
    found = [
        Difference("changed", new.name, name, shown(old.args.get(name)), shown(new.args.get(name)))
        for name in changed_arguments(old, new)
    ]
    for name in LAYER_TYPES[new.type].sizes:
        before, after = old.args.get(name), new.args.get(name)
        if before != after and before is not None and after is not None:
            found.append(Difference("size", new.name, name, shown(before), shown(after)))
    return found


def _refuse(difference: Difference, target: GraphLayout) -> None:
    d = difference
    layer = next((la for la in target.spec.layers if la.name == d.layer), None)
    where = place_of(layer, d.what) if layer else target.spec.place
    hint = "growth keeps it; set it back, or start from another checkpoint"
    error: Net2NetError | None = None
    match d.kind:
        case "removed":
            error = UnreachableError(
                f"the target has no `{d.layer}` ({d.what}), which the source has",
                where=where,
                hint="keep the layer; where it has a new name, say `rename: {OLD: NEW}`",
            )
        case "changed":
            error = UnreachableError(
                f"`{d.what}` of `{d.layer}` changes from {d.before} to {d.after},"
                " which changes the function",
                where=where,
                hint=hint,
            )
        case "input" | "output":
            error = UnreachableError(
                f"the network's {d.what} changes from {d.before} to {d.after}",
                where=target.spec.place,
                hint=hint,
            )
        case "size" if _shrinks(d):
            error = UnreachableError(
                f"`{d.what}` of `{d.layer}` shrinks from {d.before} to {d.after}",
                where=where,
                hint="a student is never smaller than its teacher",
            )
    if error:
        raise error


def _shrinks(difference: Difference) -> bool:
    """Whether any of the numbers is smaller; -1 is what the others leave."""
    before, after = (
        [int(n) for n in re.findall(r"-?\d+", side)]
        for side in (difference.before, difference.after)
    )
    pairs = zip(before, after, strict=False)
    return any(0 <= new < old for old, new in pairs)


def shown(value: Value) -> str:
    """An argument as a spec would have it."""
    if isinstance(value, tuple):
        same = len(set(value)) == 1
        return shown(value[0]) if same else f"[{', '.join(shown(v) for v in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
