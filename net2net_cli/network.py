"""A network as a graph of layers: what a spec says once branches and names are resolved.

Plain data that all rooms above speak of, the verifier too; ``spec`` makes it, ``layers`` says what
its types are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from net2net_cli.errors import Place

Value = None | bool | int | float | str | tuple["Value", ...]


@dataclass(frozen=True)
class Input:
    """One input of the network: ``shape`` without the batch axis.

    ``dtype`` is a torch dtype's name (``float32`` stands for "the checkpoint's own dtype");
    for integers, values are drawn from 0 to ``high - 1``.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    high: int | None = None
    place: Place | None = None


@dataclass(frozen=True)
class Layer:
    """One layer: a node of the graph.

    ``name`` is the prefix of its tensors in the state dict. ``args`` holds every argument of the
    layer type (defaults filled in, sizes per axis as tuples); an argument that is inferred and was
    left out is absent. ``inputs`` names the layers or network inputs that feed it, in order.
    ``share`` maps the layer's own tensor names (``weight``) to the full name of the tensor that
    they are, where another layer owns it.
    """

    name: str
    type: str
    args: Mapping[str, Value]
    inputs: tuple[str, ...]
    share: Mapping[str, str] = field(default_factory=dict)
    place: Place | None = None
    arg_places: Mapping[str, Place] = field(default_factory=dict)


@dataclass(frozen=True)
class Spec:
    """A whole network; ``layers`` are in an order in which they can run (inputs come first)."""

    inputs: tuple[Input, ...]
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]
    rename: Mapping[str, str] = field(default_factory=dict)
    place: Place | None = None

    def layer(self, name: str) -> Layer:
        """The layer of that name; KeyError when there is none."""
        return self._named[name]

    @cached_property
    def _named(self) -> Mapping[str, Layer]:
        return {layer.name: layer for layer in reversed(self.layers)}
