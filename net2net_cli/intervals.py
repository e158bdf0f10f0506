"""What is known of the values on each edge: an interval [low, high].

An activation can be inserted where it leaves every value of that interval as it is: one rule
in place of a list of cases (DESIGN: axes are expressions, layer types are lines).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, nextafter

from net2net_cli.layers.kinds import MOVES
from net2net_cli.layers.table import LAYER_TYPES, LayerType
from net2net_cli.network import Layer, Spec

Interval = tuple[float, float]
ANYTHING: Interval = (-inf, inf)


def intervals(spec: Spec) -> Mapping[str, Interval]:
    """For every input and layer of a network, the interval that its values lie in."""
    found: dict[str, Interval] = {i.name: ANYTHING for i in spec.inputs}
    for layer in spec.layers:
        found[layer.name] = _of(layer, [found[name] for name in layer.inputs])
    return found


def fixed_interval(layer: Layer) -> Interval | None:
    """The values that a layer leaves as they are; None where there is no such interval."""
    if layer.type == "Hardtanh":
        return float(str(layer.args["min_val"])), float(str(layer.args["max_val"]))
    if layer.type == "Clamp":
        low, high = layer.args["min"], layer.args["max"]
        return -inf if low is None else float(str(low)), inf if high is None else float(str(high))
    if layer.type == "Threshold":
        return nextafter(float(str(layer.args["threshold"])), inf), inf
    if layer.type == "LeakyReLU" and layer.args["negative_slope"] == 1:
        return ANYTHING
    return LAYER_TYPES[layer.type].fixes


def inside(inner: Interval, outer: Interval | None) -> bool:
    """Whether every value of ``inner`` lies in ``outer``."""
    return outer is not None and outer[0] <= inner[0] and inner[1] <= outer[1]


def _sign(given: Interval) -> Interval:
    """All that scaling by a positive number leaves known, with 0 joined in."""
    return 0.0 if given[0] >= 0 else -inf, 0.0 if given[1] <= 0 else inf


def _hull(parts: list[Interval]) -> Interval:
    return min(low for low, _ in parts), max(high for _, high in parts)


def _of(layer: Layer, inputs: list[Interval]) -> Interval:
    kind = LAYER_TYPES[layer.type]
    match kind.rule:
        case "pointwise":
            return _activated(layer, kind, inputs[0])
        case "softmax":
            return kind.low, kind.high
        case "add":
            return sum(low for low, _ in inputs), sum(high for _, high in inputs)
        case "concat":
            return _hull(inputs)
        case "subtract":
            return inputs[0][0] - inputs[1][1], inputs[0][1] - inputs[1][0]
        case "extreme":
            take = max if layer.type == "Maximum" else min
            return take(low for low, _ in inputs), take(high for _, high in inputs)
        case "multiply" | "divide" | "matmul" | "einsum":
            return (0.0, inf) if all(low >= 0 for low, _ in inputs) else ANYTHING
        case "reduce":
            return _reduced(layer, inputs[0])
        case "recurrent":
            if layer.args["returns"] == "cell" or layer.args.get("nonlinearity") == "relu":
                return ANYTHING if layer.args["returns"] == "cell" else (0.0, inf)
            return -1.0, 1.0
        case "normalize":
            return _sign(inputs[0])
        case "pad" | "unfold":
            return _padded(layer, inputs[0])
        case rule if rule in MOVES:
            return inputs[0]
        case "channels":
            return _spatial(layer, kind, inputs[0])
        case _:
            return ANYTHING


def _reduced(layer: Layer, given: Interval) -> Interval:
    if layer.type in ("Var", "Std"):
        return 0.0, inf
    return _sign(given) if layer.type == "Sum" else given


def _padded(layer: Layer, given: Interval) -> Interval:
    if layer.type == "Pad" and layer.args["mode"] != "constant":
        return given
    value = float(str(layer.args.get("value", 0.0)))
    return _hull([given, (value, value)])


def _activated(layer: Layer, kind: LayerType, given: Interval) -> Interval:
    if layer.type.startswith(("AlphaDropout", "FeatureAlpha")):
        return ANYTHING
    if layer.type.startswith("Dropout"):
        return _sign(given)
    fixes = fixed_interval(layer)
    if inside(given, fixes):
        return given
    if layer.type == "Hardtanh" and fixes:
        return fixes
    if layer.type == "ReLU":
        return max(given[0], 0.0), max(given[1], 0.0)
    if layer.type in ("Scale", "Shift", "Negative"):
        return _moved(layer, given)
    if layer.type == "Clamp" and fixes:
        return min(max(given[0], fixes[0]), fixes[1]), max(min(given[1], fixes[1]), fixes[0])
    if layer.type in ("LeakyReLU", "ELU", "CELU", "RReLU") and given[0] >= 0:
        return given
    return kind.low, kind.high


def _moved(layer: Layer, given: Interval) -> Interval:
    """An interval scaled or shifted."""
    value = float(str(layer.args.get("value", -1.0)))
    if layer.type == "Shift":
        return given[0] + value, given[1] + value
    ends = sorted(end * value if value else 0.0 for end in given)
    return ends[0], ends[1]


def _spatial(layer: Layer, kind: LayerType, given: Interval) -> Interval:
    mode = str(layer.args.get("mode", ""))
    if kind.spatial in ("pool", "adaptive"):
        if layer.type.startswith("LPPool"):
            return (0.0, inf) if given[0] >= 0 else ANYTHING
        if layer.args.get("divisor_override"):
            return _sign(given)
        padded = kind.spatial == "pool" and layer.type.startswith("Avg")
        return _hull([given, (0.0, 0.0)]) if padded else given
    if kind.spatial == "pad":
        if layer.type.startswith("Zero"):
            return _hull([given, (0.0, 0.0)])
        if layer.type.startswith("Constant"):
            value = float(str(layer.args["value"]))
            return _hull([given, (value, value)])
        return given
    if kind.spatial == "upsample":
        return ANYTHING if mode == "bicubic" else given
    return ANYTHING
