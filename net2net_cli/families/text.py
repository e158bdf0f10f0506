"""Families in specs: ``family:`` and ``config:`` in place of ``layers:``.

net2net: 1
family: llama                   # or the text of a family's file
config:                         # the keys of config.json, or the path of one;
hidden_size: 2560             # in a target those that change
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from net2net_cli.errors import SpecError
from net2net_cli.families.family import Config, Family
from net2net_cli.families.reading import family_named, family_of, parse_family
from net2net_cli.io import read_json
from net2net_cli.spec import Document
from net2net_cli.spec.tree import Items, Node, Scalar, Table, describe

CONFIG = "config.json"


@dataclass(frozen=True)
class Described:
    """What a spec says of a transformer. ``family`` is None where it says only a config, ``whole``
    whether that is a config.json and not a few keys of one."""

    family: Family | None
    config: Config
    whole: bool
    where: str


def described(document: Document) -> Described:
    """The family and config of a spec. Raises SpecError with the line where they are none."""
    entries, where = document.root.entries, document.file
    family, node = entries.get("family"), entries.get("config")
    if isinstance(node, Scalar) and isinstance(node.value, str):
        path = Path(where).parent / node.value
        return Described(_family(family, where), read_json(path, "config"), True, where)
    if node is not None and not isinstance(node, Table):
        raise SpecError(
            f"`config` holds keys of config.json, or its path, not {describe(node)}",
            where=document.root.at("config"),
            hint="write `config: {hidden_size: 2560}`",
        )
    config = plain(node) if node is not None else {}
    assert isinstance(config, dict)
    return Described(_family(family, where), config, False, where)


def _family(node: Node | None, file: str) -> Family | None:
    if node is None:
        return None
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        raise SpecError(f"`family` is a name, not {describe(node)}", where=node.place)
    if "\n" in node.value:
        return parse_family(node.value, "", file, own=True)
    return family_named(node.value, node.place)


def whole(document: Document) -> tuple[Family, Config]:
    """Family and config of a spec that stands for itself. Raises SpecError where parts are left
    out."""
    found = described(document)
    kind = found.config.get("model_type")
    if found.family is None and not isinstance(kind, str):
        raise SpecError("the spec does not say its `family`", where=found.where)
    return found.family or family_of(str(kind), found.where), found.config


def plain(node: Node) -> object:
    """A node as plain data."""
    match node:
        case Scalar(value):
            return value
        case Items(items):
            return [plain(item) for item in items]
        case Table(entries):
            return {key: plain(entry) for key, entry in entries.items()}


def dump(family: Family, config: Config) -> str:
    """A family and its config as a spec, one key a line, in the config's order."""
    lines = ["net2net: 1"]
    if family.text is None:
        lines.append(f"family: {family.name}")
    else:
        lines += ["family: |", *(f"  {line}".rstrip() for line in family.text.splitlines())]
    lines.append("config:")
    lines += [f"  {_key(key)}: {_inline(value)}" for key, value in config.items()]
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    return key if key.isidentifier() else json.dumps(key)


def _inline(value: object) -> str:
    if isinstance(value, Mapping):
        entries = [f"{json.dumps(str(k))}: {_inline(v)}" for k, v in value.items()]
        return "{" + ", ".join(entries) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
