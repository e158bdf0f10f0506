"""Concats that grow, ``[x, a]``, ``[x, a, b]``, ..., as DenseNets have them.

Each is said as the one before it with what is new: the same numbers in the same places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from net2net_cli.network import Layer, Value

_Key = tuple[Value, tuple[str, ...]]


def growing(layers: Sequence[Layer]) -> tuple[list[Layer], frozenset[str]]:
    """The layers, each Concat that begins as another does reading that one; and the names of all
    Concats of which one or the other holds."""
    known = {_key(layer): layer for layer in reversed(layers) if layer.type == "Concat"}
    begins = {layer.name: _begin(layer, known) for layer in known.values()}
    found, joins = [], set[str]()
    for layer in layers:
        begin = begins.get(layer.name)
        if begin is None:
            found.append(layer)
            continue
        joins |= {layer.name, begin.name}
        new = layer.inputs[len(begin.inputs) :]
        found.append(replace(layer, inputs=(begin.name, *new)))
    return found, frozenset(joins)


def _key(layer: Layer) -> _Key:
    return layer.args["dim"], layer.inputs


def _begin(layer: Layer, known: Mapping[_Key, Layer]) -> Layer | None:
    """The longest Concat of values that this one begins with."""
    for count in range(len(layer.inputs) - 1, 1, -1):
        begin = known.get((layer.args["dim"], layer.inputs[:count]))
        if begin is not None and _is_seen(begin, layer):
            return begin
    return None


def _is_seen(begin: Layer, layer: Layer) -> bool:
    """Whether it joins what is outside of its group, or the other is within that, too: else the
    group would have one more value to give."""
    group = begin.name.rpartition(".")[0]
    inner = any(value.startswith(f"{group}.") for value in begin.inputs)
    return not group or not inner or layer.name.startswith(f"{group}.")
