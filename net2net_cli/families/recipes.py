"""The recipes of a grown transformer: what each of its tensors is made of.

Rules of scale: MATH, residual streams. With s = sqrt(n/m) for a stream that grows from n to m by
zeros or the mean: gains times s, eps times n/m; where eps is baked in, what writes the stream is
multiplied by 1/s instead. What else depends on the hidden size (embeddings times sqrt(hidden),
logits over sqrt(hidden), a tied head that reads every copy) is undone where it arises, or in the
norm before the head.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from net2net_cli.axes import Width, widths
from net2net_cli.axismap import AxisMap, Mapper, product_map
from net2net_cli.expansion import Expansion, expand
from net2net_cli.families.family import Blocks, TensorRule
from net2net_cli.families.growth import PADDED, FamilyGrowth, Origin, name_of
from net2net_cli.families.lay import block_of, has_head
from net2net_cli.layout import Factor, LaidTensor, shape_of
from net2net_cli.plan import Choices, Operation, Widen
from net2net_cli.recipe import Base, Constant, Copy, Filling, Fresh, Recipe, common_dtype, gain_of

DEVIATION = 0.02
"""The standard deviation of fresh weights where the config says no ``initializer_range``."""


def make_recipes(
    growth: FamilyGrowth,
    choices: Choices,
    operations: tuple[Operation, ...],
    dtypes: Mapping[str, str],
) -> tuple[Recipe, ...]:
    """One recipe for each tensor of the student, sorted by name; ``dtypes`` are the source's."""
    maker = _Maker(growth, choices, operations, dtypes)
    found = [maker.recipe(tensor) for tensor in growth.target.layout.tensors.values()]
    return tuple(sorted(found, key=lambda recipe: recipe.name))


def student_dtypes(
    growth: FamilyGrowth, dtypes: Mapping[str, str], wanted: str | None
) -> Mapping[str, str]:
    """Each tensor's dtype: its source's, for new ones the commonest, or the one wanted."""
    common = common_dtype(dtypes)
    found = {}
    for name in growth.target.layout.tensors:
        origin = growth.origins.get(name)
        old = dtypes.get(_first_source(growth, origin), common) if origin else common
        floating = old.startswith(("float", "bfloat"))
        found[name] = wanted if wanted and floating else old
    return found


def _first_source(growth: FamilyGrowth, origin: Origin) -> str:
    """A source tensor of the same rule and block (experts have one dtype)."""
    sizes = growth.source.sizes()
    numbers = {k: n if k == "*" else min(n, sizes.get(k, 1) - 1) for k, n in origin.numbers.items()}
    return name_of(origin.rule.pattern, numbers, "" if origin.rule.head else growth.source.prefix)


class _Maker:
    def __init__(
        self,
        growth: FamilyGrowth,
        choices: Choices,
        operations: tuple[Operation, ...],
        dtypes: Mapping[str, str],
    ) -> None:
        self.growth, self.choices = growth, choices
        self.family, self.source, self.target = growth.target.family, growth.source, growth.target
        self.dtypes = student_dtypes(growth, dtypes, choices.dtype)
        self.old_dtypes = dtypes
        self.grown = {Width(o.width): o for o in operations if isinstance(o, Widen)}
        self.expansions = {w: _expansion(o, choices) for w, o in self.grown.items()}
        self.scales = _Scales(growth, self.grown.get(Width(self.family.stream.width)))
        self.axes: dict[object, AxisMap] = {}
        self.queries = {
            w: sqrt(o.after / o.before)
            for w, o in self.grown.items()
            if (grows := self.family.grows.get(w.name)) and grows.scaled
        }

    def recipe(self, tensor: LaidTensor) -> Recipe:
        name = tensor.name
        as_if = self._tied_to(name)
        laid, rule = self.target.layout.tensors[as_if], self.target.rules[as_if]
        base = self._base(tensor)
        axes = () if isinstance(base, Fresh) else self._axes(laid, rule)
        scale, offset = self.scales.of(rule, last=self._is_last(as_if))
        dtype = self.dtypes[name]
        return Recipe(
            name,
            dtype,
            tensor.shape,
            base,
            axes,
            self._filling(tensor, rule, self._gain(axes, laid)),
            self.choices.split,
            self.choices.noise if len(tensor.axes) > 1 else 0.0,
            scale,
            f"{self.choices.seed}/{as_if}",
            isinstance(base, Copy) and dtype != self.old_dtypes[base.name],
            offset,
            self._is_new(name),
        )

    def _is_new(self, name: str) -> bool:
        """Whether a tensor is an inserted block's own: all but the norm that moved into it from
        the block before."""
        origin = self.growth.origins.get(name)
        if origin is None or not origin.new:
            return False
        row = next((b for b in self.source.family.blocks if _inside(origin.rule, b)), None)
        module = origin.rule.module.removeprefix(f"{row.name}.*.") if row else ""
        return row is None or row.last is None or module != row.last

    def _tied_to(self, name: str) -> str:
        """A tensor that is stored again under another name is made as the first is."""
        prefix, head = self.target.prefix, self.target.rules[name].head
        other = self.family.tied.get(name if head else name.removeprefix(prefix))
        if other is None or (head and not self.target.tied):
            return name
        return prefix + other if prefix + other in self.target.layout.tensors else name

    def _axes(self, laid: LaidTensor, rule: TensorRule) -> tuple[AxisMap, ...]:
        writes = {} if rule.flags & {"gain", "shift"} else self.scales.writers
        mapper = Mapper(
            self.expansions, self.growth.before, settled=True, scales=self.queries | writes
        )
        return tuple(self._axis(mapper, factors) for factors in laid.axes)

    def _axis(self, mapper: Mapper, factors: tuple[Factor, ...]) -> AxisMap:
        """The map of an axis; blocks are alike, and have one map together."""
        key = (factors, tuple(mapper.scales.items()))
        if key not in self.axes:
            self.axes[key] = product_map([mapper.axis(f.axis, f.role) for f in factors])
        return self.axes[key]

    def _is_last(self, name: str) -> bool:
        at = block_of(self.target, name)
        return at is None or at[1] == self.target.counts[at[0]] - 1

    def _gain(self, axes: tuple[AxisMap, ...], tensor: LaidTensor) -> float | None:
        """Units of a kind that none copies are not there to compute what the others do: tokens as
        likely as old ones would take the place of those."""
        grown = {w for axis in tensor.axes for f in axis for w in widths(f.axis)} & set(self.grown)
        alone = (grows for w in grown if (grows := self.family.grows.get(w.name)))
        if any(grows.by == frozenset({"fresh"}) for grows in alone):
            return None
        return gain_of(axes, tensor) if axes else 1.0

    def _filling(self, tensor: LaidTensor, rule: TensorRule, gain: float | None) -> Filling:
        found = self.source.family.value(self.source.config, "initializer_range")
        deviation = float(found) if isinstance(found, int | float) else DEVIATION
        if len(tensor.axes) == 1:
            deviation = 0.0
        one_plus = self.family.stream.one_plus and rule.flags & {"gain", "ones"}
        return Filling("zeros" if one_plus else tensor.line.fill, deviation, 0.0, gain)

    def _base(self, tensor: LaidTensor) -> Base:
        origin = self.growth.origins.get(tensor.name)
        if origin is None:
            return Fresh()
        copied = Copy(self._source_name(origin))
        number = self.target.numbers[tensor.name].get("*")
        if number is None:
            return copied
        row = next((b for b in self.source.family.blocks if _inside(origin.rule, b)), None)
        if row is None:
            return copied
        old = shape_of(tensor.axes, self.growth.before)
        module = origin.rule.module.removeprefix(f"{row.name}.*.")
        whole = origin.rule.pattern.removeprefix(f"{row.name}.*.")
        if origin.new and (module in row.zero or whole in row.zero):
            return Constant(old, 0.0)
        return self._post_norm(row, number, module, tensor, origin, old) or copied

    def _post_norm(
        self, row: Blocks, number: int, module: str, tensor: LaidTensor, origin: Origin,
        old: tuple[int, ...],
    ) -> Base | None:  # fmt: skip
        """A block's last norm stands behind the last of its new followers; those between are 1, 0.
        (MATH: post-norm block.)"""
        arrangement = self.growth.blocks[row.name]
        followed = number + 1 < len(arrangement) and arrangement[number + 1].new
        plain = (module == row.last and followed) or (origin.new and module in row.first)
        if row.last is None or not plain:
            return None
        return Constant(old, 1.0 if tensor.line.fill == "ones" else 0.0)

    def _source_name(self, origin: Origin) -> str:
        numbers = {}
        for key, number in origin.numbers.items():
            expansion = self.expansions.get(Width(key))
            numbers[key] = expansion.index[number] if expansion else number
        prefix = "" if origin.rule.head else self.source.prefix
        return name_of(origin.rule.pattern, numbers, prefix)


def _inside(rule: TensorRule, row: Blocks) -> bool:
    return rule.pattern.startswith(f"{row.name}.*")


class _Scales:
    """What a grown stream multiplies: gains, embeddings, rows that are normalised again."""

    def __init__(self, growth: FamilyGrowth, grown: Widen | None) -> None:
        stream, target = growth.target.family.stream, growth.target
        self.one_plus, self.tied = stream.one_plus, target.tied
        self.gain = self.shift = self.normed = self.embedding = self.final = 1.0
        self.writers: dict[Width, float] = {}
        if grown is None:
            return
        shrink = sqrt(grown.before / grown.after)
        padded = grown.expansion in PADDED
        stretch = 1 / shrink if padded and not stream.eps else 1.0
        if stretch != 1:
            self.writers = {Width(stream.width): stretch}
        self.gain = shrink if padded else 1.0
        self.normed = shrink if padded and stream.eps else 1.0
        if any("embedding" in rule.flags for rule in target.rules.values()):
            self.embedding = shrink
        if self.tied:
            copies = 1 if padded else grown.after // grown.before
            self.final = 1 / (self.embedding * copies * stretch)
        if has_head(target.config) and target.family.says(target.config, stream.logits_over_sqrt):
            self.final /= shrink

    def of(self, rule: TensorRule, *, last: bool) -> tuple[float, float]:
        """What a tensor's copied entries are multiplied by, and what is added then; ``last``: it is
        in no block but the last, whose norm may be the one in front of the head."""
        scale, normalises = 1.0, bool(rule.flags & {"gain", "shift"})
        if "gain" in rule.flags:
            scale *= self.gain
        if "final" in rule.flags and last:
            scale *= 1 / self.final if rule.head and not normalises else self.final
        if "embedding" in rule.flags:
            scale *= self.embedding
        if "normed" in rule.flags:
            scale *= self.normed
        one_plus = self.one_plus and "gain" in rule.flags
        return scale, scale - 1.0 if one_plus else 0.0


def _expansion(grown: Widen, choices: Choices) -> Expansion:
    kind = grown.expansion
    return expand(kind, grown.before, grown.after, f"{choices.seed}/{grown.width}")  # type: ignore[arg-type]
