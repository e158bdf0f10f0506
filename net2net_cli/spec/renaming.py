"""Members of a group under other names: their keys, and all that refers to them by name.

What refers to a layer (``inputs:``, ``outputs:``, ``share:``) says its name relative to the groups
around it, so that each is looked up before, and written so that it is found again afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from net2net_cli.errors import Place, SpecError
from net2net_cli.spec.document import Document, document
from net2net_cli.spec.graph import to_spec
from net2net_cli.spec.names import find, join, scopes_of
from net2net_cli.spec.sharing import tensor_names
from net2net_cli.spec.tree import Items, Node, Scalar, Table, named, with_entry
from net2net_cli.spec.walk import is_layer, is_new_scope
from net2net_cli.spec.wiring import wire

Scopes = tuple[str, ...]


@dataclass(frozen=True)
class Renames:
    """New names for members of one group (``""``: the top level); all hold at once, so that
    members may swap their names."""

    group: str
    members: Mapping[str, str]

    def of(self, name: str) -> str:
        """The new full name of a layer, group, tensor or network input."""
        if self.group and not name.startswith(f"{self.group}."):
            return name
        rest = name[len(self.group) + 1 :] if self.group else name
        member, dot, inner = rest.partition(".")
        return join(self.group, self.members.get(member, member) + dot + inner)


def renamed(doc: Document, renames: Renames) -> Document:
    """The same network with other names; ``doc`` extends nothing.

    Raises SpecError where a new name is taken, or where it hides one that a layer in it reads.
    """
    work = _work(doc, renames)
    root = with_entry(doc.root, "layers", _chain(work, doc.layers, "", ("",)))
    if "outputs" in root.entries:
        outputs = _referring(work, root.entries["outputs"], ("",), work.values)
        root = with_entry(root, "outputs", outputs)
    if isinstance(table := root.entries.get("rename"), Table):
        entries = {old: _to(renames.of(_text(new)), new) for old, new in table.entries.items()}
        root = with_entry(root, "rename", Table(entries, table.places, table.place))
    found = document(root, doc.file)
    wire(found)  # refuses names that stand twice
    return found


@dataclass(frozen=True)
class _Names:
    """Names of one sort before and after: what a reference is looked up among."""

    before: frozenset[str]
    after: frozenset[str]


@dataclass(frozen=True)
class _Work:
    """``values`` can be read, ``layers`` and ``tensors`` can be shared."""

    renames: Renames
    values: _Names
    layers: _Names
    tensors: _Names


def _work(doc: Document, renames: Renames) -> _Work:
    wiring = wire(doc)
    values = frozenset({*wiring.entries, *wiring.ends, *wiring.network_inputs})
    tensors = tensor_names(to_spec(doc).layers)
    sorts = (values, frozenset(wiring.entries), tensors)
    return _Work(renames, *(_Names(s, frozenset(map(renames.of, s))) for s in sorts))


def _chain(work: _Work, table: Table, prefix: str, scopes: Scopes) -> Table:
    """The members of a group, a branch or the top level; ``scopes`` are those of its `inputs:`."""
    entries, places = {}, {}
    for key, node in table.entries.items():
        if is_new_scope(key, node):
            name = join(prefix, key)
            new_key, new = _key(work, prefix, key), _member(work, name, node)
        else:
            new_key, new = key, _referring(work, node, scopes, work.values)
        _refuse_twice(join(prefix, new_key), taken=new_key in entries, place=table.at(key))
        entries[new_key], places[new_key] = new, table.at(key)
    return Table(entries, places, table.place)


def _key(work: _Work, prefix: str, key: str) -> str:
    new, above = work.renames.of(join(prefix, key)), work.renames.of(prefix)
    return new[len(above) + 1 :] if above else new


def _member(work: _Work, name: str, node: Node) -> Node:
    if not isinstance(node, Table):
        return node
    if not is_layer(node):
        return _chain(work, node, name, scopes_of(name))
    new: dict[str, Node] = {}
    if (said := node.entries.get("inputs")) is not None:
        new["inputs"] = _referring(work, said, scopes_of(name), work.values)
    if (said := node.entries.get("share")) is not None:
        new["share"] = _sharing(work, said, scopes_of(name))
    if (said := node.entries.get("branches")) is not None:
        new["branches"] = _branches(work, said, name)
    return Table({**node.entries, **new}, node.places, node.place)


def _branches(work: _Work, node: Node, name: str) -> Node:
    """Branches name their layers after themselves, or in a list after their container."""
    scopes = (name, *scopes_of(name))
    if isinstance(node, Items):
        listed = (_chain(work, b, name, scopes) if isinstance(b, Table) else b for b in node.items)
        return Items(tuple(listed), node.place)
    if not isinstance(node, Table):
        return node
    entries, places = {}, {}
    for key, branch in node.entries.items():
        new_key = _key(work, name, key)
        _refuse_twice(join(name, new_key), taken=new_key in entries, place=node.at(key))
        entries[new_key] = (
            _chain(work, branch, join(name, key), scopes) if isinstance(branch, Table) else branch
        )
        places[new_key] = node.at(key)
    return Table(entries, places, node.place)


def _refuse_twice(name: str, *, taken: bool, place: Place) -> None:
    if taken:
        raise SpecError(
            f"there would be two layers or groups named {name}",
            where=place,
            hint="give one of them another name",
        )


def _sharing(work: _Work, node: Node, scopes: Scopes) -> Node:
    """``share:`` names a layer, or a tensor for each of the layer's own."""
    if not isinstance(node, Table):
        return _referring(work, node, scopes, work.layers)
    entries = {key: _referring(work, v, scopes, work.tensors) for key, v in node.entries.items()}
    return Table(entries, node.places, node.place)


def _referring(work: _Work, node: Node, scopes: Scopes, names: _Names) -> Node:
    """A name or a list of names, so that each leads where it led."""
    if isinstance(node, Items):
        items = tuple(_referring(work, item, scopes, names) for item in node.items)
        return Items(items, node.place)
    text = _text(node)
    name = find(text, scopes, names.before)
    if name is None:
        return node
    new, around = work.renames.of(name), tuple(map(work.renames.of, scopes))
    scope = next(s for s in scopes if join(s, text) == name)
    relative = _key(work, scope, text)
    for said in (relative, new):
        if find(said, around, names.after) == new:
            return _to(said, node)
    raise SpecError(
        f"`{text}` would mean another layer where it is said",
        where=node.place,
        hint="give the new layer a name of its own",
    )


def _text(node: Node) -> str:
    return node.text if isinstance(node, Scalar) else ""


def _to(text: str, node: Node) -> Node:
    """The node with another text; the same where it says that already."""
    return node if _text(node) == text else named(text, node.place)
