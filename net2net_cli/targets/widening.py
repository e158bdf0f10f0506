"""A target of a few words: one width wider."""

from __future__ import annotations

from collections.abc import Mapping

from net2net_cli.axes import Axis, Sum, Width, size_of, widths
from net2net_cli.choosing import refusals
from net2net_cli.errors import UnreachableError, UsageError
from net2net_cli.layout import GraphLayout
from net2net_cli.spec import Document, Layer, Spec, with_args
from net2net_cli.targets.layers import find_layer
from net2net_cli.targets.sizes import argument_changes

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
    sizes = layout.sizes
    return size_of(axis, {**sizes, width: 1}) - size_of(axis, {**sizes, width: 0})


def _solved(layout: GraphLayout, axis: Axis, width: Width, to: int) -> int | None:
    base = size_of(axis, {**layout.sizes, width: 0})
    found, over = divmod(to - base, _step(layout, axis, width))
    return None if over or found <= layout.sizes[width] else found
