"""A family and a config.json as a layout: every tensor, with its widths."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from net2net_cli.axes import Axis, Number, Width, product, total
from net2net_cli.errors import CheckpointError, SpecError, UnreachableError, closest
from net2net_cli.families.family import Config, Family, Need, Stream, TensorRule
from net2net_cli.families.sizes import STORED, evaluate, size_of
from net2net_cli.io import TensorInfo
from net2net_cli.layers.table import TensorLine
from net2net_cli.layout import (
    EACH,
    MEAN,
    NOTHING,
    ZERO,
    Demand,
    Factor,
    LaidTensor,
    Layout,
    shape_of,
)
from net2net_cli.notation import Count, Expression, Group, Name

EVEN = frozenset({"even"})

_ONLY_EVEN = "copies in equal number keep their statistics"
_STREAM = {
    "rms": (EVEN | ZERO, f"RMSNorms lie over it: only zeros, or {_ONLY_EVEN}"),
    "layer": (EVEN | MEAN, f"LayerNorms lie over it: only the mean, or {_ONLY_EVEN}"),
    "post": (EVEN, f"a norm stands behind every sum (post-norm): only {_ONLY_EVEN}"),
    "even": (EVEN, f"norms lie over it: only {_ONLY_EVEN}"),
}


MOST_BLOCKS = 100_000
"""A config that counts more is not written out: its tensors' names alone would fill the memory."""


@dataclass(frozen=True)
class LaidFamily:
    """A family at the sizes of one config.

    ``rules`` gives each tensor's line, ``numbers`` the numbers in its name (by ``*`` or width);
    ``prefix`` is what the base tensors lie under; ``counts`` has the number of blocks of each row.
    """

    family: Family
    config: Config
    layout: Layout
    rules: Mapping[str, TensorRule]
    numbers: Mapping[str, Mapping[str, int]]
    prefix: str
    counts: Mapping[str, int]
    where: str

    @property
    def tied(self) -> bool:
        """Whether a head reads through the embedding's matrix, stored or not."""
        tie = bool(self.family.value(self.config, "tie_word_embeddings"))
        heads = any(rule.head and rule.pattern in self.family.tied for rule in self.family.tensors)
        return heads and tie and has_head(self.config)

    def sizes(self) -> dict[str, int]:
        """Every width's size, by name."""
        return {width.name: size for width, size in self.layout.sizes.items()}

    def stored(self) -> dict[str, int]:
        """Those that no config key says, which a target takes over."""
        return {n: s for n, s in self.sizes().items() if self.family.widths[n] == STORED}


_HEADS = (
    "LMHeadModel", "DoubleHeadsModel", "ForCausalLM", "ForConditionalGeneration", "ForMaskedLM",
    "ForPreTraining",
)  # fmt: skip


def has_head(config: Config) -> bool:
    """Whether the model that a config names ends in a head over the vocabulary."""
    names = config.get("architectures")
    return isinstance(names, list) and any(str(n).endswith(_HEADS) for n in names)


def lay_out(
    family: Family,
    config: Config,
    tensors: Iterable[str],
    where: str,
    *,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    stored: Mapping[str, int] | None = None,
    prefix: str | None = None,
) -> LaidFamily:
    """The layout of a family at a config's sizes, with the tensors of these names.

    ``shapes`` are a checkpoint's own, which give the sizes that no config key says; for a target
    ``stored`` gives them. Raises SpecError for sizes that do not fit, CheckpointError naming a
    tensor that the family does not know, UnreachableError where a config is none that it describes.
    """
    check_needs(family.needs, family, config, where)
    check_divides(family, config, where)
    names = list(tensors)
    found = _prefix(family, names) if prefix is None else prefix
    rules, numbers = _matched(family, names, found, where)
    known = dict(stored or {}) | _stored(family, rules, shapes or {})
    sizes = evaluate(family, config, known, where)
    counts = {
        b.name: size_of(b.count, b.count, sizes, family, config, where) for b in family.blocks
    }
    if beyond := [name for name, count in counts.items() if count > MOST_BLOCKS]:
        raise SpecError(
            f"the config counts {counts[beyond[0]]} blocks of `{beyond[0]}`, which no model has",
            where=where,
        )
    widths = {Width(name): size for name, size in sizes.items()}
    laid = {name: _laid(name, rules[name], found, widths) for name in names}
    layout = Layout(laid, {}, _demands(family), widths)
    return LaidFamily(family, config, layout, rules, numbers, found, counts, where)


def check_needs(needs: tuple[Need, ...], family: Family, config: Config, where: str) -> None:
    """Raise UnreachableError where a config has another value than a family asks for."""
    for need in needs:
        found = family.value(config, need.key)
        if found not in need.values and not (found is None and need.values == (False,)):
            raise UnreachableError(
                f"`{need.key}` is {_shown(found)}: {need.because}",
                where=where,
                hint=f"only {' or '.join(map(_shown, need.values))} is known to be preserved",
            )


def check_divides(family: Family, config: Config, where: str) -> None:
    """Raise UnreachableError where a size is no multiple of what the library wants it to be."""
    for by, key in family.divides.items():
        size, divisor = family.value(config, key), family.value(config, by)
        if isinstance(size, int) and isinstance(divisor, int) and divisor and size % divisor:
            raise UnreachableError(
                f"`{key}` ({size}) is no multiple of `{by}` ({divisor}), which transformers asks of"
                f" the family {family.name}",
                where=where,
                hint=f"use {size // divisor * divisor} or {(size // divisor + 1) * divisor}",
            )


def check_tensors(laid: LaidFamily, tensors: Mapping[str, TensorInfo], label: str) -> None:
    """Raise CheckpointError where config and tensors disagree in names or shapes."""
    absent = _absent_parts(laid, tensors)
    for rule in laid.family.tensors:
        if not rule.pattern.startswith(absent):
            for name in _lacking(rule, laid, tensors):
                raise _missing(name, laid, label)
    for row, count in laid.counts.items():
        for name in tensors:
            at = block_of(laid, name)
            if at is not None and at[0] == row and at[1] >= count:
                raise CheckpointError(
                    f"the checkpoint has `{name}`, but the config says {count} blocks"
                    f" (`{laid.family.row(row).count}`)",
                    where=label,
                    hint="config.json and the tensors belong to different models",
                )
    for name, tensor in laid.layout.tensors.items():
        found = tensors[name]
        if found.shape != tensor.shape:
            raise CheckpointError(
                f"`{name}` has shape {list(found.shape)}, but the config says {list(tensor.shape)}",
                where=label,
                hint="config.json and the tensors belong to different models",
            )


def _absent_parts(laid: LaidFamily, tensors: Mapping[str, TensorInfo]) -> tuple[str, ...]:
    """The decoder of an encoder alone: stacks of which the checkpoint has nothing."""
    roots = {f"{row.name.partition('.')[0]}." for row in laid.family.blocks}
    found = [r for r in roots if not any(n.startswith(laid.prefix + r) for n in tensors)]
    return tuple(found) if len(found) < len(roots) else ()


def _lacking(rule: TensorRule, laid: LaidFamily, tensors: Mapping[str, TensorInfo]) -> list[str]:
    """The names of a rule that should be there: all, or with any expert of a block all of them."""
    wanted = expected_names(rule, laid)
    if not rule.optional:
        return [name for name in wanted if name not in tensors]
    if "{" not in rule.pattern:
        return []
    numbers = [laid.numbers[n].get("*") for n in laid.rules if laid.rules[n] == rule]
    there = {str(number) for number in numbers}
    found = []
    for name in wanted:
        numbered = rule.match(name, laid.prefix) or {}
        if str(numbered.get("*")) in there and name not in tensors:
            found.append(name)
    return found


def expected_names(rule: TensorRule, laid: LaidFamily) -> list[str]:
    """The names that a rule stands for: one for each block, and each number of a width in it."""
    found = [rule.pattern if rule.head else laid.prefix + rule.pattern]
    for row, count in laid.counts.items():
        if rule.pattern.startswith(f"{row}.*"):
            found = [name.replace("*", str(i), 1) for name in found for i in range(count)]
    sizes = laid.sizes()
    for width in re.findall(r"\{(\w+)\}", rule.pattern):
        found = [n.replace(f"{{{width}}}", str(i)) for n in found for i in range(sizes[width])]
    return found


def block_of(laid: LaidFamily, name: str) -> tuple[str, int] | None:
    """The row of blocks that a tensor is in, and its number; None outside of them, and for a
    tensor whose pattern says the number itself."""
    rule, number = laid.rules[name], laid.numbers[name].get("*")
    if number is None:
        return None
    row = next(b.name for b in laid.family.blocks if rule.pattern.startswith(f"{b.name}.*"))
    return row, number


def _shown(value: object) -> str:
    return "not said" if value is None else f"`{json.dumps(value)}`"


def _missing(name: str, laid: LaidFamily, label: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint lacks `{name}`, which the family {laid.family.name} needs",
        where=label,
        hint="it is incomplete, or config.json is another model's",
    )


def _prefix(family: Family, names: list[str]) -> str:
    return next((p for p in family.prefixes if any(n.startswith(p) for n in names)), "")


def _matched(
    family: Family, names: list[str], prefix: str, where: str
) -> tuple[dict[str, TensorRule], dict[str, Mapping[str, int]]]:
    rules: dict[str, TensorRule] = {}
    numbers: dict[str, Mapping[str, int]] = {}
    for name in names:
        for rule in family.tensors:
            found = rule.match(name, prefix)
            if found is not None:
                rules[name], numbers[name] = rule, found
                break
        else:
            patterns = [rule.pattern for rule in family.tensors]
            near = closest(re.sub(r"\b\d+\b", "*", name.removeprefix(prefix)), patterns, 1)
            raise CheckpointError(
                f"the family {family.name} does not know the tensor `{name}`",
                where=where,
                hint=f"{near} " * bool(near)
                + "--family-file FILE takes a family of your own, which may describe it",
            )
    return rules, numbers


def _stored(
    family: Family, rules: Mapping[str, TensorRule], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, shape in shapes.items():
        axes = rules[name].line.axes
        if len(axes) != len(shape):
            continue
        for (axis, _), size in zip(axes, shape, strict=True):
            if isinstance(axis, Name) and family.widths[axis.name] == STORED:
                found.setdefault(axis.name, size)
    return found


def _laid(name: str, rule: TensorRule, prefix: str, widths: Mapping[Width, int]) -> LaidTensor:
    axes = tuple(
        tuple(Factor(_axis(part), role) for part in _parts(axis)) for axis, role in rule.line.axes
    )
    fill = "ones" if rule.flags & {"gain", "ones"} else "scaled"
    if rule.flags & {"shift", "zeros"}:
        fill = "zeros"
    line = TensorLine(name.rpartition(".")[2], "", fill)  # type: ignore[arg-type]
    layer = rule.module if rule.head else prefix + rule.module
    try:
        shape = shape_of(axes, widths)
    except KeyError as error:
        raise SpecError(f"nothing says how large `{error.args[0].name}` of `{name}` is") from None
    return LaidTensor(name, layer, line, axes, shape, settled=True)


def _parts(axis: Expression) -> tuple[Expression, ...]:
    return axis.parts if isinstance(axis, Group) and not axis.plus else (axis,)


def _axis(expression: Expression) -> Axis:
    match expression:
        case Name(name):
            return Width(name)
        case Count(size):
            return Number(size)
        case Group(parts, plus):
            return (total if plus else product)(*(_axis(part) for part in parts))


def stream_reason(stream: Stream) -> str:
    """Why the stream grows in some ways only."""
    return stream.because or _STREAM[stream.norm][1]


def _demands(family: Family) -> tuple[Demand, ...]:
    found = []
    for name, expression in family.widths.items():
        bears, reason = EACH, "it acts on each of its units alone"
        if name == family.stream.width:
            bears, reason = _STREAM[family.stream.norm][0], stream_reason(family.stream)
        elif (grows := family.grows.get(name)) and grows.by is not None:
            bears, reason = grows.by, grows.because
        elif expression == STORED:
            bears, reason = NOTHING, "no config key says its size"
        found.append(Demand(Width(name), frozenset(bears), "", reason))
    return tuple(found)
