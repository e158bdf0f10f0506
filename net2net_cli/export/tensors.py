"""Tensors that two layers share, and dtypes: what a state dict holds of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from net2net_cli.layout import GraphLayout
from net2net_cli.network import Layer

FLOATS = ("float", "bfloat")


@dataclass(frozen=True)
class Ties:
    """How shared tensors are said. A checkpoint may list one under the names of both layers or
    under its owner's alone; a state dict does as the module does.

    ``tied``: full names that are listed, and the owner's: one tensor under two names.
    ``borrowed``: for a layer, its own tensors that are not listed, and the owner's full names.
    ``instead``: layers that are another one called again, since nothing of theirs is listed.
    ``absent``: those, and parameters that are not listed: nothing is built for them.
    ``together``: for a layer, those whose tensors it borrows.
    ``layer_of``: the layer of every tensor's full name.
    """

    tied: dict[str, str] = field(default_factory=dict)
    borrowed: dict[str, dict[str, str]] = field(default_factory=dict)
    instead: dict[str, str] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    together: dict[str, frozenset[str]] = field(default_factory=dict)
    layer_of: dict[str, str] = field(default_factory=dict)


def ties_of(layout: GraphLayout, listed: Mapping[str, str]) -> Ties:
    """How the tensors of a layout are shared in a checkpoint that lists those names."""
    layers = {layer.name: layer for layer in layout.spec.layers}
    layer_of = {name: tensor.layer for name, tensor in layout.tensors.items()}
    layer_of |= dict(layout.sharers())
    found = Ties(layer_of=layer_of)
    absent = set()
    for layer in layers.values():
        names = {own: f"{layer.name}.{own}" if own else layer.name for own in layer.share}
        found.tied.update({n: layer.share[o] for o, n in names.items() if n in listed})
        borrowed = {own: layer.share[own] for own, name in names.items() if name not in listed}
        if not borrowed:
            continue
        owners = frozenset(layer_of[full] for full in borrowed.values())
        found.together[layer.name] = owners
        other = layers[min(owners)]
        if len(owners) == 1 and _is_again(layer, other, borrowed, layout):
            found.instead[layer.name] = other.name
            absent.add(layer.name)
            continue
        found.borrowed[layer.name] = borrowed
        if "" in borrowed:
            absent.add(layer.name)
    return Ties(
        found.tied, found.borrowed, found.instead, frozenset(absent), found.together, layer_of
    )


def _is_again(layer: Layer, other: Layer, borrowed: Mapping[str, str], layout: GraphLayout) -> bool:
    """Whether a layer is another one, called again: same type, arguments and tensors."""
    own = {name for name, tensor in layout.tensors.items() if tensor.layer == layer.name}
    tied = len(borrowed) < len(layer.share)
    args = {k: v for k, v in layer.args.items() if v is not None}
    others = {k: v for k, v in other.args.items() if v is not None}
    alike = all(others.get(k, v) == v for k, v in args.items())
    same = all(
        full == (f"{other.name}.{own_}" if own_ else other.name) for own_, full in borrowed.items()
    )
    return not own and not tied and alike and same and layer.type == other.type


def common_float(dtypes: Mapping[str, str]) -> str:
    """The dtype that most tensors of floats have."""
    floats = [dtype for dtype in dtypes.values() if dtype.startswith(FLOATS)]
    return max(sorted(set(floats)), key=floats.count) if floats else "float32"


def exceptions(dtypes: Mapping[str, str], common: str) -> dict[str, str]:
    """The tensors of floats that have another one."""
    return {n: d for n, d in dtypes.items() if d.startswith(FLOATS) and d != common}
