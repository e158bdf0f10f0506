"""The tree of a spec: plain data in which every value knows where a user wrote it.

Trees are immutable; an edit copies the path from the root to the place that changes, so that
values which an anchor shares in the text do not change together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from net2net_cli.errors import Place, SpecError
from net2net_cli.spec.names import is_number

Plain = None | bool | int | float | str


@dataclass(frozen=True)
class Scalar:
    """One value; ``text`` is how it was written (``0123``, ``1e-5``), which is what names go by."""

    value: Plain
    text: str = field(compare=False)
    place: Place = field(compare=False)


@dataclass(frozen=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    place: Place = field(compare=False)


@dataclass(frozen=True)
class Table:
    """A mapping in the order written; ``places`` says where each key stands."""

    entries: Mapping[str, Node]
    places: Mapping[str, Place] = field(compare=False)
    place: Place = field(compare=False)

    def at(self, key: str) -> Place:
        """Where the key stands, or the mapping itself where it does not have that key."""
        return self.places.get(key, self.place)


Node = Scalar | Items | Table
Path = tuple[str | int, ...]
"""Keys and list positions that lead from a root to a node."""


def scalar(value: Plain, place: Place) -> Scalar:
    """A scalar that nobody wrote by hand, as a person would have written it."""
    match value:
        case None:
            text = "null"
        case bool():
            text = "true" if value else "false"
        case float():
            text = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(repr(value), repr(value))
        case _:
            text = str(value)
    return Scalar(value, text, place)


def named(name: str, place: Place) -> Scalar:
    """A name that nobody wrote by hand; YAML needs no quotes around one that is a number."""
    return Scalar(int(name) if is_number(name) else name, name, place)


def from_plain(value: object, place: Place) -> Node:
    """A tree from dicts, lists, tuples and scalars; TypeError for anything else."""
    if isinstance(value, Mapping):
        entries = {str(key): from_plain(entry, place) for key, entry in value.items()}
        return Table(entries, dict.fromkeys(entries, place), place)
    if isinstance(value, (list, tuple)):
        return Items(tuple(from_plain(item, place) for item in value), place)
    if value is None or isinstance(value, (bool, int, float, str)):
        return scalar(value, place)
    raise TypeError(f"a spec cannot hold {value!r}")


def to_plain(node: Node) -> Any:
    """Dicts, lists and scalars from a tree."""
    match node:
        case Scalar():
            return node.value
        case Items():
            return [to_plain(item) for item in node.items]
        case Table():
            return {key: to_plain(value) for key, value in node.entries.items()}


def child(node: Node, step: str | int) -> Node:
    """The node that a key or a list position leads to; KeyError or IndexError when none does."""
    match node:
        case Table() if isinstance(step, str):
            return node.entries[step]
        case Items() if isinstance(step, int):
            return node.items[step]
        case _:
            raise KeyError(step)


def node_at(root: Node, path: Path) -> Node:
    """The node at the end of a path."""
    for step in path:
        root = child(root, step)
    return root


def table_at(root: Node, path: Path) -> Table:
    """The mapping at the end of a path; KeyError when something else stands there."""
    found = node_at(root, path)
    if not isinstance(found, Table):
        raise KeyError(path)
    return found


def replaced(root: Node, path: Path, new: Node) -> Node:
    """The tree with another node at the end of the path."""
    if not path:
        return new
    step, rest = path[0], path[1:]
    if isinstance(root, Table) and isinstance(step, str):
        return with_entry(root, step, replaced(root.entries[step], rest, new))
    if isinstance(root, Items) and isinstance(step, int):
        items = list(root.items)
        items[step] = replaced(items[step], rest, new)
        return Items(tuple(items), root.place)
    raise KeyError(step)


def replaced_table(root: Table, path: Path, new: Table) -> Table:
    """``replaced`` for a mapping inside a mapping."""
    found = replaced(root, path, new)
    assert isinstance(found, Table)
    return found


def with_entry(table: Table, key: str, value: Node) -> Table:
    """The mapping with one entry set: in its place where the key exists, else at the end."""
    places = dict(table.places)
    places.setdefault(key, value.place)
    return Table({**table.entries, key: value}, places, table.place)


def without(table: Table, *keys: str) -> Table:
    """The mapping without those keys."""
    kept = {key: value for key, value in table.entries.items() if key not in keys}
    return Table(kept, {key: table.at(key) for key in kept}, table.place)


def with_entries_after(table: Table, key: str | None, new: Mapping[str, Node]) -> Table:
    """The mapping with entries put behind ``key`` (None: in front)."""
    entries: dict[str, Node] = {} if key is not None else dict(new)
    for name, value in table.entries.items():
        entries[name] = value
        if name == key:
            entries.update(new)
    places = {name: table.places.get(name, value.place) for name, value in entries.items()}
    return Table(entries, places, table.place)


def describe(node: Node) -> str:
    """What stands there, for a message: ``a list``, ``a mapping``, ``"text"``, ``3``."""
    match node:
        case Items():
            return "a list"
        case Table():
            return "a mapping"
        case Scalar(value=None):
            return "nothing" if not node.text else f"`{node.text}`"
        case Scalar():
            text = node.text if len(node.text) <= 40 else node.text[:37] + "..."
            return f"`{text}`" if not isinstance(node.value, str) else f'"{text}"'


def text_of(node: Node, what: str, remedy: str) -> str:
    """The text of a scalar that must be one; SpecError otherwise."""
    if isinstance(node, Scalar) and isinstance(node.value, str) and node.value:
        return node.value
    raise SpecError(f"{what} must be text, not {describe(node)}", where=node.place, hint=remedy)
