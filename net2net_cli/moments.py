"""Mean and variance of a value without any data, where a BatchNorm stands before it.

Under training, a BatchNorm's output has mean beta and variance gamma^2 in each channel; rectified,
it has the moments of a rectified Gaussian (MATH: depth):

    a = beta / |gamma|     mean = beta Phi(a) + |gamma| phi(a)
                           second moment = (beta^2 + gamma^2) Phi(a) + beta |gamma| phi(a)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from net2net_cli.network import Spec


@dataclass(frozen=True)
class NormalPart:
    """Channels that a BatchNorm of the source gives, ``rectified`` by a ReLU or not; ``gamma`` and
    ``beta`` name its tensors."""

    gamma: str
    beta: str
    rectified: bool


_PASSES = ("Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d")


def closed_form(spec: Spec, value: str) -> tuple[NormalPart, ...]:
    """The BatchNorms whose channels, laid end to end, make a value; empty where it is no such."""
    layer = next((la for la in spec.layers if la.name == value), None)
    if layer is None:
        return ()
    if layer.type.startswith("BatchNorm") and layer.args["affine"]:
        gamma, beta = (layer.share.get(n, f"{layer.name}.{n}") for n in ("weight", "bias"))
        return (NormalPart(gamma, beta, rectified=False),)
    if layer.type in _PASSES:
        return closed_form(spec, layer.inputs[0])
    if layer.type == "ReLU":
        parts = closed_form(spec, layer.inputs[0])
        return tuple(replace(part, rectified=True) for part in parts)
    if layer.type == "Concat" and layer.args["dim"] == 1:
        found = [closed_form(spec, name) for name in layer.inputs]
        return tuple(p for parts in found for p in parts) if all(found) else ()
    return ()
