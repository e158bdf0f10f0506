"""YAML read into a tree in which every value knows its line.

PyYAML's events are taken as they come, and what YAML 1.1 makes of them is mended: ``1e-5`` is a
number, ``no`` and ``off`` are text, ``0123`` is 123 and not octal, a duplicate key is an error and
not silently the last one, an alias cannot blow up and no nesting overflows the stack. Anchors and
merges (``<<``) are as in YAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from net2net_cli.errors import Place, SpecError, UsageError
from net2net_cli.spec.tree import Items, Node, Plain, Scalar, Table, to_plain

MAX_DEPTH = 100
MAX_VALUES = 200_000
"""Bounds on what a text may describe once its aliases are followed; a large network has a tenth."""
MAX_DIGITS = 18

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?[0-9][0-9_]*")
_BASED = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL: dict[str, Plain] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{f"{sign}{text}": float(f"{sign}inf") for sign in ("", "+", "-")
       for text in (".inf", ".Inf", ".INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}  # fmt: skip
_STR_TAGS = ("tag:yaml.org,2002:str", "!")
_PLAIN_TAGS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "null"))


@dataclass
class _Reader:
    """What is read so far: the events to come, the anchors, and the size of each finished node."""

    file: str
    events: Iterator[Any]
    anchors: dict[str, Node] = field(default_factory=dict)
    extents: dict[int, tuple[int, int]] = field(default_factory=dict)
    merged: int = 0

    def place(self, event: Any) -> Place:
        return Place(self.file, event.start_mark.line + 1)


def parse(text: str, file: str) -> Node | None:
    """The tree of one YAML document, None where the text holds nothing.

    ``file`` is the name that errors show. Raises SpecError, with the line.
    """
    reader = _Reader(file, iter(yaml.parse(text, Loader=_LOADER)))
    try:
        return _document(reader)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, file) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1 if isinstance(error.position, int) else 0
        raise SpecError(
            f"this is not text: {error.reason}",
            where=Place(file, line),
            hint="a spec is a YAML file in UTF-8",
        ) from None
    except UnicodeError:
        raise SpecError("this is not text", where=file, hint="a spec is UTF-8 text") from None


def parse_value(text: str, file: str) -> Any:
    """The value of one YAML document as plain data; as ``parse``."""
    node = parse(text, file)
    return None if node is None else to_plain(node)


def value_of(key: str, text: str) -> Any:
    """The value of a ``--set key=text``; UsageError where the text is no value."""
    try:
        return parse_value(text, f"--set {key}")
    except SpecError:
        raise UsageError(f"--set {key}: `{text}` is no value") from None


def resolve(text: str) -> Plain:
    """The value of an unquoted scalar; ValueError for a number too long to mean a size."""
    if text in _SPECIAL:
        return _SPECIAL[text]
    if _INT.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise ValueError(f"a number of {len(text)} digits")
        return int(text.replace("_", ""))
    if _BASED.fullmatch(text) and len(text) <= MAX_DIGITS:
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


def _document(reader: _Reader) -> Node | None:
    root: Node | None = None
    seen = False
    for event in reader.events:
        if isinstance(event, yaml.DocumentStartEvent):
            if seen:
                raise SpecError(
                    "a second document (`---`) begins here",
                    where=reader.place(event),
                    hint="a spec is one YAML document: put the second one in its own file",
                )
            seen = True
        elif isinstance(event, yaml.NodeEvent):
            root = _node(reader, event, 1)
    if isinstance(root, Scalar) and root.value is None:
        return None
    return root


def _node(reader: _Reader, event: Any, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise _too_deep(reader.place(event))
    if isinstance(event, yaml.AliasEvent):
        return _aliased(reader, event)
    found: Node
    if isinstance(event, yaml.ScalarEvent):
        found = _scalar(reader, event)
        extent = (1, 1)
    elif isinstance(event, yaml.SequenceStartEvent):
        _no_tag(reader, event, "tag:yaml.org,2002:seq")
        found = _items(reader, event, depth)
        extent = _extent(reader, found.items)
    else:
        _no_tag(reader, event, "tag:yaml.org,2002:map")
        found = _table(reader, event, depth)
        extent = _extent(reader, found.entries.values())
    if extent[0] > MAX_VALUES:
        raise _too_many(reader.place(event))
    if extent[1] > MAX_DEPTH:
        raise _too_deep(reader.place(event))
    reader.extents[id(found)] = extent
    if event.anchor:
        reader.anchors[event.anchor] = found
    return found


def _extent(reader: _Reader, nodes: Any) -> tuple[int, int]:
    """How many values a node holds, and how deep it nests, aliases followed."""
    parts = [reader.extents[id(node)] for node in nodes]
    return 1 + sum(size for size, _ in parts), 1 + max((depth for _, depth in parts), default=0)


def _too_deep(place: Place) -> SpecError:
    return SpecError(
        f"nested more than {MAX_DEPTH} levels deep",
        where=place,
        hint="groups can be named with dots instead: `layer1.0.conv1: {...}`",
    )


def _too_many(place: Place) -> SpecError:
    return SpecError(
        f"more than {MAX_VALUES} values once aliases are followed",
        where=place,
        hint="a network is not described like this: look at the aliases (`*name`)",
    )


def _aliased(reader: _Reader, event: Any) -> Node:
    found = reader.anchors.get(event.anchor)
    if found is None:
        raise SpecError(
            f"the alias *{event.anchor} has no anchor before it",
            where=reader.place(event),
            hint=f"write &{event.anchor} before the value that it stands for; "
            "a value cannot contain itself",
        )
    return found


def _scalar(reader: _Reader, event: Any) -> Scalar:
    if event.tag in _STR_TAGS or (event.tag is None and event.style):
        return Scalar(event.value, event.value, reader.place(event))
    if event.tag not in (None, *_PLAIN_TAGS):
        raise _tagged(reader, event)
    try:
        return Scalar(resolve(event.value), event.value, reader.place(event))
    except ValueError as error:
        raise SpecError(
            f"{error} is too large", where=reader.place(event), hint="write a smaller number"
        ) from None


def _no_tag(reader: _Reader, event: Any, allowed: str) -> None:
    if event.tag not in (None, allowed):
        raise _tagged(reader, event)


def _tagged(reader: _Reader, event: Any) -> SpecError:
    return SpecError(
        f"the tag {event.tag} is not understood",
        where=reader.place(event),
        hint="a spec holds plain values only: remove the tag",
    )


def _items(reader: _Reader, start: Any, depth: int) -> Items:
    items = []
    for event in reader.events:
        if isinstance(event, yaml.SequenceEndEvent):
            break
        items.append(_node(reader, event, depth + 1))
    return Items(tuple(items), reader.place(start))


def _table(reader: _Reader, start: Any, depth: int) -> Table:
    entries: dict[str, Node] = {}
    places: dict[str, Place] = {}
    written: set[str] = set()
    for event in reader.events:
        if isinstance(event, yaml.MappingEndEvent):
            break
        key = _key(reader, event)
        merges = key == "<<" and isinstance(event, yaml.ScalarEvent) and not event.style
        if key in written:
            raise _duplicate(key, places.get(key), reader.place(event))
        written.add(key)
        value = _node(reader, next(reader.events), depth + 1)
        if merges:
            for merged in _merged(reader, value, reader.place(event)):
                for name, node in merged.entries.items():
                    entries.setdefault(name, node)
                    places.setdefault(name, merged.at(name))
        else:
            entries[key] = value
            places[key] = reader.place(event)
    return Table(entries, places, reader.place(start))


def _key(reader: _Reader, event: Any) -> str:
    if isinstance(event, yaml.AliasEvent):
        node = _aliased(reader, event)
        if isinstance(node, Scalar) and node.text:
            return node.text
    if not isinstance(event, yaml.ScalarEvent) or not event.value:
        raise SpecError(
            "a key must be a name", where=reader.place(event), hint="write `name: value`"
        )
    if event.anchor:
        key = Scalar(event.value, event.value, reader.place(event))
        reader.anchors[event.anchor] = key
        reader.extents[id(key)] = (1, 1)
    return str(event.value)


def _merged(reader: _Reader, value: Node, place: Place) -> list[Table]:
    """The mappings that a merge key names: one, or a list of them where the earlier ones win."""
    found = value.items if isinstance(value, Items) else (value,)
    tables = [node for node in found if isinstance(node, Table)]
    if len(tables) != len(found):
        raise SpecError(
            "`<<` merges mappings only",
            where=place,
            hint="write `<<: *name`, where &name marks a mapping",
        )
    reader.merged += sum(len(table.entries) for table in tables)
    if reader.merged > MAX_VALUES:
        raise _too_many(place)
    return tables


def _duplicate(key: str, first: Place | None, place: Place) -> SpecError:
    earlier = f" (first in line {first.line})" if first else ""
    return SpecError(
        f"`{key}` stands here a second time{earlier}",
        where=place,
        hint="give one of the two another name, or remove it",
    )


def _syntax_error(error: yaml.MarkedYAMLError, file: str) -> SpecError:
    mark = error.problem_mark or error.context_mark
    problem = " ".join(part for part in (error.problem, error.context) if part)
    hint = "look at the indentation, quotes and brackets there"
    if "\\t" in problem or "tab" in problem:
        hint = "YAML is indented with spaces, not with tabs"
    return SpecError(
        f"this is not YAML: {problem}", where=Place(file, mark.line + 1 if mark else 0), hint=hint
    )
