"""A family's file, read and checked: YAML with the line of whatever is wrong.

net2net_family: 1
model_types: [llama, mistral]
prefix: model.                       # what the base model's tensors lie under, with a head on top
defaults: {rms_norm_eps: 1.0e-6}     # what transformers takes where config.json has no such key
stream: {width: hidden, norm: rms, eps: rms_norm_eps}
widths:
hidden: hidden_size
head_dim: head_dim or hidden / num_attention_heads
grows:
head_dim: {by: [], because: the rotary embedding's frequencies depend on it}
blocks:
layers: {count: num_hidden_layers, zero: [self_attn.o_proj, mlp.down_proj]}
tensors:
embed_tokens.weight:             vocab hidden
layers.*.input_layernorm.weight: hidden | gain
layers.*.mlp.gate_proj.weight:   mlp <- hidden
norm.weight:                     hidden | gain final
heads:
lm_head.weight:                  vocab <- hidden
tied: {lm_head.weight: embed_tokens.weight}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from net2net_cli.errors import Place, SpecError, closest
from net2net_cli.families.family import (
    FLAGS,
    Blocks,
    Family,
    Grows,
    Need,
    Stream,
    TensorRule,
    Upcycling,
)
from net2net_cli.families.sizes import STORED, check_expression
from net2net_cli.notation import NotationError, names, parse
from net2net_cli.spec.located import parse as parse_yaml
from net2net_cli.spec.tree import Items, Node, Scalar, Table, describe

VERSION = 1
KEYS = (
    "net2net_family", "extends", "model_types", "prefix", "defaults", "stream", "widths", "grows",
    "blocks", "needs", "divides", "follows", "times", "tensors", "heads", "tied", "upcycles",
)  # fmt: skip
REQUIRED = ("model_types", "stream", "widths", "blocks", "tensors")
WAYS = ("duplicate", "even", "fresh", "zero", "mean")


@cache
def families() -> Mapping[str, Family]:
    """The families that come with the package, by name."""
    return {name: _packaged(name) for name in sorted(_texts())}


@cache
def _texts() -> dict[str, str]:
    folder = resources.files("net2net_cli.families") / "data"
    return {
        entry.name.removesuffix(".yaml"): entry.read_text("utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    }


@cache
def _packaged(name: str) -> Family:
    return parse_family(_texts()[name], name, f"{name}.yaml")


@cache
def model_types() -> Mapping[str, str]:
    """The family of each model type, read off the files' own lines without parsing them all."""
    found = {}
    for name, text in _texts().items():
        line = re.search(r"^model_types: *\[(.*?)\]", text, re.MULTILINE | re.DOTALL)
        assert line, name
        found.update({kind.strip(): name for kind in line[1].split(",")})
    return found


def family_named(name: str, where: Place | str | None = None) -> Family:
    """The package's family of that name. Raises SpecError with near names."""
    if name not in _texts():
        known = sorted(_texts())
        raise SpecError(
            f"there is no family `{name}`",
            where=where,
            hint=closest(name, known) or f"there are {', '.join(known)}",
        )
    return _packaged(name)


def family_of(model_type: str, where: str) -> Family:
    """The family of a config's ``model_type``.

    Raises SpecError that names the nearest types and says how to write a family.
    """
    known = model_types()
    if model_type not in known:
        near = closest(model_type, sorted(known))
        raise SpecError(
            f"no family is known for the model type `{model_type}`",
            where=where,
            hint=f"{near} Else describe" * bool(near)
            + "describe" * (not near)
            + " it in a file of some 30 lines (README: a family of your own) and give it"
            " with --family-file FILE",
        )
    return _packaged(known[model_type])


def read_family(path: Path) -> Family:
    """A user's own family. Raises SpecError where the file cannot be read or is none."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise SpecError(
            f"the family file cannot be read: {str(reason).lower()}", where=str(path)
        ) from None
    return parse_family(text, "", str(path), own=True)


def parse_family(text: str, name: str, file: str, *, own: bool = False) -> Family:
    """A family from its YAML. Raises SpecError, with the line, where it is none."""
    root = _extended(_root(text, file))
    for key in REQUIRED:
        if key not in root.entries:
            raise SpecError(f"the family has no `{key}`", where=file)
    return _Reader(root).family(name, text if own else None)


def _root(text: str, file: str) -> Table:
    root = parse_yaml(text, file)
    version = root.entries.get("net2net_family") if isinstance(root, Table) else None
    if not isinstance(root, Table) or not isinstance(version, Scalar) or version.value != VERSION:
        raise SpecError("this is no family", where=file, hint="begin it with `net2net_family: 1`")
    for key in root.entries:
        if key not in KEYS:
            near = closest(key, list(KEYS))
            raise SpecError(
                f"a family has no key `{key}`",
                where=root.at(key),
                hint=near or f"its keys are {', '.join(KEYS)}",
            )
    return root


def _extended(root: Table) -> Table:
    """With what it takes from the family that it extends; null takes an entry out again."""
    node = root.entries.get("extends")
    if node is None:
        return root
    name = _text(root, "extends")
    family_named(name, root.at("extends"))
    base = _extended(_root(_texts()[name], f"{name}.yaml"))
    entries = dict(base.entries)
    for key, value in root.entries.items():
        old = entries.get(key)
        entries[key] = _merged(old, value) if isinstance(old, Table) else value
    return Table(entries, {**base.places, **root.places}, root.place)


def _merged(old: Table, new: Node) -> Node:
    if not isinstance(new, Table):
        return new
    entries = {**old.entries, **new.entries}
    kept = {k: v for k, v in entries.items() if not (isinstance(v, Scalar) and v.text == "null")}
    return Table(kept, {**old.places, **new.places}, new.place)


class _Reader:
    def __init__(self, root: Table) -> None:
        self.root = root
        self.widths: dict[str, str] = {}

    def family(self, name: str, text: str | None) -> Family:
        table = self.table(self.root, "widths")
        for width in table.entries:
            self.widths[width] = _expression(table, width)
        tensors, heads = self.table(self.root, "tensors"), self.table(self.root, "heads")
        upcycles = self.root.entries.get("upcycles")
        kinds = tuple(str(t) for t in _list(self.root, "model_types"))
        if not kinds:
            raise SpecError("`model_types` names no type", where=self.root.at("model_types"))
        return Family(
            name or kinds[0],
            kinds,
            _prefixes(self.root),
            _plain_table(self.table(self.root, "defaults")),
            self.widths,
            {k: self.grows(v) for k, v in self.mappings("grows", known=True)},
            self.stream(self.table(self.root, "stream")),
            tuple(self.blocks(k, v) for k, v in self.mappings("blocks")),
            (
                *(self.rule(tensors, pattern) for pattern in tensors.entries),
                *(self.rule(heads, pattern, head=True) for pattern in heads.entries),
            ),
            self.names("tied"),
            self.names("follows", known=True),
            self.names("times", known=True),
            _needs(self.table(self.root, "needs")),
            self.names("divides"),
            self.upcycling(upcycles) if isinstance(upcycles, Table) else None,
            text,
        )

    def table(self, parent: Table, key: str) -> Table:
        node = parent.entries.get(key)
        if node is None or (isinstance(node, Scalar) and node.value is None):
            return Table({}, {}, parent.at(key))
        if not isinstance(node, Table):
            raise SpecError(f"`{key}` is a mapping, not {describe(node)}", where=parent.at(key))
        return node

    def mappings(self, key: str, *, known: bool = False) -> list[tuple[str, Table]]:
        table = self.table(self.root, key)
        if known:
            for name in table.entries:
                self.width(name, table.at(name))
        return [(name, self.table(table, name)) for name in table.entries]

    def names(self, key: str, *, known: bool = False) -> dict[str, str]:
        table = self.table(self.root, key)
        found = {name: _text(table, name) for name in table.entries}
        if known:
            for name, width in found.items():
                self.width(width, table.at(name))
        return found

    def width(self, name: str, where: Place) -> str:
        if name not in self.widths:
            known = list(self.widths)
            raise SpecError(
                f"`{name}` is none of the family's `widths`",
                where=where,
                hint=closest(name, known) or f"they are {', '.join(known)}",
            )
        return name

    def stream(self, table: Table) -> Stream:
        _check(table, ("width", "norm", "eps", "one_plus", "because", "logits_over_sqrt"))
        norm = _text(table, "norm")
        if norm not in ("rms", "layer", "post", "even"):
            raise SpecError(
                f"there is no norm `{norm}`", where=table.at("norm"),
                hint="use rms, layer, post or even",
            )  # fmt: skip
        return Stream(
            self.width(_text(table, "width"), table.at("width")),
            norm,  # type: ignore[arg-type]
            *_eps(table),
            _flag(table, "one_plus"),
            _text(table, "because"),
            _text(table, "logits_over_sqrt") or None,
        )

    def grows(self, table: Table) -> Grows:
        _check(table, ("by", "scaled", "because", "needs"))
        ways = [str(way) for way in _list(table, "by")]
        for way in ways:
            if way not in WAYS:
                raise SpecError(
                    f"there is no expansion `{way}`",
                    where=table.at("by"),
                    hint=closest(way, list(WAYS)) or f"use {', '.join(WAYS)}",
                )
        return Grows(
            frozenset(ways) if "by" in table.entries else None,
            _flag(table, "scaled"),
            _text(table, "because"),
            _needs(self.table(table, "needs")),
        )

    def blocks(self, name: str, table: Table) -> Blocks:
        keys = ("count", "zero", "lists", "indices", "bounds", "last", "first", "needs")
        _check(table, keys)
        for key in ("count", "zero"):
            if key not in table.entries:
                raise SpecError(f"the blocks `{name}` need `{key}`", where=table.place)
        lists = self.table(table, "lists")
        return Blocks(
            name,
            _expression(table, "count"),
            tuple(str(m) for m in _list(table, "zero")),
            {k: tuple(_list(lists, k)) if _plain(n) is not None else None
             for k, n in lists.entries.items()},
            tuple(str(k) for k in _list(table, "indices")),
            tuple(str(k) for k in _list(table, "bounds")),
            _text(table, "last") or None,
            tuple(str(m) for m in _list(table, "first")),
            _needs(self.table(table, "needs")),
        )  # fmt: skip

    def rule(self, table: Table, pattern: str, *, head: bool = False) -> TensorRule:
        where = table.at(pattern)
        axes, _, flags = _text(table, pattern).partition("|")
        found = frozenset(flags.split())
        for flag in sorted(found - set(FLAGS)):
            raise SpecError(
                f"`{pattern}` has an unknown flag `{flag}`",
                where=where,
                hint=closest(flag, list(FLAGS)) or f"flags are {', '.join(FLAGS)}",
            )
        try:
            line = parse(axes.strip())
        except NotationError as error:
            raise SpecError(f"`{pattern}`: {error}", where=where) from None
        named = [width for axis, _ in line.axes for width in names(axis)]
        for width in (*named, *re.findall(r"\{(\w+)\}", pattern)):
            self.width(width, where)
        return TensorRule(pattern, line, found, head)

    def upcycling(self, table: Table) -> Upcycling:
        _check(table, ("from", "rename", "new", "classes", "config", "sizes", "drop", "needs"))
        return Upcycling(
            tuple(str(name) for name in _list(table, "from")),
            {k: str(_plain(v)) for k, v in self.table(table, "rename").entries.items()},
            tuple(str(p) for p in _list(table, "new")),
            {k: str(_plain(v)) for k, v in self.table(table, "classes").entries.items()},
            _plain_table(self.table(table, "config")),
            {k: str(_plain(v)) for k, v in self.table(table, "sizes").entries.items()},
            tuple(str(k) for k in _list(table, "drop")),
            _needs(self.table(table, "needs")),
        )


def _eps(table: Table) -> tuple[str | None, float]:
    node = table.entries.get("eps")
    if isinstance(node, Scalar) and isinstance(node.value, int | float):
        return None, float(node.value)
    return _text(table, "eps") or None, 0.0


def _prefixes(root: Table) -> tuple[str, ...]:
    if isinstance(root.entries.get("prefix"), Items):
        return tuple(str(prefix) for prefix in _list(root, "prefix"))
    text = _text(root, "prefix")
    return (text,) if text else ()


def _check(table: Table, known: tuple[str, ...]) -> None:
    for key in table.entries:
        if key not in known:
            raise SpecError(
                f"there is no key `{key}` here",
                where=table.at(key),
                hint=closest(key, list(known)) or f"there are {', '.join(known)}",
            )


def _expression(table: Table, key: str) -> str:
    text = str(_plain(table.entries[key]))
    if text != STORED:
        check_expression(text, key, table.at(key))
    return text


def _needs(table: Table) -> tuple[Need, ...]:
    found = []
    for key, node in table.entries.items():
        if not isinstance(node, Table) or "value" not in node.entries:
            raise SpecError(f"`{key}` needs a `value` and `because`", where=table.at(key))
        _check(node, ("value", "because"))
        value = _plain(node.entries["value"])
        values = tuple(value) if isinstance(value, list) else (value,)
        found.append(Need(key, values, _text(node, "because")))
    return tuple(found)


def _text(table: Table, key: str) -> str:
    node = table.entries.get(key)
    if node is None:
        return ""
    if not isinstance(node, Scalar):
        raise SpecError(f"`{key}` is a text, not {describe(node)}", where=table.at(key))
    return "" if node.value is None else node.text


def _flag(table: Table, key: str) -> bool:
    node = table.entries.get(key)
    if node is not None and not (isinstance(node, Scalar) and isinstance(node.value, bool)):
        raise SpecError(f"`{key}` is true or false, not {describe(node)}", where=table.at(key))
    return isinstance(node, Scalar) and node.value is True


def _list(table: Table, key: str) -> list[Any]:
    node = table.entries.get(key)
    if node is None:
        return []
    if not isinstance(node, Items):
        raise SpecError(f"`{key}` is a list, not {describe(node)}", where=table.at(key))
    return [_plain(item) for item in node.items]


def _plain_table(table: Table) -> dict[str, object]:
    return {key: _plain(node) for key, node in table.entries.items()}


def _plain(node: Node) -> Any:
    match node:
        case Scalar(value):
            return value
        case Items(items):
            return [_plain(item) for item in items]
        case Table(entries):
            return {key: _plain(entry) for key, entry in entries.items()}
