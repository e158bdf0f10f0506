"""Arguments of layers changed in place, so that a document stays as its author wrote it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from net2net_cli.errors import Place, SpecError, closest
from net2net_cli.layers.table import LAYER_TYPES, LayerType
from net2net_cli.network import Value
from net2net_cli.spec.arguments import check_keys
from net2net_cli.spec.document import Document, document
from net2net_cli.spec.tree import (
    Table,
    from_plain,
    replaced_table,
    table_at,
    with_entry,
    without,
)
from net2net_cli.spec.wiring import walked


def with_args(doc: Document, changes: Mapping[str, Mapping[str, Value]]) -> Document:
    """The document with arguments of layers set, by the layers' full names.

    Raises SpecError for a layer or an argument that does not exist; values are checked by
    ``to_spec``.
    """
    entries = walked(doc)
    root = doc.root
    for name, args in changes.items():
        if name not in entries:
            raise no_layer(name, entries, doc.place)
        entry = entries[name]
        kind = LAYER_TYPES[entry.type]
        table = table_at(root, entry.path)
        for key, value in args.items():
            table = with_entry(table, key, from_plain(short(kind, key, value), entry.place))
        check_keys(name, kind, table)
        root = replaced_table(root, entry.path, table)
    return document(root, doc.file)


def without_args(doc: Document, names: Mapping[str, Collection[str]]) -> Document:
    """The document in which layers do not say some of their arguments, which are inferred."""
    entries = walked(doc)
    root = doc.root
    for name, keys in names.items():
        path = entries[name].path
        root = replaced_table(root, path, without(table_at(root, path), *keys))
    return document(root, doc.file)


def short(kind: LayerType, name: str, value: object) -> object:
    """A value as a person writes it: one number where all axes have the same."""
    arg = kind.arg(name)
    sizes = arg is not None and arg.kind in ("size", "padding", "pads", "scale") and kind.rank > 0
    if sizes and isinstance(value, (list, tuple)) and len(set(value)) == 1:
        return value[0]
    return value


def shortened(node: Mapping[str, object]) -> dict[str, object]:
    """A plain entry, with all layers in it, as a person writes it."""
    kind = LAYER_TYPES.get(str(node.get("type")))
    found: dict[str, object] = {}
    for key, value in node.items():
        if isinstance(value, Mapping):
            found[key] = shortened(value)
        elif isinstance(value, (list, tuple)) and key == "branches":
            found[key] = [shortened(b) if isinstance(b, Mapping) else b for b in value]
        else:
            found[key] = short(kind, key, value) if kind else value
    return found


def no_layer(name: str, known: Iterable[str], place: Place) -> SpecError:
    """The error for a layer that does not exist, naming the nearest."""
    names = list(known)
    more = ", ..." if len(names) > 6 else ""
    return SpecError(
        f"there is no layer `{name}`",
        where=place,
        hint=closest(name, names) or f"there are {', '.join(names[:6])}{more}",
    )


def plain_entry(entry: Mapping[str, object], place: Place) -> Table:
    """The tree of an entry given as plain data; all of it stands at ``place``."""
    node = from_plain(shortened(entry), place)
    assert isinstance(node, Table)
    return node
