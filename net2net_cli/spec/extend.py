"""``extends``: a target written as what changes in another spec, carried out on that spec.

New entries are inserted first, in the order written; then arguments change. What comes out is an
ordinary document in which the base's groups and branches stand as they were written. A change is
for one layer, or for all whose names a pattern fits (``patterns``); what its values mean, where
they are no plain ones, is ``net2net_cli.targets``' subject.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from net2net_cli.errors import Place, SpecError, closest
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.spec.arguments import check_keys
from net2net_cli.spec.document import Document, document, network_only
from net2net_cli.spec.insertion import insert
from net2net_cli.spec.names import check_name, join, scopes_of
from net2net_cli.spec.patterns import fitting, is_pattern
from net2net_cli.spec.tree import (
    Items,
    Node,
    Scalar,
    Table,
    describe,
    replaced_table,
    table_at,
    with_entry,
    without,
)
from net2net_cli.spec.walk import Entry, Ref, is_layer
from net2net_cli.spec.wiring import Wiring, value_of, walked, wire


@dataclass(frozen=True)
class Change:
    """New values for arguments of an existing layer; ``pattern`` is the one that it fits, if the
    layer was not named in full."""

    name: str
    node: Table
    place: Place
    pattern: str | None = None


@dataclass(frozen=True)
class Extension:
    """The base (with the target's own input), the same with the target's new entries in it, and the
    changes that are still to be made."""

    base: Document
    document: Document
    changes: tuple[Change, ...]


def extend(target: Document, base: Document) -> Document:
    """The base with the target's changes: a document that extends nothing.

    ``source``, ``output`` and ``rename`` are the target's; ``input`` and ``outputs`` too where it
    has them. Raises SpecError with the line of the change that does not fit.
    """
    found = extension(target, base)
    return with_changes(found.document, found.changes)


def extension(target: Document, base: Document) -> Extension:
    """``extend`` without the changes of arguments, which are returned in the order written."""
    root = network_only(base).root
    if "input" in target.root.entries:
        root = _taken_over(root, target.root, "input")
    before = document(root, target.file)
    state = _State(wire(before))
    state.known = tuple(state.wiring.entries)
    _apply(state, target.layers, "")
    state.settle()
    root = state.wiring.doc.root
    for key in ("source", "output", "rename", "outputs"):
        if key in target.root.entries:
            root = _taken_over(root, target.root, key)
    doc = document(Table(root.entries, root.places, target.root.place), target.file)
    return Extension(before, doc, tuple(state.changes))


def with_changes(doc: Document, changes: Iterable[Change]) -> Document:
    """The document with arguments set. A layer that is named in full overrules patterns, and what
    stands later overrules what stands before."""
    entries = walked(doc)
    root = doc.root
    for change in sorted(changes, key=lambda change: change.pattern is None):
        path = entries[change.name].path
        table = table_at(root, path)
        found = {**table.entries, **change.node.entries}
        places = {**table.places, **change.node.places}
        root = replaced_table(root, path, Table(found, places, table.place))
    return document(root, doc.file)


@dataclass
class _State:
    """The document so far.

    ``run`` holds new entries of one group that follow one another and wait to be put behind
    ``value``; ``last`` is the new entry just before, if one was; ``known`` are the base's layers.
    """

    wiring: Wiring
    last: str | None = None
    value: str = ""
    run: dict[str, Table] = field(default_factory=dict)
    known: tuple[str, ...] = ()
    changes: list[Change] = field(default_factory=list)
    claims: dict[str, str] = field(default_factory=dict)

    def settle(self) -> None:
        """Put the entries that wait into the document: what comes next is none of their run."""
        if self.run:
            self.wiring = insert(self.wiring, self.value, self.run)
        self.run = {}


def _taken_over(root: Table, other: Table, key: str) -> Table:
    changed = with_entry(root, key, other.entries[key])
    return Table(changed.entries, {**changed.places, key: other.at(key)}, root.place)


def _apply(state: _State, table: Table, prefix: str) -> None:
    """Carry out the changes below a prefix."""
    for key, node in table.entries.items():
        check_name(key, table.at(key))
        name = join(prefix, key)
        if is_pattern(key) and name not in {*state.wiring.entries, *state.wiring.ends}:
            state.settle()
            state.last = None
            state.changes += _fitting(state, name, node, table.at(key))
        else:
            _apply_one(state, name, node, table.at(key))


def _fitting(state: _State, pattern: str, node: Node, place: Place) -> list[Change]:
    """The changes of all layers that a pattern fits, and that have one of its arguments."""
    if not isinstance(node, Table):
        raise _not_a_change(state.wiring, pattern, node, place)
    if "after" in node.entries:
        raise SpecError(
            f"`{pattern}` is a pattern, which adds no layers",
            where=node.at("after"),
            hint="name each new layer",
        )
    deeper = [key for key, value in node.entries.items() if isinstance(value, Table)]
    found = [
        change
        for key in deeper
        for change in _fitting(state, join(pattern, key), node.entries[key], node.at(key))
    ]
    own = without(node, "type", *deeper)
    if not own.entries and deeper:
        return found
    said = node.entries.get("type")
    layers = [state.wiring.entries[name] for name in fitting(pattern, state.known, place)]
    if isinstance(said, Scalar):
        layers = [entry for entry in layers if entry.type == said.text]
    for key in own.entries:
        having = [entry for entry in layers if LAYER_TYPES[entry.type].arg(key)]
        if not having:
            raise _nowhere(pattern, key, layers, own.at(key))
        only = Table({key: own.entries[key]}, {key: own.at(key)}, own.place)
        found += [Change(entry.name, only, own.at(key), pattern) for entry in having]
    return found


def _nowhere(pattern: str, key: str, layers: list[Entry], place: Place) -> SpecError:
    known = {arg.name: None for entry in layers for arg in LAYER_TYPES[entry.type].args}
    return SpecError(
        f"no layer that `{pattern}` fits has an argument `{key}`",
        where=place,
        hint=closest(key, list(known)) or f"their arguments are {', '.join(known)}"
        if known
        else "give it an argument that changes, as in `{out_channels: x1.5}`",
    )


def _apply_one(state: _State, name: str, node: Node, place: Place) -> None:
    if any(name == new or name.startswith(f"{new}.") for new in state.run):
        state.settle()
    wiring = state.wiring
    if not isinstance(node, Table):
        raise _not_a_change(wiring, name, node, place)
    if name in wiring.entries:
        _apply_to_layer(state, name, node, place)
    elif is_layer(node) or isinstance(node.entries.get("after"), Scalar):
        _apply_new(state, name, node, place)
    elif name in wiring.ends or any(known.startswith(f"{name}.") for known in wiring.entries):
        _apply(state, node, name)
    elif state.last is not None and _holds_layers(node):
        _apply_new(state, name, node, place)
    else:
        raise _unknown(wiring, name, node, place)


def _apply_to_layer(state: _State, name: str, node: Table, place: Place) -> None:
    """Note the new arguments of a layer; go down into what stands below a container."""
    state.settle()
    state.last = None
    entry = state.wiring.entries[name]
    kind = LAYER_TYPES[entry.type]
    said = node.entries.get("type")
    if isinstance(said, Scalar) and said.text != entry.type:
        raise SpecError(
            f"{entry.name} is a {entry.type} and cannot become a {said.text}",
            where=node.at("type"),
            hint="change its arguments only, or add a new layer under another name",
        )
    if "after" in node.entries:
        raise SpecError(
            f"{entry.name} exists already and cannot be moved: `after` is for new layers",
            where=node.at("after"),
            hint="remove `after`, or give the new layer another name",
        )
    inner = {
        key
        for key, value in node.entries.items()
        if isinstance(value, Table) and key != "share" and not kind.arg(key)
    }
    own = without(node, "type", *inner, "branches")
    check_keys(entry.name, kind, own)
    if own.entries:
        state.changes.append(Change(entry.name, own, place))
    if "branches" in node.entries:
        _apply_branches(state, entry, node.entries["branches"], node.at("branches"))
    for key in node.entries:
        if key in inner - {"branches"}:
            _apply_one(state, join(entry.name, key), node.entries[key], node.at(key))


def _apply_branches(state: _State, entry: Entry, node: Node, place: Place) -> None:
    """Go down into the branches that exist, add those that do not."""
    there = entry.node.entries.get("branches")
    listed = isinstance(there, Items)
    if there is None:
        raise SpecError(
            f"{entry.name} ({entry.type}) has no branches that could be added to",
            where=place,
            hint="change its `inputs:`, or add a Concat, Add or Multiply with branches",
        )
    if isinstance(node, Scalar) or (isinstance(node, Items) and not listed):
        raise SpecError(
            f"the branches of {entry.name} are a mapping, this is {describe(node)}",
            where=place,
            hint="name each new branch: `branches: {new: {...}}`",
        )
    if isinstance(node, Items):
        for branch in node.items:
            _add_branch(state, entry.name, None, branch, branch.place)
        return
    for key, branch in node.entries.items():
        check_name(key, node.at(key))
        name = join(entry.name, key)
        wiring = state.wiring
        known = name in wiring.ends or any(n.startswith(f"{name}.") for n in wiring.entries)
        if name in wiring.entries or (known and isinstance(branch, Table) and branch.entries):
            _apply_one(state, name, branch, node.at(key))
        elif listed:
            inner = branch if not _is_empty(branch) else None
            wrapped = Table({key: branch} if inner else {}, {key: node.at(key)}, branch.place)
            _add_branch(state, entry.name, None, wrapped, node.at(key))
        else:
            _add_branch(state, entry.name, key, branch, node.at(key))


def _is_empty(node: Node) -> bool:
    return isinstance(node, Table) and not node.entries


def _add_branch(state: _State, container: str, key: str | None, branch: Node, place: Place) -> None:
    state.settle()
    state.last = None
    doc, path = state.wiring.doc, state.wiring.entries[container].path
    table = table_at(doc.root, path)
    branches = table.entries["branches"]
    if isinstance(branches, Items):
        branches = Items((*branches.items, branch), branches.place)
    elif isinstance(branches, Table) and key is not None:
        branches = Table({**branches.entries, key: branch}, {**branches.places, key: place},
                         branches.place)  # fmt: skip
    root = replaced_table(doc.root, path, with_entry(table, "branches", branches))
    state.wiring = wire(document(root, doc.file))


def _apply_new(state: _State, name: str, node: Table, place: Place) -> None:
    """Let a new entry wait for its run, behind what its `after:` names or the new one before it."""
    group = name.rpartition(".")[0]
    if "after" in node.entries:
        state.settle()
        state.value = _claimed(state, name, node)
    elif state.last is None:
        near = closest(name, [*state.wiring.entries, *state.wiring.ends])
        raise SpecError(
            f"{name} is new, and does not say where it goes",
            where=place,
            hint=f"add `after: NAME`{', or ' + near if near else ''}",
        )
    elif state.last.rpartition(".")[0] != group:
        state.settle()
        state.value = value_of(state.wiring, Ref(state.last, ("",), place))
    state.run[name] = without(node, "after")
    state.last = name


def _claimed(state: _State, name: str, node: Table) -> str:
    """The value that a new entry's `after:` names; no two may name the same."""
    said = node.entries["after"]
    if not isinstance(said, Scalar) or not said.text:
        raise SpecError(
            f"`after` of {name} must be a name, not {describe(said)}",
            where=node.at("after"),
            hint="write `after: NAME` with the name of a layer, a group or an input",
        )
    ref = Ref(said.text, scopes_of(name), node.at("after"))
    value = value_of(state.wiring, ref, f"{name} is to stand after")
    if value in state.claims:
        raise SpecError(
            f"{state.claims[value]} and {name} both stand after {value}",
            where=ref.place,
            hint=f"say which comes first: `after: {state.claims[value]}`",
        )
    state.claims[value] = name
    return value


def _holds_layers(node: Table) -> bool:
    """Whether a mapping is a group: it has members, and the first layers in it say their types."""
    members = [value for value in node.entries.values() if isinstance(value, Table)]
    return bool(members) and all(is_layer(m) or _holds_layers(m) for m in members)


def _not_a_change(wiring: Wiring, name: str, node: Node, place: Place) -> SpecError:
    group, _, key = name.rpartition(".")
    if group in wiring.ends and name not in wiring.entries:
        inner = [known for known in wiring.entries if known.startswith(f"{group}.")]
        return SpecError(
            f"{group} is a group of layers and has no `{key}`",
            where=place,
            hint=f"name the layer to change, as in `{inner[0]}: {{argument: value}}`",
        )
    return SpecError(
        f"{name} maps arguments to values, this is {describe(node)}",
        where=place,
        hint=f"write `{name}: {{argument: value}}`",
    )


def _unknown(wiring: Wiring, name: str, node: Table, place: Place) -> SpecError:
    near = closest(name, [*wiring.entries, *wiring.ends])
    return SpecError(
        f"there is no layer `{name}` to change" if node.entries else f"{name} is empty",
        where=place,
        hint=near or "a new layer says its `type:` and `after: NAME`",
    )
