"""Two configurations of one family (or of a dense one and its experts): what lies between them.

Widths grow as in any network. What is the families' own: norms and eps follow the residual stream
(MATH: residual streams), blocks come in as copies whose last projections are zero, and whatever in
the config depends on a size is written along.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from net2net_cli.axes import Width
from net2net_cli.choosing import HOW, Growth, check_choices, choose, chosen_for
from net2net_cli.errors import UnreachableError
from net2net_cli.families.depth import Block, arrange
from net2net_cli.families.family import Blocks, Config, Family, TensorRule
from net2net_cli.families.lay import LaidFamily, block_of, check_needs, expected_names, lay_out
from net2net_cli.families.sizes import STORED, alternatives, keys_of
from net2net_cli.families.target import shrinking, source_sizes
from net2net_cli.plan import Choices, Insert, Operation, Rescale, Widen

HOW_BLOCK = "a copy of its neighbour whose last projections are zero"
HOW_POST = "a copy of its neighbour that gives zeros; the norm before it moves behind it"
HOW_EXPERTS = "each a copy of the MLP"
HOW_ROUTER = "freshly initialised; all experts are the same, so that any mixture of them is"
PADDED = ("zero", "mean")


@dataclass(frozen=True)
class Origin:
    """Where a tensor of the target comes from: the source's rule and numbers (those of a width are
    the target's own); ``new``: its block is an inserted one."""

    rule: TensorRule
    numbers: Mapping[str, int]
    new: bool


@dataclass(frozen=True)
class FamilyGrowth:
    """Source and target. ``blocks`` maps each row of blocks to its arrangement, ``origins`` each
    target tensor to where it comes from (new ones are missing); ``before`` gives the target's
    widths their sizes in the source."""

    source: LaidFamily
    target: LaidFamily
    blocks: Mapping[str, tuple[Block, ...]]
    origins: Mapping[str, Origin]
    before: Mapping[Width, int]


def compare(source: LaidFamily, target: LaidFamily, place: str) -> FamilyGrowth:
    """Lay the target out, with the names that its tensors will have.

    ``target`` is the family at the target's sizes, with no tensors yet (``target_of``). Raises
    UnreachableError where sizes shrink or blocks cannot come in.
    """
    blocks = {
        row.name: _arranged(row, source, target.counts[row.name], place)
        for row in source.family.blocks
    }
    origins = dict(_origins(source, target, blocks))
    laid = lay_out(
        target.family, target.config, [*origins, *_new(source, target, origins)], target.where,
        stored=source.stored(), prefix=target.prefix,
    )  # fmt: skip
    old = source_sizes(source, target.family, target.where)
    before = {
        width: size if width.name in _only_new(source, target) else old.get(width.name, size)
        for width, size in laid.layout.sizes.items()
    }
    return FamilyGrowth(source, laid, blocks, origins, before)


def _arranged(row: Blocks, source: LaidFamily, after: int, place: str) -> tuple[Block, ...]:
    before = source.counts[row.name]
    if after > before:
        check_needs(row.needs, source.family, source.config, source.where)
    if after < before:
        raise shrinking(keys_of(row.count)[0], before, after, source.where)
    arrangement = arrange(before, after, place)
    if row.last is not None and arrangement[0].new:
        raise UnreachableError(
            "no post-norm block can come in before the first: the norm before it is no block's",
            hint="use --where even, end or after=0",
        )
    return arrangement


def _new(source: LaidFamily, target: LaidFamily, made: Mapping[str, Origin]) -> list[str]:
    """The tensors that only the target's family has."""
    ways = target.family.upcycling if source.family != target.family else None
    patterns = ways.new if ways else ()
    rules = [rule for rule in target.family.tensors if rule.pattern in patterns]
    return [n for rule in rules for n in expected_names(rule, target) if n not in made]


def _only_new(source: LaidFamily, target: LaidFamily) -> set[str]:
    """The widths of experts that a dense source does not have: they do not grow."""
    if source.family == target.family:
        return set()
    numbered = {n for rule in target.family.tensors for n in re.findall(r"{(\w+)}", rule.pattern)}
    return numbered - set(source.family.widths)


def _origins(
    source: LaidFamily, target: LaidFamily, blocks: Mapping[str, tuple[Block, ...]]
) -> Iterator[tuple[str, Origin]]:
    for name, rule in source.rules.items():
        pattern = _renamed(rule, source, target)
        for numbers, new in _places(source, name, blocks):
            for counted in _counted(pattern, numbers, source, target):
                yield (
                    name_of(pattern, counted, "" if rule.head else target.prefix),
                    Origin(rule, {**counted, **_block_number(source, name)}, new),
                )


def _block_number(source: LaidFamily, name: str) -> Mapping[str, int]:
    number = source.numbers[name].get("*")
    return {} if number is None else {"*": number}


def _renamed(rule: TensorRule, source: LaidFamily, target: LaidFamily) -> str:
    """The pattern that a source's tensor has in the target's family."""
    ways = target.family.upcycling
    if ways is None or source.family == target.family:
        return rule.pattern
    for old, new in ways.rename.items():
        head, found, tail = rule.pattern.partition(f".*.{old}.")
        if found:
            return f"{head}.*.{new}.{tail}"
    return rule.pattern


def _places(
    source: LaidFamily, name: str, blocks: Mapping[str, tuple[Block, ...]]
) -> list[tuple[Mapping[str, int], bool]]:
    """The numbers that a source tensor has in the target, once for each block that copies its."""
    at, numbers = block_of(source, name), source.numbers[name]
    if at is None:
        return [(numbers, False)]
    row, number = at
    return [
        ({**numbers, "*": i}, block.new)
        for i, block in enumerate(blocks[row])
        if block.source == number
    ]


def _counted(
    pattern: str, numbers: Mapping[str, int], source: LaidFamily, target: LaidFamily
) -> list[Mapping[str, int]]:
    """The numbers with those of every width in the pattern: old ones as they are; the first old
    one stands for all that are new."""
    found = [dict(numbers)]
    for width, size in target.sizes().items():
        if f"{{{width}}}" not in pattern:
            continue
        number = numbers.get(width)
        if number is None:
            every = list(range(size))
        else:
            every = [number, *(range(source.sizes()[width], size) if number == 0 else ())]
        found = [{**known, width: n} for known in found for n in every]
    return list(found)


def name_of(pattern: str, numbers: Mapping[str, int], prefix: str) -> str:
    """A tensor's name."""
    name = pattern
    for key, number in numbers.items():
        name = name.replace("*" if key == "*" else f"{{{key}}}", str(number), 1)
    return prefix + name


def operations(
    growth: FamilyGrowth, choices: Choices, chosen: Mapping[str, str] | None = None
) -> tuple[Operation, ...]:
    """Every operation: blocks first, then widths, then what follows in the config. ``chosen``: the
    expansions that a plan has for widths already.

    Raises UnreachableError for widths that shrink or cannot grow.
    """
    check_choices(choices)
    widens = _widens(growth, choices, chosen or {})
    return (*_inserts(growth), *widens, *_rescales(growth, widens))


def _inserts(growth: FamilyGrowth) -> list[Insert]:
    how = HOW_POST if growth.source.family.stream.norm == "post" else HOW_BLOCK
    prefix = growth.target.prefix
    found = [
        Insert(f"{prefix}{row}.{i}", "block", "identity", f"{prefix}{row}.{block.source}", how)
        for row, arrangement in growth.blocks.items()
        if any(name.startswith(f"{prefix}{row}.") for name in growth.target.layout.tensors)
        for i, block in enumerate(arrangement)
        if block.new
    ]
    found += _experts(growth)
    for name, tensor in growth.target.layout.tensors.items():
        if name not in growth.origins:
            layer = name.rpartition(".")[0]
            found.append(Insert(layer, "router", "free", None, HOW_ROUTER))
            assert tensor.line.fill == "scaled", name
    return found


def _experts(growth: FamilyGrowth) -> list[Insert]:
    """What a dense model's MLPs become."""
    target, sizes = growth.target, growth.target.sizes()
    found: dict[str, Insert] = {}
    for width in sorted(_only_new(growth.source, target)):
        for name in target.numbers:
            module, there, _ = target.rules[name].module.partition(f".{{{width}}}.")
            if there and name in growth.origins:
                old = growth.origins[name].rule.module.rpartition(".")[0]
                found[module] = Insert(
                    target.prefix + module, f"{sizes[width]} experts", "identity",
                    growth.source.prefix + old, HOW_EXPERTS,
                )  # fmt: skip
    return list(found.values())


def _widens(growth: FamilyGrowth, choices: Choices, chosen: Mapping[str, str]) -> list[Widen]:
    found, layout = [], growth.target.layout
    for width, after in layout.sizes.items():
        before, members = growth.before[width], layout.members(width)
        if before == after or not (members or _numbered(growth, width)):
            continue
        label = label_of(growth.source, width.name)
        if after < before:
            raise _narrower(growth, width.name, before, after)
        if needs := growth.target.family.grows.get(width.name):
            check_needs(
                needs.needs, growth.source.family, growth.source.config, growth.source.where
            )
        asked = chosen_for(choices, chosen, width)
        meant = width.name in chosen or choices.expansion == "auto"
        if not meant and not _meant(growth, width, choices.expansion):
            asked = replace(choices, expansion="auto")
        kind = choose(layout, Growth(width, before, after), asked, (label,))
        split = choices.split if kind in ("duplicate", "even") else None
        how = _how(growth, width.name, kind)
        found.append(Widen(width.name, members or (label,), before, after, kind, split, how, label))
    return found


def _narrower(growth: FamilyGrowth, width: str, before: int, after: int) -> UnreachableError:
    """The error that a smaller width is; where a size is a quotient, the dividend has to follow."""
    family, label = growth.target.family, label_of(growth.source, width)
    error = shrinking(label, before, after, growth.target.where)
    text = alternatives(family.widths[width])[-1]
    if label == width and "/" in text:
        dividend = label_of(growth.source, text[0])
        error.message = f"`{width}` ({' '.join(text)}) shrinks from {before} to {after}"
        error.hint = f"grow `{dividend}` along with it"
    return error


def _numbered(growth: FamilyGrowth, width: Width) -> bool:
    return any(width.name in numbers for numbers in growth.target.numbers.values())


def label_of(laid: LaidFamily, width: str) -> str:
    """What a user calls a width: the config key that is its size, where one is."""
    text = laid.family.widths.get(width, "")
    first = text.partition(" or ")[0]
    return first if first.isidentifier() and text != STORED else width


def _how(growth: FamilyGrowth, width: str, kind: str) -> str:
    family = growth.target.family
    grows = family.grows.get(width)
    if width == family.stream.width and kind == "zero":
        return "new channels are zero; norms' gains and eps make up for them"
    if width == family.stream.width and kind == "mean":
        return "new channels hold the mean of the old ones, which norms turn into zero"
    if width == "vocab" and kind == "fresh":
        return "new tokens, drawn as large as the old ones; logits of the old ones stay"
    if grows is not None and grows.scaled:
        return f"new rows are zero, old ones times sqrt(after / before): {grows.because}"
    return grows.because if grows is not None and grows.because else HOW[kind]


def _meant(growth: FamilyGrowth, width: Width, expansion: str) -> bool:
    """Whether --expansion means this width: the stream, for one, has rules of its own."""
    borne = growth.target.layout.bears(width)
    return expansion in borne or (expansion == "duplicate" and "even" in borne)


def _rescales(growth: FamilyGrowth, widens: list[Widen]) -> list[Rescale]:
    family, config = growth.target.family, growth.source.config
    found = []
    for grown in widens:
        for key, width in family.times.items():
            if width == grown.width and isinstance(value := family.value(config, key), int):
                after = value * grown.after // grown.before
                why = f"so that all copies of what was chosen among `{width}` are"
                found.append(Rescale("config.json", key, value, after, why))
        if grown.width == family.stream.width and grown.expansion in PADDED and family.stream.eps:
            eps = float(str(family.value(config, family.stream.eps)))
            after_eps = eps * grown.before / grown.after
            why = "what is normalised is smaller by the same factor"
            found.append(Rescale("config.json", family.stream.eps, eps, after_eps, why))
    return found


def drift(family: Family, config: Config) -> float:
    """What inserted blocks move the outputs by, relative, with a margin: a post-norm block puts one
    norm behind another, whose eps makes it no identity (MATH: post-norm block)."""
    if all(row.last is None for row in family.blocks):
        return 0.0
    stream = family.stream
    eps = float(str(family.value(config, stream.eps))) if stream.eps else stream.baked
    return 10 * eps


def _moved_bound(bound: int, arrangement: tuple[Block, ...]) -> int:
    """Where "the first N blocks" end once others have come in among them."""
    old = sum(not block.new for block in arrangement)
    new = sum(block.new and (block.source < bound or bound >= old) for block in arrangement)
    return bound + new


def student_config(
    growth: FamilyGrowth, done: tuple[Operation, ...], dtype: str | None
) -> dict[str, object]:
    """The config that goes with the student: the target's, with what operations and inserted
    blocks correct in it, and the dtype where it is another."""
    config = dict(growth.target.config)
    for key in ("dtype", "torch_dtype"):
        if dtype and key in config:
            config[key] = dtype
    for operation in done:
        if isinstance(operation, Rescale):
            config[operation.argument] = operation.after
    for row in growth.source.family.blocks:
        arrangement = growth.blocks[row.name]
        if not any(block.new for block in arrangement):
            continue
        count = growth.source.counts[row.name]
        for key, cycle in row.lists.items():
            old = growth.source.config.get(key)
            if old is None and cycle:
                old = [cycle[i % len(cycle)] for i in range(count)]
            if isinstance(old, list) and len(old) == count:
                config[key] = [old[block.source] for block in arrangement]
        for key in row.bounds:
            old = growth.source.config.get(key)
            if isinstance(old, int):
                config[key] = _moved_bound(old, arrangement)
        for key in row.indices:
            old = growth.source.config.get(key)
            if isinstance(old, list):
                config[key] = [i for i, block in enumerate(arrangement) if block.source in old]
    return config
