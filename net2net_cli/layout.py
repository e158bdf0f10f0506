"""The layout: every tensor of a network, and for each of its axes the widths and their role.

That of a layer spec is made by ``laying``, which walks its layers and unifies the axes that must
hold the same features; that of a transformer by ``families``. Everything after knows layouts only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

from net2net_cli.axes import Axis, Width, size_of, widths
from net2net_cli.errors import Place
from net2net_cli.layers.table import TensorLine
from net2net_cli.network import Layer, Spec, Value
from net2net_cli.notation import Role

EACH = frozenset({"duplicate", "even", "fresh"})
"""What anything bears that acts on each channel alone."""

ZERO = frozenset({"zero"})
MEAN = frozenset({"mean"})
ALL = EACH | ZERO | MEAN
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Factor:
    """One factor of a tensor's axis. ``write``: multiplied by E; ``read``: summed over, by D."""

    axis: Axis
    role: Role


@dataclass(frozen=True)
class LaidTensor:
    """A tensor: each of its axes is a product of factors, outermost first.

    ``settled`` says that the channels it reads have passed a norm that makes new channels 0
    under the mean expansion, so that its new columns may hold anything.
    """

    name: str
    layer: str
    line: TensorLine
    axes: tuple[tuple[Factor, ...], ...]
    shape: tuple[int, ...]
    settled: bool = False


@dataclass(frozen=True)
class Demand:
    """What a layer bears on an axis, and why no more.

    ``joint``: the layer takes statistics over the whole axis, so that its parts must all grow by
    the same whole factor.
    """

    axis: Axis
    bears: frozenset[str]
    layer: str
    reason: str
    joint: bool = False

    def borne_by(self, width: Width) -> frozenset[str]:
        """What it leaves to one width of the axis: the mean of a part is none of the whole's, and
        zeros in a part change how many there are."""
        return self.bears - MEAN - ZERO if self.joint and self.axis != width else self.bears


@dataclass(frozen=True)
class Data:
    """What flows along an edge: its axes without the batch; ``settled`` as in LaidTensor.

    ``normed``: a norm's output is a part of it, so that under the mean expansion its new channels
    do not hold the mean of the old ones, which a second norm would need.
    """

    axes: tuple[Axis, ...]
    settled: bool = False
    normed: bool = False


@dataclass(frozen=True)
class Layout:
    """Tensors and their widths, wherever they come from.

    ``aliases`` maps the names of shared tensors to the tensor that they are.
    """

    tensors: Mapping[str, LaidTensor]
    aliases: Mapping[str, str]
    demands: tuple[Demand, ...]
    sizes: Mapping[Width, int]

    def layers(self) -> tuple[str, ...]:
        """The names of the layers, in order."""
        return tuple(dict.fromkeys(tensor.layer for tensor in self.tensors.values()))

    def sharers(self) -> Mapping[str, str]:
        """The layer of each name in ``aliases``."""
        return {}

    def place(self, _layer: str) -> Place | None:
        """Where a layer was written."""
        return None

    def size(self, axis: Axis) -> int:
        """The number of features of an axis."""
        return size_of(axis, self.sizes)

    def members(self, width: Width) -> tuple[str, ...]:
        """The layers with a tensor that has this width, in the network's order."""
        return tuple(sorted(self._having.get(width, ()), key=self._order.__getitem__))

    def limits(self, width: Width) -> tuple[Demand, ...]:
        """The demands that touch a width."""
        return tuple(self._demanded.get(width, ()))

    @cached_property
    def _order(self) -> Mapping[str, int]:
        return {layer: i for i, layer in enumerate(self.layers())}

    @cached_property
    def _having(self) -> Mapping[Width, set[str]]:
        found: dict[Width, set[str]] = {}
        owners = [(name, t.layer) for name, t in self.tensors.items()]
        sharers = [(self.aliases[alias], layer) for alias, layer in self.sharers().items()]
        for name, layer in (*owners, *sharers):
            for width in tensor_widths(self.tensors[name]):
                found.setdefault(width, set()).add(layer)
        return found

    @cached_property
    def _demanded(self) -> Mapping[Width, list[Demand]]:
        found: dict[Width, list[Demand]] = {}
        for demand in self.demands:
            for width in set(widths(demand.axis)):
                found.setdefault(width, []).append(demand)
        return found

    def bears(self, width: Width) -> frozenset[str]:
        """The expansions that everything along a width bears."""
        found = ALL
        for demand in self.limits(width):
            found &= demand.borne_by(width)
        return found

    def free(self) -> tuple[Width, ...]:
        """The widths that can grow, in the network's order."""
        seen: dict[Width, None] = {}
        for tensor in self.tensors.values():
            seen.update(dict.fromkeys(tensor_widths(tensor)))
        return tuple(w for w in seen if self.bears(w))


@dataclass(frozen=True)
class GraphLayout(Layout):
    """The layout of a layer spec: what flows between its layers is laid out too.

    ``arguments`` holds, for each layer, the axis that an argument counts (``out_channels``);
    ``ties`` are axes of one size with features of their own (attention's heads and its stream).
    """

    spec: Spec
    values: Mapping[str, Data]
    arguments: Mapping[str, Mapping[str, tuple[Axis, ...]]]
    ties: tuple[tuple[Axis, Axis], ...] = ()

    def layers(self) -> tuple[str, ...]:
        """The spec's layers, with or without tensors."""
        return tuple(layer.name for layer in self.spec.layers)

    def sharers(self) -> Mapping[str, str]:
        """The layer of each name in ``aliases``."""
        return {
            f"{layer.name}.{own}" if own else layer.name: layer.name
            for layer in self.spec.layers
            for own in layer.share
        }

    def tied(self, sizes: Mapping[Width, int]) -> dict[Width, int]:
        """Sizes of all widths, where those grow that ties demand to."""
        found = dict(sizes)
        for one, other in self.ties:
            wanted = size_of(one, found)
            for width in dict.fromkeys(widths(other)):
                base, each = (size_of(other, {**found, width: n}) for n in (0, 1))
                count, over = divmod(wanted - base, each - base)
                if not over and count > found[width] and self.bears(width):
                    found[width] = count
                    break
        return found

    def place(self, layer: str) -> Place | None:
        """The spec's line."""
        return self.spec.layer(layer).place


def tensor_widths(tensor: LaidTensor) -> Iterator[Width]:
    """Every width on a tensor's axes."""
    for factors in tensor.axes:
        for factor in factors:
            yield from widths(factor.axis)


def shape_of(axes: tuple[tuple[Factor, ...], ...], sizes: Mapping[Width, int]) -> tuple[int, ...]:
    """A tensor's shape, given the size of every width."""
    return tuple(prod(size_of(f.axis, sizes) for f in factors) for factors in axes)


def place_of(layer: Layer, argument: str = "") -> Place | None:
    """Where an argument (or else the layer) was written."""
    return layer.arg_places.get(argument, layer.place)


def integer(value: Value) -> int:
    """An argument that the spec has checked to be a whole number."""
    assert isinstance(value, int)
    return value
