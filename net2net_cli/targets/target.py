"""A target as a whole network: what it extends, with its sizes worked out and its layers in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from net2net_cli.axes import Width
from net2net_cli.errors import SpecError, UnreachableError
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.laying import layout_of
from net2net_cli.layout import GraphLayout
from net2net_cli.spec import (
    Change,
    Document,
    Extension,
    Value,
    extension,
    resolve,
    to_spec,
    with_args,
    with_changes,
    without_args,
)
from net2net_cli.spec.document import with_rename
from net2net_cli.spec.tree import Node, Scalar, Table
from net2net_cli.targets.asked import Factor, factor_of, more_of
from net2net_cli.targets.depth import deepest
from net2net_cli.targets.factors import is_factor, read_factor
from net2net_cli.targets.scaling import Scaling, scale_all
from net2net_cli.targets.sizes import Said, Sizes, argument_changes, said_sizes
from net2net_cli.targets.telling import overruled, rounding, staying


@dataclass(frozen=True)
class Target:
    """A document that extends nothing, and what to say of how its sizes came about."""

    document: Document
    notes: tuple[str, ...] = ()


Changing = Callable[[Document], Sequence[Change]]


def nothing(_: Document) -> Sequence[Change]:
    """No changes."""
    return ()


def whole(said: Document, source: Document | None = None) -> Document:
    """A target with every ``extends`` carried out; ``source`` is the checkpoint's own spec.

    Raises SpecError (exit 2) for what does not fit, UnreachableError (exit 3) for a size that the
    network cannot have.
    """
    return worked_out(said, source).document


def worked_out(said: Document, source: Document | None, more: Changing = nothing) -> Target:
    """``whole``, with what there is to say. ``more`` gives changes that overrule the target's, for
    a document that has all of its layers."""
    notes: list[str] = []

    def extending(target: Document, base: Document) -> Document:
        deep = deepest(base, more_of(target))
        found = extension(target, deep.document)
        added = more(found.document) if target is said else ()
        made = _made(found, (*found.changes, *added), factor_of(target))
        notes.extend((*deep.notes, *made.notes))
        return with_rename(made.document, {**deep.document.rename, **made.document.rename})

    if said.extends is None:
        return _made(Extension(said, said, ()), more(said), None)
    return Target(resolve(said, source, extending), tuple(notes))


def _value(node: Node) -> object:
    return node.value if isinstance(node, Scalar) else node


def _made(found: Extension, changes: Sequence[Change], width: Factor | None) -> Target:
    """The network with its changes made, and sizes that layers share made alike.

    Plain numbers for plain names are taken as they are said where that is a network already: a
    convolution's groups, for one, may stay while its channels grow.
    """
    chosen = _winners(changes)
    plain = not width and not any(c.pattern or is_factor(_value(_node(c))) for c in chosen.values())
    refused: SpecError | None = None
    if plain:
        said = with_changes(found.document, changes)
        try:
            if changes:
                layout_of(to_spec(said))
        except SpecError as error:
            refused = error
        else:
            return Target(said)
    try:
        made = _sized(found, chosen, width, refused)
    except UnreachableError:
        if refused:
            raise refused from None
        raise
    return Target(made.document, (*overruled(changes, chosen.values()), *made.notes))


def _winners(changes: Sequence[Change]) -> dict[tuple[str, str], Change]:
    """For each argument of a layer the change that holds: a full name before patterns, and what
    stands later before what stands earlier."""
    chosen: dict[tuple[str, str], Change] = {}
    for change in sorted(changes, key=lambda change: change.pattern is None):
        for key, node in change.node.entries.items():
            only = Table({key: node}, {key: change.node.at(key)}, change.node.place)
            chosen[change.name, key] = Change(change.name, only, change.place, change.pattern)
    return chosen


def _node(change: Change) -> Node:
    """The value of a winner."""
    return next(iter(change.node.entries.values()))


def _sized(
    found: Extension,
    chosen: Mapping[tuple[str, str], Change],
    width: Factor | None,
    refused: SpecError | None,
) -> Target:
    layout = layout_of(to_spec(found.base))
    said = _said(layout, chosen)
    sizes = said_sizes(layout, said)
    scaling = Scaling({}, {})
    if width:
        scaling = scale_all(layout, width.factor, sizes.of, width.place)
    changed = argument_changes(layout, _all_sizes(sizes, scaling))
    if refused and not any((n, a) not in chosen for n, args in changed.items() for a in args):
        raise refused
    literal = [c for c in chosen.values() if not is_factor(_value(_node(c)))]
    document = with_changes(_followed(found.document, layout, changed), literal)
    return Target(document, (*rounding(sizes, scaling, layout), *staying(scaling, layout)))


def _all_sizes(sizes: Sizes, scaling: Scaling) -> dict[Width, int]:
    return {**{w: size.size for w, size in scaling.sizes.items()}, **sizes.of}


def _said(layout: GraphLayout, chosen: Mapping[tuple[str, str], Change]) -> list[Said]:
    """What is said of sizes; values that are no sizes are left to those who read arguments."""
    said = []
    for (name, argument), change in chosen.items():
        value, place = _value(_node(change)), change.node.at(argument)
        if is_factor(value):
            factor = read_factor(value, f"`{argument}` of `{name}`", place)
            said.append(Said(name, argument, factor, place))
        elif type(value) is int and argument in layout.arguments.get(name, {}):
            said.append(Said(name, argument, value, place))
    return said


def _followed(
    document: Document, layout: GraphLayout, changed: Mapping[str, Mapping[str, Value]]
) -> Document:
    """The document with arguments at their new sizes; those that are inferred are left out, since
    a new layer may stand between."""
    set_: dict[str, dict[str, Value]] = {}
    left: dict[str, list[str]] = {}
    for name, args in changed.items():
        kind = LAYER_TYPES[layout.spec.layer(name).type]
        for argument, value in args.items():
            arg = kind.arg(argument)
            if arg is not None and arg.need == "inferred" and arg.kind == "int":
                left.setdefault(name, []).append(argument)
            else:
                set_.setdefault(name, {})[argument] = value
    return with_args(without_args(document, left), set_)
