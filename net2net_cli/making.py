"""From a comparison and a plan to recipes, for networks that layer specs describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

from net2net_cli.axes import Width
from net2net_cli.axismap import AxisMap, Mapper, product_map
from net2net_cli.diff import Comparison
from net2net_cli.expansion import Expansion, Kind, expand
from net2net_cli.insertion import Exact, alike
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.layout import LaidTensor, shape_of
from net2net_cli.moments import closed_form
from net2net_cli.plan import Choices, Insert, Plan, Widen
from net2net_cli.recipe import (
    Base,
    Constant,
    Copy,
    Filling,
    Fresh,
    Identity,
    Moments,
    Recipe,
    common_dtype,
    gain_of,
)
from net2net_cli.solve import source_tensor


def make_recipes(
    comparison: Comparison, plan: Plan, dtypes: Mapping[str, str]
) -> tuple[Recipe, ...]:
    """One recipe for each tensor of the student, sorted by name.

    ``dtypes`` gives the dtype of each tensor in the source; new tensors take the dtype that most
    of the source's floating tensors have.
    """
    return _Maker(comparison, plan, dtypes).run()


class _Maker:
    def __init__(self, comparison: Comparison, plan: Plan, dtypes: Mapping[str, str]) -> None:
        self.comparison, self.choices, self.dtypes = comparison, plan.choices, dtypes
        self.grown = {Width(o.width): o for o in plan.operations if isinstance(o, Widen)}
        self.inserted = {o.layer: o for o in plan.operations if isinstance(o, Insert)}
        self.expansions = {w: _expansion(w, o, plan.choices) for w, o in self.grown.items()}
        # A width that neither the source has nor the plan grows is inside of new branches.
        self.sizes = {
            w: size if size or w in self.grown else comparison.target.sizes[w]
            for w, size in comparison.sizes.items()
        }
        self.common = common_dtype(dtypes)

    def run(self) -> tuple[Recipe, ...]:
        target = self.comparison.target
        found = [self._recipe(tensor) for tensor in target.tensors.values() if self._kept(tensor)]
        owners = {recipe.name: recipe for recipe in found}
        for alias, layer in target.sharers().items():
            if layer in self.comparison.matches and self._old_name(alias, layer) in self.dtypes:
                found.append(replace(owners[target.aliases[alias]], name=alias))
        return tuple(sorted(found, key=lambda recipe: recipe.name))

    def _kept(self, tensor: LaidTensor) -> bool:
        """All but a ``num_batches_tracked`` that the source, too, does without."""
        old = tensor.layer in self.comparison.matches
        return not (old and tensor.line.fill == "count") or (
            self._old_name(tensor.name, tensor.layer) in self.dtypes
        )

    def _old_name(self, name: str, layer: str) -> str:
        return self.comparison.matches[layer] + name[len(layer) :]

    def _recipe(self, tensor: LaidTensor) -> Recipe:
        base = self._base(tensor)
        mapper = Mapper(self.expansions, self.sizes, tensor.settled)
        axes: tuple[AxisMap, ...] = ()
        if not isinstance(base, Fresh):
            axes = tuple(
                product_map([mapper.axis(f.axis, f.role) for f in factors])
                for factors in tensor.axes
            )
        return Recipe(
            tensor.name,
            self._dtype(tensor, base),
            tensor.shape,
            base,
            axes,
            self._filling(tensor, axes),
            self.choices.split,
            self.choices.noise if tensor.line.fill in ("uniform", "normal") else 0.0,
            self._scale(tensor),
            f"{self.choices.seed}/{tensor.name}",
            isinstance(base, Copy) and self._dtype(tensor, base) != self.dtypes[base.name],
        )

    def _dtype(self, tensor: LaidTensor, base: Base) -> str:
        if tensor.line.fill == "count":
            return self.dtypes[base.name] if isinstance(base, Copy) else "int64"
        if isinstance(base, Copy) and not self.dtypes[base.name].startswith(("float", "bfloat")):
            return self.dtypes[base.name]
        if self.choices.dtype:
            return self.choices.dtype
        return self.dtypes[base.name] if isinstance(base, Copy) else self.common

    def _base(self, tensor: LaidTensor) -> Base:
        comparison = self.comparison
        if tensor.layer in comparison.matches or tensor.line.fill == "kept":
            name = _copied(comparison, tensor)
            assert name is not None, tensor.name
            return Copy(name)
        old = shape_of(tensor.axes, self.sizes)
        if tensor.line.fill == "count":
            return Constant(old, 0)
        if tensor.layer in comparison.duties.zeroed:
            last = LAYER_TYPES[comparison.target.spec.layer(tensor.layer).type].last
            zero = tensor.line.name.startswith(last) and not tensor.line.buffer
            return Constant(old, 0) if zero else Fresh()
        duty = comparison.duties.of[tensor.layer]
        return self._identity(tensor, duty, old) if isinstance(duty, Exact) else Fresh()

    def _identity(self, tensor: LaidTensor, duty: Exact, old: tuple[int, ...]) -> Base:
        layer = self.comparison.target.spec.layer(tensor.layer)
        if layer.type in ("PReLU", "LayerScale"):
            return Constant(old, 1)
        if layer.type.startswith("BatchNorm"):
            how = self.inserted[layer.name].moments
            normal = (
                closed_form(self.comparison.source.spec, duty.value) if how == "closed form" else ()
            )
            eps = float(str(layer.args["eps"]))
            return Moments(duty.value, tensor.line.name, eps, normal, duty.repeat)
        if tensor.line.name == "bias":
            return Constant(old, 0)
        taps = self.comparison.duties.taps.get(layer.name, ())
        return Identity(old, taps, duty.repeat, layer.type.startswith("ConvTranspose"))

    def _filling(self, tensor: LaidTensor, axes: tuple[AxisMap, ...]) -> Filling:
        layer = self.comparison.target.spec.layer(tensor.layer)
        weight = self.comparison.target.tensors.get(f"{tensor.layer}.weight", tensor)
        fan_in = prod(weight.shape[1:]) if len(weight.shape) > 1 else 1
        fan_in = int(str(layer.args.get("hidden_size", fan_in)))  # as torch draws all of an LSTM's
        gain = gain_of(axes, tensor) if axes else 1.0
        init = float(str(layer.args.get("init", 0.02)))
        bound = init if tensor.line.fill == "scaled" else max(fan_in, 1) ** -0.5
        return Filling(tensor.line.fill, bound, init, gain)

    def _scale(self, tensor: LaidTensor) -> float:
        """sqrt(n/m) for the gain of a norm over a width grown by its mean, or by zeros."""
        layer = self.comparison.target.spec.layer(tensor.layer)
        norm = LAYER_TYPES[layer.type].rule == "norm"
        if not norm or tensor.line.name != "weight" or len(tensor.axes) != 1:
            return 1.0
        axis = tensor.axes[0][0].axis
        grown = self.grown.get(axis) if isinstance(axis, Width) else None
        if grown is None or grown.expansion not in ("mean", "zero"):
            return 1.0
        return float((grown.before / grown.after) ** 0.5)


def _copied(comparison: Comparison, tensor: LaidTensor) -> str | None:
    """The source's tensor that one of the target's is made of; None of one that is new. What is
    kept in every layer of a kind alike (an index of positions) a new one takes from another."""
    if tensor.layer in comparison.matches:
        return source_tensor(comparison.source, tensor.name, tensor.layer, comparison.matches)
    if tensor.line.fill != "kept":
        return None
    like = alike(comparison.source, comparison.target.spec.layer(tensor.layer))
    return f"{like}.{tensor.line.name}" if like else None


def student_dtypes(
    comparison: Comparison, dtypes: Mapping[str, str], wanted: str | None
) -> Mapping[str, str]:
    """The dtype of each tensor of the student: its own, for new ones the commonest, or the one
    wanted, which counts and other whole numbers do not take."""
    common = wanted or common_dtype(dtypes)
    found = {}
    for name, tensor in comparison.target.tensors.items():
        counts = tensor.line.fill == "count"
        had = dtypes.get(_copied(comparison, tensor) or "", "int64" if counts else common)
        cast = had.startswith(("float", "bfloat")) and not counts
        found[name] = wanted if wanted and cast else had
    return found


def _expansion(width: Width, grown: Widen, choices: Choices) -> Expansion:
    kind: Kind = grown.expansion  # type: ignore[assignment]
    return expand(kind, grown.before, grown.after, f"{choices.seed}/{width.name}")
