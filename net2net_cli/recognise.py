"""A spec for a checkpoint that has none: a plain chain of Linear or Conv layers shows itself.

What tensors cannot show (activations, strides, padding, pooling) is assumed, and said: widening
is exact whatever they are, as long as they act on each channel alone, and so is a new layer without
an activation. What is not, ``cautions`` tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isqrt

from net2net_cli.io import TensorInfo
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.network import Layer
from net2net_cli.plan import Insert, Operation, Widen
from net2net_cli.spec import Document, Spec, parse_document
from net2net_cli.spec.dump import dump

NOTE = (
    "the spec was recognised from the tensors' shapes; activations (ReLU), padding and pooling are"
    " assumed: widening is exact whatever acts on each channel alone"
)
CARRIED_NOTE = (
    "the spec in its metadata was recognised from tensors' shapes when the network was first grown;"
    " activations (ReLU), padding and pooling in it are assumed"
)
MARK = "assumed_"

LONGEST = 10_000
"""More layers than that make no chain that anybody trained, and would take minutes to read."""


@dataclass(frozen=True)
class _Weight:
    name: str
    shape: tuple[int, ...]
    bias: bool


def recognise(tensors: Mapping[str, TensorInfo]) -> Document | None:
    """The spec of a chain, or None where the tensors are no such chain.

    Every tensor must be the ``weight`` or ``bias`` of a Linear or Conv, in an order in which each
    reads what the one before gives.
    """
    weights = _weights(tensors) if len(tensors) <= 2 * LONGEST else None
    chain = _in_order(weights) if weights else None
    if not chain:
        return None
    first = chain[0].shape
    image = [first[1], *[max(8, k) for k in first[2:]]] if len(first) > 2 else [first[1]]
    layers = {chain[0].name: _layer(chain[0])}
    for before, weight in pairwise(chain):
        between = ["{type: ReLU}"]
        if len(before.shape) > len(weight.shape):
            between += _flattened(before, weight)
        layers.update(
            zip(_names_between(before, weight, len(between), len(layers)), between, strict=True)
        )
        layers[weight.name] = _layer(weight)
    lines = [f"  {_quoted(name)}: {text}" for name, text in layers.items()]
    text = "\n".join(["net2net: 1", f"input: {image}", "layers:", *lines]) + "\n"
    return parse_document(dump(parse_document(text, "recognised")), "the recognised spec")


def assumed_layers(spec: Spec) -> tuple[str, ...]:
    """The layers of a recognised chain that its tensors do not show, in order."""
    return tuple(layer.name for layer in spec.layers if _is_assumed(layer))


def _is_assumed(layer: Layer) -> bool:
    if LAYER_TYPES[layer.type].tensors:
        return False
    return layer.name.startswith(MARK) or _split_number(layer.name)[1] >= 0


def cautions(assumed: Iterable[str], operations: Iterable[Operation]) -> tuple[str, ...]:
    """What operations are exact only if the assumed layers are what they were taken for."""
    found, names = [], set(assumed)
    for item in operations:
        if isinstance(item, Widen) and item.expansion == "zero" and names:
            found.append(
                f"`zero` for `{item.members[0]}` is exact only if the activations, which are"
                " assumed to be ReLU, map 0 to 0"
            )
        if isinstance(item, Insert) and item.value in names and _needs_range(item.type):
            found.append(
                f"`{item.layer}` ({item.type}) leaves the values as they are only if"
                f" `{item.value}` is what it was assumed to be"
            )
    return tuple(found)


def _needs_range(kind: str) -> bool:
    """Whether a layer of that type is the identity on some values alone."""
    return LAYER_TYPES[kind].fixes not in (None, (-inf, inf))


def _weights(tensors: Mapping[str, TensorInfo]) -> list[_Weight] | None:
    found = []
    for name, info in tensors.items():
        layer, _, kind = name.rpartition(".")
        if not layer or kind not in ("weight", "bias"):
            return None
        if kind == "bias":
            weight = tensors.get(f"{layer}.weight")
            if weight is None or info.shape != weight.shape[:1]:
                return None
        elif not 2 <= len(info.shape) <= 5:
            return None
        else:
            found.append(_Weight(layer, info.shape, f"{layer}.bias" in tensors))
    return found


def _in_order(weights: list[_Weight]) -> list[_Weight] | None:
    """The one order in which each layer reads what the one before gives, numbers as numbers."""
    rest = sorted(weights, key=lambda w: [(not p.isdigit(), int(p) if p.isdigit() else 0, p)
                                          for p in w.name.split(".")])  # fmt: skip
    if all(_reads(b, a) for a, b in pairwise(rest)):
        return rest
    for first in rest:
        chain = _followed(first, [w for w in rest if w is not first])
        if chain:
            return chain
    return None


def _followed(first: _Weight, rest: list[_Weight]) -> list[_Weight] | None:
    chain = [first]
    while rest:
        following = [w for w in rest if _reads(w, chain[-1])]
        if len(following) != 1:
            return None
        chain.append(following[0])
        rest.remove(following[0])
    return chain


def _reads(after: _Weight, before: _Weight) -> bool:
    given, wanted = before.shape[0], after.shape[1]
    if len(after.shape) == len(before.shape):
        return given == wanted
    return len(after.shape) == 2 and len(before.shape) > 2 and wanted % given == 0


def _layer(weight: _Weight) -> str:
    rank, out = len(weight.shape) - 2, weight.shape[0]
    bias = "" if weight.bias else ", bias: false"
    if rank == 0:
        return f"{{type: Linear, out_features: {out}{bias}}}"
    kernel = list(weight.shape[2:])
    return f"{{type: Conv{rank}d, out_channels: {out}, kernel_size: {kernel}, padding: same{bias}}}"


def _names_between(before: _Weight, after: _Weight, count: int, at: int) -> list[str]:
    """Names for what stands between two layers: the numbers that a sequence leaves out there."""
    (prefix, first), (other, last) = (_split_number(w.name) for w in (before, after))
    if prefix == other and 0 <= first < last - count:
        return [f"{prefix}{first + 1 + i}" for i in range(count)]
    return [f"{MARK}{at + i}" for i in range(count)]


def _split_number(name: str) -> tuple[str, int]:
    """A name as all before its last part, and that as a number (-1 where it is none)."""
    prefix, dot, last = name.rpartition(".")
    return prefix + dot, int(last) if last.isdigit() else -1


def _flattened(before: _Weight, weight: _Weight) -> list[str]:
    """A pooling to as many positions as the first Linear reads for each channel, then Flatten."""
    rank, positions = len(before.shape) - 2, weight.shape[1] // before.shape[0]
    side = isqrt(positions)
    sizes = [side, side] if rank == 2 and side * side == positions else [positions]
    sizes += [1] * (rank - len(sizes))
    return [f"{{type: AdaptiveAvgPool{rank}d, output_size: {sizes}}}", "{type: Flatten}"]


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
