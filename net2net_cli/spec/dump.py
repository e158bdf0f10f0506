"""A document as YAML text that a person can edit: one layer a line, groups and branches indented.

What is written parses to the same graph: names that look like numbers or words of YAML stay names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from net2net_cli.spec.document import TOP_KEYS, Document
from net2net_cli.spec.located import resolve
from net2net_cli.spec.tree import Items, Node, Scalar, Table
from net2net_cli.spec.walk import is_layer

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_COUNT = re.compile(r"0|[1-9][0-9]{0,9}")
_WORDS = ("y", "n", "yes", "no", "on", "off")
"""Words that YAML 1.1 takes for true and false; quoted, so that every reader sees text."""
_INDENT = "  "


def dump(doc: Document) -> str:
    """The document as YAML; ``parse_document`` reads the same network from it. Deterministic."""
    lines: list[str] = []
    for key in TOP_KEYS:
        node = doc.root.entries.get(key)
        if isinstance(node, Table) and key == "layers":
            lines += _block(key, node, "")
        elif node is not None:
            lines.append(f"{key}: {_flow(node)}")
    return "\n".join(lines) + "\n"


def _block(key: str, table: Table, indent: str) -> Iterator[str]:
    """A mapping with one member a line."""
    if not table.entries:
        yield f"{indent}{_name(key)}: {{}}"
        return
    yield f"{indent}{_name(key)}:"
    yield from _members(table, indent + _INDENT)


def _members(table: Table, indent: str) -> Iterator[str]:
    for key, node in _type_first(table):
        if isinstance(node, Table) and not _fits_a_line(node):
            yield from _block(key, node, indent)
        elif isinstance(node, Items) and key == "branches":
            yield f"{indent}branches:"
            for branch in node.items:
                yield from _dashed(branch, indent + _INDENT)
        else:
            yield f"{indent}{_name(key)}: {_flow(node)}"


def _dashed(branch: Node, indent: str) -> Iterator[str]:
    """A member of a list of branches: a dash, and its layers below one another."""
    if not isinstance(branch, Table) or not branch.entries:
        yield f"{indent}- {_flow(branch)}"
        return
    first, *rest = _members(branch, indent + _INDENT)
    yield f"{indent}- {first.strip()}"
    yield from rest


def _fits_a_line(table: Table) -> bool:
    """Whether an entry is written in one line: a layer without branches, or a change of one."""
    if is_layer(table):
        return "branches" not in table.entries
    return not any(
        (isinstance(node, Table) and key != "share") or key == "branches"
        for key, node in table.entries.items()
    )


def _type_first(table: Table) -> list[tuple[str, Node]]:
    entries = list(table.entries.items())
    if is_layer(table):
        entries.sort(key=lambda entry: entry[0] != "type")
    return entries


def _flow(node: Node) -> str:
    match node:
        case Items():
            return f"[{', '.join(_flow(item) for item in node.items)}]"
        case Table():
            inner = (f"{_name(key)}: {_flow(value)}" for key, value in _type_first(node))
            return f"{{{', '.join(inner)}}}"
        case Scalar(value=str()):
            return _text(node.text)
        case Scalar():
            return node.text or "null"


def _name(key: str) -> str:
    """A key, so that its text is read back as it is."""
    return key if _COUNT.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    """A string, quoted where it would be read as something else."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS and isinstance(resolve(text), str):
        return text
    return f'"{"".join(_escaped(c) for c in text)}"'


def _escaped(c: str) -> str:
    if c in '"\\':
        return f"\\{c}"
    if c.isprintable() and c != "\ufeff":
        return c
    code = ord(c)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
