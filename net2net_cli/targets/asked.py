"""``width:`` and ``depth:``: what a target says of the whole of what it extends, and the options
that stand for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from net2net_cli.errors import Place, SpecError, UsageError
from net2net_cli.spec import Document
from net2net_cli.spec.bases import SOURCE
from net2net_cli.spec.document import VERSION, document
from net2net_cli.spec.tree import Node, Scalar, Table, describe, from_plain, scalar, with_entry
from net2net_cli.targets.factors import read_factor

WIDTH, DEPTH = "width", "depth"

MOST = 1000
"""No stage grows by more units at once."""

_COUNT = re.compile(r"\+([0-9]{1,4})")


@dataclass(frozen=True)
class Factor:
    """A factor for the whole network, and where it is said."""

    factor: Fraction
    place: Place


@dataclass(frozen=True)
class More:
    """So many units more in one stage (``""``: the whole network, where it is one stage)."""

    stage: str
    count: int
    place: Place


@dataclass(frozen=True)
class Asked:
    """What the command line asks for: ``--width`` and each ``--depth``, as they are written."""

    width: str | None = None
    depth: Sequence[str] = ()

    def __bool__(self) -> bool:
        return self.width is not None or bool(self.depth)


def factor_of(target: Document) -> Factor | None:
    """What a target's ``width:`` says. Raises SpecError where it is no factor."""
    node = target.root.entries.get(WIDTH)
    if node is None:
        return None
    place = target.root.at(WIDTH)
    value = node.value if isinstance(node, Scalar) else describe(node)
    return Factor(read_factor(value, f"`{WIDTH}`", place), place)


def more_of(target: Document) -> tuple[More, ...]:
    """What a target's ``depth:`` says. Raises SpecError where it says no numbers of units."""
    node = target.root.entries.get(DEPTH)
    if node is None:
        return ()
    if not isinstance(node, Table):
        place = target.root.at(DEPTH)
        return (More("", _count(node, f"`{DEPTH}`", place), place),)
    found = []
    for stage, value in node.entries.items():
        place = node.at(stage)
        found.append(More(stage, _count(value, f"`{DEPTH}` of `{stage}`", place), place))
    return tuple(found)


def _count(node: Node, what: str, place: Place) -> int:
    text = node.text if isinstance(node, Scalar) else ""
    found = _COUNT.fullmatch(text)
    if found and 0 < int(found[1]) <= MOST:
        return int(found[1])
    plain = text.isdecimal() and 0 < int(text) <= MOST
    raise SpecError(
        f"{what} is a number of units more, as +2, not {describe(node)}",
        where=place,
        hint=f"write +{text}" if plain else f"write a plus and a number from 1 to {MOST}",
    )


def as_target(said: Document | None, asked: Asked) -> Document:
    """A target as if it said itself what is asked for; None stands for one that says nothing, and
    extends the checkpoint's own spec.

    Raises UsageError where it does say so, or where an option cannot be read.
    """
    if said is None:
        own = Place("the command line")
        root = from_plain({"net2net": VERSION, "extends": SOURCE}, own)
        assert isinstance(root, Table)
        said = document(root, own.file)
    root = said.root
    for key, node in _entries(asked).items():
        if key in root.entries:
            raise UsageError(
                f"--{key} is given, and the spec says `{key}` itself",
                hint="leave one of the two out",
            )
        root = with_entry(root, key, node)
    return document(root, said.file) if asked else said


def _entries(asked: Asked) -> dict[str, Node]:
    entries: dict[str, Node] = {}
    if asked.width is not None:
        entries[WIDTH] = scalar(asked.width, Place(f"--width {asked.width}"))
    if len(asked.depth) == 1 and "=" not in asked.depth[0]:
        entries[DEPTH] = _written(asked.depth[0], asked.depth[0])
    elif asked.depth:
        entries[DEPTH] = _stages(asked.depth)
    return entries


def _stages(said: Sequence[str]) -> Table:
    entries: dict[str, Node] = {}
    for text in said:
        stage, equals, count = (part.strip() for part in text.partition("="))
        if not equals or not stage:
            raise UsageError(f"--depth {text} says no stage", hint="write it as --depth layer3=+2")
        if stage in entries:
            raise UsageError(f"--depth gives {stage} twice", hint="keep one of the two")
        entries[stage] = _written(count, text)
    places = {stage: node.place for stage, node in entries.items()}
    return Table(entries, places, Place(f"--depth {said[0]}"))


def _written(count: str, text: str) -> Scalar:
    return Scalar(count, count, Place(f"--depth {text}"))
