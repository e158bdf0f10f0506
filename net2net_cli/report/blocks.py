"""A transformer as a graph of its blocks: embeddings, each row of blocks as a chain, the head.

It has no spec of layers to draw. What a person wants to see is how many blocks there are, how
large, and which are new; in a long chain, neighbours that are alike become one node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from net2net_cli import families
from net2net_cli.families import Family, LaidFamily, outline
from net2net_cli.families.depth import Block
from net2net_cli.families.lay import block_of
from net2net_cli.families.sizes import STORED
from net2net_cli.layout import tensor_widths
from net2net_cli.plan import Plan
from net2net_cli.report.graph import Graph, Node
from net2net_cli.report.sheets import Tone
from net2net_cli.spec import parse_document

LONG = 40
"""A chain of more blocks is folded."""

_FIRST, _LAST = "embeddings", "head"


@dataclass(frozen=True)
class _Part:
    """What becomes a node: the embeddings, the head, or blocks of one row.

    ``numbers`` are the blocks' (none: it is no block), ``label`` says their sizes; ``sources`` and
    ``before`` are the same in the teacher, None for new ones.
    """

    row: str
    numbers: range
    label: str
    sources: range | None
    before: str | None

    @property
    def tone(self) -> Tone:
        if self.before is None:
            return "new"
        return "plain" if self.before == self.label else "changed"


def blocks_of(laid: LaidFamily) -> Graph:
    """The graph of one transformer."""
    same = {
        row: tuple(Block(number, new=False) for number in range(count))
        for row, count in laid.counts.items()
    }
    return _graphs(laid, laid, same)[0]


def grown_blocks(laid: LaidFamily, plan: Plan) -> tuple[Graph, Graph]:
    """A teacher's graph and its student's, each block of the teacher at the rank of what it became.

    New blocks and changed ones are marked. Raises PlanError or SpecError as carrying out would.
    """
    where = "the plan's target"
    family, config = families.whole(parse_document(plan.target, where))
    target = outline(laid, family, config, where)
    growth = families.compare(laid, target, plan.choices.where)
    return _graphs(laid, growth.target, growth.blocks)


def _graphs(
    teacher: LaidFamily, student: LaidFamily, arranged: Mapping[str, tuple[Block, ...]]
) -> tuple[Graph, Graph]:
    old, new = _labels(teacher), _labels(student)
    rows = [row.name for row in student.family.blocks if f"{row.name}.0" in new]
    chains = [list(_blocks(row, arranged[row], old, new)) for row in rows]
    ends = [
        [_Part(name, range(0), new[name], range(0), old.get(name, ""))] if name in new else []
        for name in (_FIRST, _LAST)
    ]
    return _drawn([ends[0], *chains, ends[1]])


def _blocks(
    row: str, arranged: tuple[Block, ...], old: Mapping[str, str], new: Mapping[str, str]
) -> Iterator[_Part]:
    """The parts of one row of blocks."""
    parts = []
    for number, block in enumerate(arranged):
        came, before = range(block.source, block.source + 1), old[f"{row}.{block.source}"]
        own = _Part(row, range(number, number + 1), new[f"{row}.{number}"], came, before)
        parts.append(replace(own, sources=None, before=None) if block.new else own)
    folded = parts[0]
    for part in parts[1:]:
        if len(parts) > LONG and (part.label, part.before) == (folded.label, folded.before):
            folded = _both(folded, part)
        else:
            yield folded
            folded = part
    yield folded


def _both(part: _Part, following: _Part) -> _Part:
    numbers = range(part.numbers.start, following.numbers.stop)
    if part.sources is None or following.sources is None:
        return replace(part, numbers=numbers)
    return replace(part, numbers=numbers, sources=range(part.sources.start, following.sources.stop))


def _drawn(chains: Sequence[Sequence[_Part]]) -> tuple[Graph, Graph]:
    """The teacher's and the student's graph; each chain is a way from the one before."""
    old: list[list[Node]] = []
    new: list[list[Node]] = []
    rank = 0
    for chain in chains:
        old.append([])
        new.append([])
        for part in chain:
            new[-1].append(Node(_name(part.row, part.numbers), part.label, rank, part.tone))
            if part.sources is not None:
                old[-1].append(Node(_name(part.row, part.sources), part.before or "", rank))
            rank += 1
    return _joined(old), _joined(new)


def _joined(chains: Sequence[Sequence[Node]]) -> Graph:
    """One chain after the other; a decoder's blocks read the embeddings too."""
    nodes = [node for chain in chains for node in chain]
    along = [(a.name, b.name) for a, b in pairwise(nodes)]
    forks = [(nodes[0].name, chain[0].name) for chain in chains[2:-1]]
    return Graph(tuple(nodes), (*along, *forks))


def _name(row: str, numbers: range) -> str:
    if not numbers:
        return row
    first, last = f"{row}.{numbers[0]}", f"{row}.{numbers[-1]}"
    return first if first == last else f"{first} to {last}"


def _labels(laid: LaidFamily) -> dict[str, str]:
    """The label of every part that there is: blocks by row and number, embeddings and head."""
    tensors, found = laid.layout.tensors, dict[str, set[str]]()
    for name, tensor in tensors.items():
        part = _part_of(laid, name)
        if part is not None:
            found.setdefault(part, set()).update(width.name for width in tensor_widths(tensor))
    for name in laid.family.tied.values() if laid.tied else ():
        if embedding := tensors.get(laid.prefix + name):  # which the head reads through
            widths = {width.name for width in tensor_widths(embedding)}
            found.setdefault(_LAST, set()).update(widths)
    sizes = laid.sizes()
    return {
        part: _label(laid.family, widths, sizes, f"{part.partition('.')[0]}_")
        for part, widths in found.items()
    }


def _part_of(laid: LaidFamily, name: str) -> str | None:
    """What a tensor belongs to; None for one that only the first of all blocks has."""
    rule, at = laid.rules[name], block_of(laid, name)
    if rule.head:
        return _LAST
    if at is not None:
        return f"{at[0]}.{at[1]}"
    inside = any(rule.pattern.startswith(f"{row.name}.") for row in laid.family.blocks)
    return None if inside else _FIRST


def _label(family: Family, widths: set[str], sizes: Mapping[str, int], prefix: str) -> str:
    """The sizes that growth may change; of several that are always equal, the first. ``prefix``
    is left out: in an encoder ``encoder_heads`` are ``heads``."""
    shown: dict[str, str] = {}
    for name, expression in family.widths.items():
        grows = family.grows.get(name)
        frozen = expression == STORED or (grows is not None and grows.by == frozenset())
        if name in widths and not frozen:
            shown.setdefault(expression, f"{name.removeprefix(prefix)} {sizes[name]}")
    return ", ".join(shown.values())
