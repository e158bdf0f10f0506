"""Which layers map 0 to 0: there, channels that are written as zeros stay zeros."""

from __future__ import annotations

from collections.abc import Mapping

from net2net_cli.layers.table import LayerType
from net2net_cli.network import Value


def maps_zero(kind: LayerType, args: Mapping[str, Value]) -> bool:
    """Whether f(0) = 0 for a layer with these arguments."""

    def number(name: str) -> float:
        return float(str(args[name]))

    if kind.name == "Threshold":
        return number("threshold") < 0 or number("value") == 0
    if kind.name == "Hardtanh":
        return number("min_val") <= 0 <= number("max_val")
    if kind.name == "Clamp":
        low, high = args["min"], args["max"]
        return (low is None or number("min") <= 0) and (high is None or number("max") >= 0)
    if kind.name == "Power":
        return number("exponent") > 0
    if kind.name == "Shift" or kind.name.startswith("ConstantPad"):
        return number("value") == 0
    return kind.zero
