"""Where a module's graph is parallel paths from one value to a sum, a product or a concat.

Such a module becomes that join, under its own name, with its layers in branches. What the module
does after the join (a residual block's last ReLU) stands behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.spec.names import is_number, join
from net2net_cli.tracing.drafts import Draft, Source


@dataclass(frozen=True)
class Branches:
    """A join and its paths, in the order in which it reads them; an empty one is the identity."""

    source: Source
    paths: tuple[tuple[Draft, ...], ...]


@dataclass
class Forest:
    """The drafts of a network, and which of them are joins with branches."""

    drafts: Sequence[Draft]
    outputs: Sequence[Source]
    joins: dict[Draft, Branches] = field(default_factory=dict)


def find_branches(forest: Forest) -> None:
    """Finds the joins, innermost modules first, and renames what is affected."""
    prefixes = {name[:i] for name in _names(forest) for i, sign in enumerate(name) if sign == "."}
    for prefix in sorted(prefixes, key=lambda name: -name.count(".")):
        own = [draft for draft in forest.drafts if draft.name.startswith(f"{prefix}.")]
        for draft in own:
            found = _branches(forest, prefix, own, draft)
            if found is not None:
                _fold(forest, prefix, own, draft, found)
                break


def _names(forest: Forest) -> list[str]:
    return [draft.name for draft in forest.drafts]


def _branches(forest: Forest, prefix: str, own: Sequence[Draft], joint: Draft) -> Branches | None:
    """The branches of a module that ends in ``joint``, or None where it has not that shape."""
    if LAYER_TYPES[joint.type].rule not in ("add", "multiply", "concat") or joint.tensors:
        return None
    at = own.index(joint)
    before, behind = own[:at], own[at + 1 :]
    inside = set(before)
    outer = {read for draft in (*before, joint) for read in draft.reads if read not in inside}
    if joint in forest.joins or len(joint.reads) < 2 or len(outer) != 1 or not before:
        return None
    if any(draft.tensors or draft in forest.joins for draft in behind) or _clash(forest, prefix):
        return None
    paths = [_path(before, read) for read in joint.reads]
    if sum(len(path) for path in paths) != len(inside) or set().union(*paths) != inside:
        return None
    if not _apart(forest, prefix, paths, joint):
        return None
    ordered = tuple(tuple(d for d in before if d in path) for path in paths)
    return Branches(outer.pop(), ordered)


def _clash(forest: Forest, prefix: str) -> bool:
    return any(draft.name == prefix for draft in forest.drafts)


def _path(before: Sequence[Draft], end: Source) -> set[Draft]:
    """The module's layers that lead to a value."""
    found: set[Draft] = set()
    for draft in reversed(before):
        if draft is end or any(draft in reader.reads for reader in found):
            found.add(draft)
    return found


def _apart(forest: Forest, prefix: str, paths: Sequence[set[Draft]], joint: Draft) -> bool:
    """Whether no path is read but at its end, by the join alone, and no group is in two."""
    for path in paths:
        for draft in path:
            readers = {reader for reader in forest.drafts if draft in reader.reads}
            if draft in forest.outputs or not readers <= (path | {joint}):
                return False
            if joint in readers and not any(draft is end for end in joint.reads):
                return False
    parts = [{_part(draft, prefix) for draft in path} for path in paths]
    return sum(len(own) for own in parts) == len(set().union(*parts))


def _part(draft: Draft, prefix: str) -> str:
    return draft.name[len(prefix) + 1 :].partition(".")[0]


def _fold(forest: Forest, prefix: str, own: Sequence[Draft], joint: Draft, found: Branches) -> None:
    taken = set(_names(forest))
    for draft in own[own.index(joint) + 1 :]:
        outer, _, last = prefix.rpartition(".")
        said = f"{draft.word}{last}" if is_number(last) else f"{last}_{draft.word}"
        base = name = join(outer, said)
        count = 1
        while name in taken:
            count += 1
            name = f"{base}_{count}"
        draft.name = name
        taken.add(name)
    joint.name = prefix
    forest.joins[joint] = found


def path_names(found: Branches, prefix: str) -> Mapping[str, tuple[Draft, ...]] | None:
    """The branches by name, where each is one group of layers: the name is part of theirs."""
    named: dict[str, tuple[Draft, ...]] = {}
    for path in found.paths:
        parts = {_part(draft, prefix) for draft in path}
        whole = [draft for draft in path if draft.name == join(prefix, next(iter(parts), ""))]
        if len(parts) != 1 or whole:
            return None
        named[parts.pop()] = path
    return named
