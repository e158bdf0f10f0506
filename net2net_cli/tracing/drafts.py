"""What a trace becomes before it has names: layers without names, and the values that flow.

A spec keeps the batch as axis 0 of every value and never mixes it with others; torch code does
what it likes. So a traced value is a view of what a layer gives: for each of its axes, the axes of
the layer's value that it is made of (``Flow``). A window attention's ``[N * windows, L, C]`` is the
layer's ``[N, windows, L, C]`` with ``axes = ((0, 1), (2,), (3,))``; a permutation is an order that
becomes a layer only where an operation minds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from net2net_cli.network import Value

BATCH = 1009
"""Examples in a batch that is traced: a prime that no width has, so that an axis whose size it
divides holds the batch. Nothing is computed while tracing, so that it costs nothing."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Origin:
    """Where an operation comes from: the module's path, its call, and the user's line."""

    path: str
    call: str
    kind: str
    """The module's class, as ``torchvision.models.resnet.BasicBlock``."""
    line: str = ""
    """``file:line``, or empty where it is not known."""
    code: str = ""

    def __str__(self) -> str:
        named = f"`{self.path}` ({self.kind.rpartition('.')[2]})" if self.path else "the module"
        return f"{named}, at `{self.code}`" if self.code else named


NOWHERE = Origin("", "", "")


@dataclass(frozen=True)
class Given:
    """An input of the network; ``shape`` with the batch, which is ``BATCH``."""

    name: str
    shape: Shape
    dtype: str


@dataclass(eq=False)
class Draft:
    """One layer without its final name. ``shape`` is that of its value, the batch as ``BATCH`` (or
    1, where it is the same for all examples). ``tensors`` maps its own tensors' names to their
    keys in the state dict; ``word`` is what it is called where no module gives it a name."""

    type: str
    args: dict[str, Value]
    reads: tuple[Source, ...] = field(repr=False)
    shape: Shape
    origin: Origin
    word: str
    tensors: Mapping[str, str] = field(default_factory=dict)
    name: str = ""


Source = Given | Draft


@dataclass(frozen=True)
class Flow:
    """A traced value that is a view of what ``source`` gives: see the module's docstring.

    Axis 0 of the source, its batch, may be missing from ``axes`` where it has size 1.
    """

    source: Source
    axes: tuple[tuple[int, ...], ...]
    origin: Origin | None = None
    """Where the last permutation was asked for."""

    @property
    def order(self) -> tuple[int, ...]:
        """The source's axes as the traced value has them, one after the other."""
        return tuple(axis for group in self.axes for axis in group)

    def size(self, index: int) -> int:
        """The size of an axis of the traced value."""
        found = 1
        for axis in self.axes[index]:
            found *= self.source.shape[axis]
        return found


@dataclass(frozen=True)
class Stored:
    """A parameter or buffer; ``key`` is its name in the state dict (None: not in it)."""

    key: str
    tensor: Tensor
    parameter: bool


@dataclass(frozen=True)
class Known:
    """A value that depends on no input: a tensor that the module computes from numbers."""

    tensor: Tensor


@dataclass(frozen=True)
class Length:
    """The lengths of vectors along an axis of the layer (``F.normalize`` divides by them)."""

    flow: Flow
    p: float
    dim: int
    eps: float = 0.0


def flow_of(source: Source) -> Flow:
    """The whole value of a layer or an input."""
    return Flow(source, tuple((axis,) for axis in range(len(source.shape))))
