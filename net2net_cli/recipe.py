"""Recipes: for every tensor of the student, what it is made of.

A recipe names a base (a tensor of the source, an identity, a constant, fresh values) and the map
of each axis. Recipes follow from the plan alone; ``check`` states what must hold before a byte
is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from net2net_cli.axismap import AxisMap
from net2net_cli.layers.table import Fill
from net2net_cli.layout import LaidTensor, Layout
from net2net_cli.moments import NormalPart


@dataclass(frozen=True)
class Copy:
    """The source's tensor of that name."""

    name: str


@dataclass(frozen=True)
class Identity:
    """An identity matrix or kernel: each output copies the input that it stands for (``repeat``
    outputs an input), at position ``taps`` of the kernel."""

    shape: tuple[int, ...]
    taps: tuple[int, ...]
    repeat: int
    transposed: bool


@dataclass(frozen=True)
class Constant:
    """One number everywhere, of the old shape."""

    shape: tuple[int, ...]
    value: float


@dataclass(frozen=True)
class Fresh:
    """Nothing of the source: every entry is drawn as torch initialises it."""


@dataclass(frozen=True)
class Moments:
    """A BatchNorm's four vectors that undo its normalisation of a teacher's value.

    ``part``: weight, bias, running_mean or running_var; ``normal``: where the closed form comes
    from, empty where the statistics of ``value`` are measured. ``repeat`` as in Identity.
    """

    value: str
    part: str
    eps: float
    normal: tuple[NormalPart, ...]
    repeat: int


Base = Copy | Identity | Constant | Fresh | Moments


@dataclass(frozen=True)
class Filling:
    """How fresh entries are drawn (see table.Fill); ``bound`` is 1/sqrt(fan-in) of the grown
    layer, or the standard deviation of ``scaled``; ``init`` the layer's own constant. Beside a
    source tensor's entries, those drawn are ``gain`` times as large (see ``gain_of``), or, where it
    is None, as large as ``fill`` says all the same."""

    fill: Fill
    bound: float
    init: float
    gain: float | None = 1.0


@dataclass(frozen=True)
class Recipe:
    """One tensor of the student. ``dtype`` is torch's name; copied entries are multiplied by
    ``scale``, then ``offset`` is added; ``key`` seeds whatever is drawn (aliases of one tensor have
    one key). ``new``: it copies a tensor of the teacher, but is no continuation of it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    base: Base
    axes: tuple[AxisMap, ...]
    filling: Filling
    split: str
    noise: float
    scale: float
    key: str
    cast: bool = False
    offset: float = 0.0
    new: bool = False

    @property
    def plain(self) -> bool:
        """Whether the tensor is a source tensor's bytes as they are."""
        return isinstance(self.base, Copy) and self.kept and not self.cast

    @property
    def kept(self) -> bool:
        """Whether its base's entries stay what and where they are."""
        still = all(axis.trivial and not axis.shares for axis in self.axes)
        return still and self.scale == 1 and self.offset == 0


def gain_of(axes: Sequence[AxisMap], tensor: LaidTensor) -> float:
    """sqrt(old / new fan-in): so much smaller are the weights of a new unit than those of the old
    ones, so that it gives values as large as theirs from more inputs. Which sizes students learn
    fastest with: tests/benchmarks/learning."""
    read = [
        axis.before / max(axis.after, 1)
        for axis, factors in zip(axes, tensor.axes, strict=True)
        if any(factor.role == "read" for factor in factors)
    ]
    return prod(read) ** 0.5


def common_dtype(dtypes: Mapping[str, str]) -> str:
    """The dtype of most floating tensors; float32 where there are none."""
    floats = [d for d in dtypes.values() if d.startswith(("float", "bfloat"))]
    return max(sorted(set(floats)), key=floats.count) if floats else "float32"


def check(
    recipes: Sequence[Recipe], source: Layout, target: Layout, sources: Sequence[str]
) -> None:
    """What must hold before a byte is written: every tensor of the source is consumed, every
    tensor of the target produced, none twice, and the maps fit. A failure is a defect of ours."""
    names = [recipe.name for recipe in recipes]
    assert len(names) == len(set(names)), "a tensor is produced twice"
    wanted = {n for n, t in target.tensors.items() if t.line.fill != "count"}
    assert wanted <= set(names), "a tensor of the target is not produced"
    owners = source.aliases
    used = [r.base.name for r in recipes if isinstance(r.base, Copy)]
    lost = {owners.get(name, name) for name in sources} - set(used)
    assert not lost, f"tensors of the source are lost: {sorted(lost)}"
    for recipe in recipes:
        if not isinstance(recipe.base, Fresh):
            assert tuple(a.after for a in recipe.axes) == recipe.shape, recipe.name
