"""Specs written as Python data, defaults filled in as the spec's reader does."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.network import Input, Layer, Spec


def layer(
    name: str, type_: str, *inputs: str, share: dict[str, str] | None = None, **args
) -> Layer:
    """One layer with every default; ``inputs`` are the values that it reads."""
    defaults = {a.name: a.default for a in LAYER_TYPES[type_].args if a.need == "optional"}
    return Layer(name, type_, {**defaults, **args}, inputs, share or {})


def network_spec(*layers: Layer, shape: tuple[int, ...] = (3, 8, 8), outputs=(), inputs=()) -> Spec:
    """A graph; layers without inputs are fed by the one before, the first by ``input``."""
    before, linked = "input", []
    for one in layers:
        linked.append(
            one
            if one.inputs or LAYER_TYPES[one.type].most == 0
            else Layer(one.name, one.type, one.args, (before,), one.share)
        )
        before = one.name
    return Spec(
        tuple(inputs) or (Input("input", shape),), tuple(linked), tuple(outputs) or (before,)
    )


def randomize(module: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter and statistic drawn anew, so that no norm is an identity; float64."""
    generator = torch.Generator().manual_seed(seed)
    module.double().eval()
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
        elif tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.5)
    return module


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """The module's state dict, detached."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
