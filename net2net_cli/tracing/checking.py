"""The written spec against the module itself: the same random weights, the same inputs, float64.

A trace is only as good as what it can rebuild; so this runs on every trace. Weights are drawn
anew, so that zeros, ones and tiny scales hide nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree

from net2net_cli.errors import DifferenceError
from net2net_cli.network import Spec
from net2net_cli.tracing.given import Example
from net2net_cli.verify.inputs import draw_inputs, seeded
from net2net_cli.verify.memory import require_room
from net2net_cli.verify.network import build

TOLERANCE = 1e-12
"""Largest relative difference in float64: sums may be taken in another order, no more."""
FLOAT_TOLERANCE = 1e-4
"""The same where the module can only run in float32."""
EXAMPLES = 3


@dataclass(frozen=True)
class Agreement:
    """How far the network of a spec is from the module, relative to the largest output; ``spread``
    is how far the outputs for different inputs are apart, the least of all outputs."""

    error: float
    dtype: str
    spread: float

    def __str__(self) -> str:
        return f"{self.error:.1e} apart in {self.dtype}, with random weights"


def check(
    module: nn.Module, spec: Spec, examples: Sequence[Example], kept: Iterable[str] = ()
) -> Agreement:
    """Runs both in evaluation mode; ``kept`` are tensors of the state dict that no layer reads.

    Raises DifferenceError where they differ, CheckpointError where the spec does not take the
    module's state dict.
    """
    try:
        return _compared(module, spec, examples, frozenset(kept), torch.float64)
    except RuntimeError as error:
        if "dtype" not in str(error) and "Float" not in str(error):
            raise
    return _compared(module, spec, examples, frozenset(kept), torch.float32)


def random_state(module: nn.Module, dtype: torch.dtype, seed: int = 0) -> dict[str, Tensor]:
    """The module's state dict with random parameters and statistics, floats in ``dtype``.

    Matrices and kernels keep the scale of what passes through them (He et al., arXiv 1502.01852),
    gains are about 1 and biases about 0.2, variances between 0.5 and 1.5: so that what comes in
    still shows in what comes out. Other buffers stay: they may be what the module computes with.
    """
    parameters = {id(p) for p in module.parameters()}
    drawn: dict[int, Tensor] = {}
    found = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) not in drawn:
            drawn[id(tensor)] = _drawn(name, tensor, id(tensor) in parameters, dtype, seed)
        found[name] = drawn[id(tensor)]
    return found


def _drawn(name: str, tensor: Tensor, parameter: bool, dtype: torch.dtype, seed: int) -> Tensor:  # noqa: FBT001
    if not tensor.is_floating_point():
        return tensor.detach().clone()
    own, generator = tensor.detach(), seeded(seed, name)
    if name.endswith("running_var"):
        own = torch.rand(own.shape, generator=generator, dtype=torch.float64) + 0.5
    elif parameter or name.endswith("running_mean"):
        own = torch.randn(own.shape, generator=generator, dtype=torch.float64)
        fan_in = own[0].numel() if own.ndim > 1 else 0
        own = own * ((2 / fan_in) ** 0.5 if fan_in else 0.2)
        own += float(not fan_in and name.endswith("weight"))
    return own.to(dtype)


def _compared(
    module: nn.Module,
    spec: Spec,
    examples: Sequence[Example],
    kept: frozenset[str],
    dtype: torch.dtype,
) -> Agreement:
    state = random_state(module, dtype)
    network = build(spec, {n: t for n, t in state.items() if n not in kept}, dtype)
    needed = network.weight_bytes + EXAMPLES * network.example_bytes
    require_room(needed, "inputs of these shapes", None, "name smaller ones with --input")
    inputs = _inputs(spec, examples, dtype)
    module_was = module.training
    module.eval()
    try:
        with torch.no_grad():
            expected = _tensors(_called(module, state, examples, inputs, dtype))
            found = network(*inputs)
    finally:
        module.train(module_was)
    error = max(_difference(a, b) for a, b in zip(expected, found, strict=True))
    bound = TOLERANCE if dtype == torch.float64 else FLOAT_TOLERANCE
    if not error <= bound:
        raise DifferenceError(
            f"the traced spec does not compute what the module does: it is {error:.1e} away"
            f" (at most {bound:.0e} is rounding)",
            hint="what depends on the batch's size or on values cannot be traced; is there"
            " anything of that kind in the module?",
        )
    spread = min(_difference(a[:1], a[1:2]) if len(a) > 1 else 1.0 for a in expected)
    return Agreement(error, str(dtype).removeprefix("torch."), spread)


def _inputs(spec: Spec, examples: Sequence[Example], dtype: torch.dtype) -> list[Tensor]:
    drawn = draw_inputs(spec, EXAMPLES, 0, dtype)
    found = []
    for declared, example in zip(spec.inputs, examples, strict=True):
        own = example.tensor
        if own is None:
            found.append(drawn[declared.name])
        else:
            found.append(own.to(dtype) if own.is_floating_point() else own)
    return found


def _called(
    module: nn.Module,
    state: Mapping[str, Tensor],
    examples: Sequence[Example],
    inputs: Sequence[Tensor],
    dtype: torch.dtype,
) -> Any:
    buffers = {
        name: buffer.to(dtype)
        for name, buffer in module.named_buffers()
        if name not in state and buffer.is_floating_point()
    }
    pairs = list(zip(examples, inputs, strict=True))
    in_order = tuple(value for example, value in pairs if example.name is None)
    by_name = {example.name: value for example, value in pairs if example.name is not None}
    return functional_call(module, {**buffers, **state}, in_order, by_name, tie_weights=False)


def _tensors(made: Any) -> list[Tensor]:
    """The tensors of whatever a module returns, in the order in which torch.export lists them."""
    return [leaf for leaf in pytree.tree_leaves(made) if isinstance(leaf, Tensor)]


def _difference(a: Tensor, b: Tensor) -> float:
    if a.shape != b.shape:
        return float("inf")
    a, b = a.to(torch.float64), b.to(torch.float64)
    if not bool((a.isfinite() == b.isfinite()).all()):
        return float("inf")
    finite = a.isfinite()
    scale = float(a[finite].abs().max()) if bool(finite.any()) else 0.0
    error = float((a - b)[finite].abs().max()) if bool(finite.any()) else 0.0
    return error / scale if scale else (0.0 if error == 0 else float("inf"))
