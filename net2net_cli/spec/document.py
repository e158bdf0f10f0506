"""A spec as a document: its top-level keys checked, its layers kept as the user wrote them.

What the layers mean is read by ``wiring`` and ``graph``; ``edit`` and ``extend`` change documents,
``dump`` writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from net2net_cli.errors import Place, SpecError, closest
from net2net_cli.spec.located import parse
from net2net_cli.spec.names import check_name
from net2net_cli.spec.tree import (
    Node,
    Scalar,
    Table,
    describe,
    named,
    text_of,
    with_entry,
    without,
)

VERSION = 1
FAMILY_KEYS = ("family", "config")
LAYER_KEYS = ("rename", "input", "layers", "outputs")
GROWTH_KEYS = ("width", "depth")
"""What grows the whole of what a spec extends."""
TOP_KEYS = ("net2net", "extends", "source", "output", *FAMILY_KEYS, *GROWTH_KEYS, *LAYER_KEYS)
"""The keys of a spec, in the order in which they are written."""
MAX_BYTES = 16_000_000


@dataclass(frozen=True)
class Document:
    """One spec. ``root`` holds it all; the other fields are read from it.

    ``extends`` is ``source`` or a file; ``source`` and ``output`` are paths as written, relative to
    the spec; ``rename`` maps names of layers or groups in the source to those that they have here.
    """

    root: Table
    file: str
    extends: str | None = None
    source: str | None = None
    output: str | None = None
    rename: dict[str, str] = field(default_factory=dict)

    @property
    def layers(self) -> Table:
        """The mapping under ``layers:``, empty where there is none."""
        found = self.root.entries.get("layers")
        return found if isinstance(found, Table) else Table({}, {}, self.root.place)

    @property
    def of_family(self) -> bool:
        """Whether it describes a transformer by its family (``net2net_cli.families``)."""
        return any(key in self.root.entries for key in FAMILY_KEYS)

    @property
    def place(self) -> Place:
        """The whole file."""
        return Place(self.file)


def read_document(path: Path) -> Document:
    """The spec in a file. Raises SpecError where it cannot be read."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SpecError(
                f"a spec is a short text, this file has {path.stat().st_size} bytes",
                where=str(path),
                hint="is this the checkpoint? Give a YAML file that describes the network",
            )
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise SpecError("there is no such file", where=str(path), hint=_beside(path)) from None
    except OSError as error:
        reason = (error.strerror or "it cannot be read").lower()
        raise SpecError(
            f"the spec cannot be read: {reason}", where=str(path), hint="give a readable YAML file"
        ) from None
    except UnicodeDecodeError:
        raise SpecError(
            "this is not text", where=str(path), hint="a spec is a YAML file in UTF-8"
        ) from None
    return parse_document(text, str(path))


def parse_document(text: str, file: str) -> Document:
    """The spec in a text; ``file`` is the name that errors show. Raises SpecError."""
    root = parse(text, file)
    if root is None:
        raise SpecError("the spec is empty", where=file, hint=f"begin it with `net2net: {VERSION}`")
    if not isinstance(root, Table):
        raise SpecError(
            f"a spec is a mapping, this is {describe(root)}",
            where=root.place,
            hint="write `net2net: 1`, `input: [...]` and `layers:`, one a line",
        )
    return document(root, file)


def document(root: Table, file: str) -> Document:
    """The document of a tree, its top-level keys checked."""
    _check_keys(root)
    _check_version(root)
    layers = root.entries.get("layers")
    if any(key in root.entries for key in FAMILY_KEYS):
        _check_family(root)
    elif "extends" not in root.entries:
        _check_whole(root)
    if layers is not None and not isinstance(layers, Table):
        raise SpecError(
            f"`layers` maps names to layers, this is {describe(layers)}",
            where=root.at("layers"),
            hint="write `fc1: {type: Linear, out_features: 10}` below it, one layer a line",
        )
    return Document(
        root,
        file,
        extends=_text(root, "extends", "write `extends: source`, or the name of another spec"),
        source=_text(root, "source", "write the path of the checkpoint"),
        output=_text(root, "output", "write the path of the file to write"),
        rename=_rename(root.entries.get("rename")),
    )


def network_only(doc: Document) -> Document:
    """The document without ``source``, ``output`` and ``rename``: what the network is, no paths."""
    return without_keys(doc, "source", "output", "rename")


def without_keys(doc: Document, *keys: str) -> Document:
    """The document without some of its top-level keys."""
    return document(without(doc.root, *keys), doc.file)


def with_rename(doc: Document, names: Mapping[str, str]) -> Document:
    """The document that says which names of its source have which names in it."""
    kept = without(doc.root, "rename")
    if names:
        entries = {old: named(new, doc.place) for old, new in names.items()}
        kept = with_entry(kept, "rename", Table(entries, {}, doc.place))
    return document(kept, doc.file)


def _check_keys(root: Table) -> None:
    for key in root.entries:
        if key not in TOP_KEYS:
            near = closest(key, list(TOP_KEYS))
            raise SpecError(
                f"a spec has no key `{key}`",
                where=root.at(key),
                hint=near or f"its keys are {', '.join(TOP_KEYS)}; layers stand below `layers:`",
            )


def _check_family(root: Table) -> None:
    for key in (*GROWTH_KEYS, *LAYER_KEYS):
        if key in root.entries:
            raise SpecError(
                f"a spec has `family` and `config`, or `{key}`, not both",
                where=root.at(key),
                hint="a transformer's layers follow from its config",
            )


def _check_whole(root: Table) -> None:
    for key in GROWTH_KEYS:
        if key in root.entries:
            raise SpecError(
                f"`{key}` grows what a spec extends, and this one extends nothing",
                where=root.at(key),
                hint="write `extends: source` for the checkpoint's own spec",
            )
    if "layers" not in root.entries:
        raise SpecError("the spec has no `layers`", where=root.place, hint="add `layers:`")


def _check_version(root: Table) -> None:
    node = root.entries.get("net2net")
    if node is None:
        raise SpecError(
            "the spec does not say its version",
            where=root.place,
            hint=f"begin it with `net2net: {VERSION}`",
        )
    if not isinstance(node, Scalar) or type(node.value) is not int or node.value != VERSION:
        raise SpecError(
            f"the version of the spec is {describe(node)}; this program reads version {VERSION}",
            where=root.at("net2net"),
            hint=f"write `net2net: {VERSION}`, or use a newer program",
        )


def _text(root: Table, key: str, remedy: str) -> str | None:
    node = root.entries.get(key)
    return None if node is None else text_of(node, f"`{key}`", remedy)


def _rename(node: Node | None) -> dict[str, str]:
    if node is None:
        return {}
    if not isinstance(node, Table):
        raise SpecError(
            f"`rename` maps names to names, this is {describe(node)}",
            where=node.place,
            hint="write `rename: {old_name: new_name}`",
        )
    for key, value in node.entries.items():
        check_name(key, node.at(key))
        if not isinstance(value, Scalar) or not value.text:
            raise SpecError(
                f"`{key}` must be renamed to a name, not {describe(value)}",
                where=node.at(key),
                hint="write `old_name: new_name`",
            )
    return {key: value.text for key, value in node.entries.items() if isinstance(value, Scalar)}


def _beside(path: Path) -> str:
    names = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    return closest(path.name, names) or "look at the path; it is relative to this folder"
