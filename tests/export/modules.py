"""Exported files as modules, and what they are held against: the network that the spec says."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from net2net_cli.export import source_of
from net2net_cli.laying import layout_of
from net2net_cli.layout import GraphLayout
from net2net_cli.network import Spec
from net2net_cli.verify.inputs import draw_inputs
from net2net_cli.verify.network import as_mode, build
from tests.support.zoo import random_tensor

EVALUATED = ("StochasticDepth", "MultiheadAttention")
"""Of the latter torch has another form in training, which rounds otherwise."""
RANDOM = (nn.modules.dropout._DropoutNd, nn.RReLU)


def state_of(layout: GraphLayout, *, doubled: bool = False) -> dict[str, Tensor]:
    """Random tensors; ``doubled``: shared ones stand under every name, as torch lists them."""
    generator = torch.Generator().manual_seed(0)
    state = {
        name: random_tensor(name, tensor.shape, generator)
        for name, tensor in layout.tensors.items()
    }
    for name, tensor in layout.tensors.items():
        if name.endswith("relative_position_index"):
            state[name] = torch.arange(tensor.shape[0]) % 3
    for layer in layout.spec.layers:
        if layer.type == "Buffer" and not str(layer.args["dtype"]).startswith("float"):
            state[layer.name] = (state[layer.name] > 0).to(getattr(torch, str(layer.args["dtype"])))
    if doubled:
        state |= {alias: state[owner] for alias, owner in layout.aliases.items()}
    return state


def dtypes_of(state: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: str(value.dtype).removeprefix("torch.") for name, value in state.items()}


def text_of(spec: Spec, state: Mapping[str, Tensor]) -> str:
    return source_of(layout_of(spec), dtypes_of(state), "Network", "A network.")


def module_of(text: str) -> nn.Module:
    """The class of a file, made."""
    found: dict[str, object] = {"__name__": "exported"}
    exec(compile(text, "exported.py", "exec"), found)
    module = found["Network"]()
    assert isinstance(module, nn.Module)
    return module


def run(module: nn.Module, inputs: tuple[Tensor, ...], mode: str) -> tuple[Tensor, ...]:
    """What it computes; in training mode what is random stays off."""
    module.train(mode == "training")
    for part in module.modules():
        if isinstance(part, RANDOM) or type(part).__name__ in EVALUATED:
            part.eval()
    with torch.no_grad():
        found = module(*inputs)
    return found if isinstance(found, tuple) else (found,)


def check(spec: Spec, *, doubled: bool = False, probes: int = 3) -> str:
    """The exported file has the state dict of the network, and computes bit for bit the same."""
    layout = layout_of(spec)
    state = state_of(layout, doubled=doubled)
    text = text_of(spec, state)
    module = module_of(text)
    own = {name: (value.dtype, value.shape) for name, value in module.state_dict().items()}
    assert own == {name: (value.dtype, value.shape) for name, value in state.items()}
    module.load_state_dict(state, strict=True)
    inputs = tuple(draw_inputs(spec, probes, 1).values())
    network = build(spec, state)
    for mode in ("evaluation", "training"):
        with torch.no_grad(), as_mode(network, mode):
            expected = network(*inputs)
        found = run(module, inputs, mode)
        assert len(found) == len(expected)
        for ours, theirs in zip(expected, found, strict=True):
            torch.testing.assert_close(theirs, ours, rtol=0, atol=0, equal_nan=True)
    return text
