"""Drafts written as a spec: groups by name, branches, ``inputs:`` only where they are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from net2net_cli.errors import Place, TraceError
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.spec.document import VERSION, Document, document
from net2net_cli.spec.names import find, join, scopes_of
from net2net_cli.spec.tree import Table, from_plain
from net2net_cli.tracing.branches import Branches, Forest, path_names
from net2net_cli.tracing.drafts import Draft, Given, Source
from net2net_cli.tracing.naming import free_name

FILE = "the traced spec"
Plain = dict[str, Any]


@dataclass
class _Writer:
    """``known`` are the names that may be referred to; ``shares`` what layers share."""

    forest: Forest
    known: set[str]
    shares: Mapping[Draft, Any]
    feed: Source | None = None
    ends: dict[str, Source] = field(default_factory=dict)


class _HiddenError(Exception):
    """A name that cannot be said where it is read: a nearer layer has it, too."""

    def __init__(self, source: Source, nearer: str) -> None:
        super().__init__(source.name)
        self.source, self.nearer = source, nearer


def write(forest: Forest, inputs: Sequence[Given], shares: Mapping[Draft, Any]) -> Document:
    """The document of a network. Layers without tensors are renamed where a reader would find
    another of the same name nearer by; TraceError where both have tensors."""
    while True:
        try:
            return _written(forest, inputs, shares)
        except _HiddenError as hidden:
            _rename(forest, hidden)


def _rename(forest: Forest, hidden: _HiddenError) -> None:
    names = {draft.name for draft in forest.drafts}
    names |= {name.rpartition(".")[2] for name in names}
    nearer = next((draft for draft in forest.drafts if draft.name == hidden.nearer), None)
    for draft in (hidden.source, nearer):
        if isinstance(draft, Draft) and not draft.tensors and draft not in forest.joins:
            draft.name = free_name(draft.name, names)
            return
    raise TraceError(
        f"`{hidden.source.name}` is read where `{hidden.nearer}` is nearer: no spec can name it",
        hint="give one of the two modules another name",
    )


def _written(forest: Forest, inputs: Sequence[Given], shares: Mapping[Draft, Any]) -> Document:
    names = [draft.name for draft in forest.drafts]
    groups = {name[:i] for name in names for i, sign in enumerate(name) if sign == "."}
    writer = _Writer(forest, {*names, *groups, "input", *(i.name for i in inputs)}, shares)
    writer.feed = inputs[0] if len(inputs) == 1 else None
    inner = {draft for found in forest.joins.values() for path in found.paths for draft in path}
    layers = _chain(writer, "", [draft for draft in forest.drafts if draft not in inner])
    plain: Plain = {"net2net": VERSION, "input": _inputs(inputs), "layers": layers}
    if tuple(forest.outputs) != (writer.feed,):
        plain["outputs"] = [source.name for source in forest.outputs]
    root = from_plain(plain, Place(FILE))
    assert isinstance(root, Table)
    return document(root, FILE)


def _inputs(inputs: Sequence[Given]) -> Any:
    said = {given.name: _input(given) for given in inputs}
    return said["input"] if list(said) == ["input"] else said


def _input(given: Given) -> Any:
    shape = list(given.shape[1:])
    if given.dtype in ("float32", "float64", "float16", "bfloat16"):
        return shape
    return {"shape": shape, "dtype": given.dtype}


def _chain(writer: _Writer, prefix: str, drafts: Sequence[Draft]) -> Plain:
    """Layers and groups below a prefix, each in the place of its first layer."""
    parts: dict[str, list[Draft]] = {}
    for draft in drafts:
        rest = draft.name[len(prefix) + 1 :] if prefix else draft.name
        parts.setdefault(rest.partition(".")[0], []).append(draft)
    return {part: _entry(writer, join(prefix, part), own) for part, own in parts.items()}


def _entry(writer: _Writer, name: str, drafts: Sequence[Draft]) -> Plain:
    if drafts[0].name != name:
        return _chain(writer, name, drafts)
    draft = drafts[0]
    assert len(drafts) == 1, f"{name} is a layer and a group"
    made: Plain = {"type": draft.type}
    for arg in LAYER_TYPES[draft.type].args:
        if arg.name in draft.args:
            made[arg.name] = draft.args[arg.name]
    if draft in writer.shares:
        made["share"] = writer.shares[draft]
    if draft in writer.forest.joins:
        made |= _joined(writer, draft, writer.forest.joins[draft])
    elif draft.reads and draft.reads != (writer.feed,):
        said = [_reference(writer, name, source) for source in draft.reads]
        made["inputs"] = said[0] if len(said) == 1 else said
    writer.feed = draft
    return made


def _joined(writer: _Writer, joint: Draft, found: Branches) -> Plain:
    made: Plain = {}
    if found.source is not writer.feed:
        made["inputs"] = _reference(writer, joint.name, found.source)
    named = path_names(found, joint.name)
    paths: list[Plain] = []
    for path in found.paths:
        writer.feed = found.source
        prefix = join(joint.name, _group(path, joint.name)) if named else joint.name
        paths.append(_chain(writer, prefix, _outer(writer, path)))
    made["branches"] = dict(zip(named, paths, strict=True)) if named else paths
    return made


def _outer(writer: _Writer, path: Sequence[Draft]) -> list[Draft]:
    """The layers of a path that are in no branch of another join within it."""
    inner = {
        draft
        for joint in path
        if joint in writer.forest.joins
        for own in writer.forest.joins[joint].paths
        for draft in own
    }
    return [draft for draft in path if draft not in inner]


def _group(path: Sequence[Draft], prefix: str) -> str:
    return path[0].name[len(prefix) + 1 :].partition(".")[0]


def _reference(writer: _Writer, sayer: str, source: Source) -> str:
    """The shortest name by which a layer finds another."""
    parts = source.name.split(".")
    for count in range(1, len(parts)):
        text = ".".join(parts[-count:])
        if find(text, scopes_of(sayer), writer.known) == source.name:
            return text
    found = find(source.name, scopes_of(sayer), writer.known)
    if found != source.name:
        raise _HiddenError(source, found or "")
    return source.name
