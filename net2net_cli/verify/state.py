"""A checkpoint's tensors put in place of a network's parameters, strictly.

Nothing is skipped in silence: an architecture-blind copy that loses tensors is a published mistake.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from net2net_cli.errors import CheckpointError
from net2net_cli.network import Layer
from net2net_cli.verify.deferred import ordinary
from net2net_cli.verify.modules import own_key


@dataclass(frozen=True)
class Slot:
    """One place for a tensor: ``name`` within the layer's module, ``key`` in the state dict."""

    layer: Layer
    name: str
    key: str
    wanted: Tensor
    """On the meta device: a shape and a dtype."""

    def __str__(self) -> str:
        return f"{self.layer.name} ({self.layer.type})"


def load_state(
    placed: Sequence[tuple[Layer, nn.Module]],
    state: Mapping[str, Tensor],
    dtype: torch.dtype,
    label: str = "",
) -> None:
    """Give each layer's module its tensors; floats are cast to ``dtype``.

    A tensor that several layers share becomes one parameter; Deferred ones stay so, but not the
    running statistics, which training mode writes to. CheckpointError where a tensor is
    missing, unused, of another shape, or not of floats where floats are needed.
    """
    slots = [_slots(layer, module) for layer, module in placed]
    _check_names([slot for own in slots for slot in own], state, label)
    ready: dict[str, nn.Parameter] = {}
    for (_, module), own in zip(placed, slots, strict=True):
        found: dict[str, Tensor] = {}
        for slot in own:
            if slot.key not in state:  # num_batches_tracked: torch begins it at 0
                continue
            if slot.key not in ready:
                value = _cast(slot, state[slot.key], dtype, label)
                ready[slot.key] = nn.Parameter(value, requires_grad=value.is_floating_point())
            value = ready[slot.key]
            _check_shape(slot, value, label)
            found[slot.name] = (
                value if isinstance(slot.wanted, nn.Parameter) else ordinary(value.detach())
            )
        module.load_state_dict(found, assign=True)


def named_parameters(placed: Sequence[tuple[Layer, nn.Module]]) -> dict[str, nn.Parameter]:
    """The parameters of loaded modules by their names in the state dict, shared ones once."""
    slots = (slot for layer, module in placed for slot in _slots(layer, module))
    return {s.key: s.wanted for s in slots if isinstance(s.wanted, nn.Parameter)}


def _slots(layer: Layer, module: nn.Module) -> list[Slot]:
    """The module's parameters and buffers; ``share`` gives a tensor another's key."""
    kept = module.state_dict().keys()
    share = {own_key(layer, name): key for name, key in layer.share.items()}
    return [
        Slot(layer, name, share.get(own_key(layer, name), own_key(layer, name)), wanted)
        for name, wanted in (*module.named_parameters(), *module.named_buffers())
        if name in kept
    ]


def _check_names(slots: Sequence[Slot], state: Mapping[str, Tensor], label: str) -> None:
    wanted = {slot.key for slot in slots}
    missing = [key for key in wanted - state.keys() if not key.endswith("num_batches_tracked")]
    unused = state.keys() - wanted
    for slot in slots:  # torch's state dicts list a shared tensor once more under its reader's name
        double = own_key(slot.layer, slot.name)
        if double in unused and slot.key in state:
            _check_double(double, slot.key, state, label)
            unused -= {double}
    if missing:
        near = difflib.get_close_matches(min(missing), unused, n=1)
        raise CheckpointError(
            f"the spec needs {_list(missing)}, which the checkpoint lacks",
            where=label or None,
            hint=f"the checkpoint has {near[0]}, which the spec does not use" if near else None,
        )
    if unused:
        raise CheckpointError(
            f"the checkpoint holds {_list(unused)}, which no layer of the spec uses",
            where=label or None,
            hint="is the spec that of another network?",
        )


def _check_double(key: str, other: str, state: Mapping[str, Tensor], label: str) -> None:
    mine, owners = state[key], state[other]
    if mine.shape != owners.shape or not torch.allclose(mine, owners, 0, 0, equal_nan=True):
        raise CheckpointError(
            f"{key} and {other} are one tensor in the spec, but differ in the checkpoint",
            where=label or None,
            hint="remove `share` from the spec, or mend the checkpoint",
        )


def _cast(slot: Slot, found: Tensor, dtype: torch.dtype, label: str) -> Tensor:
    """The tensor as the network takes it; an error where it holds another kind of numbers."""
    floats = slot.wanted.is_floating_point()
    if found.is_quantized or found.is_complex() or found.is_floating_point() != floats:
        kind = str(found.dtype).removeprefix("torch.")
        raise CheckpointError(
            f"{slot.key} holds {kind}, but {slot} needs {'floats' if floats else 'whole numbers'}",
            where=label or None,
        )
    return found.detach().to(dtype if floats else slot.wanted.dtype)


def _check_shape(slot: Slot, found: Tensor, label: str) -> None:
    if found.shape != slot.wanted.shape:
        raise CheckpointError(
            f"{slot.key} has the shape {list(found.shape)}, but {slot} of the spec needs "
            f"{list(slot.wanted.shape)}",
            where=label or slot.layer.place,
        )


def _list(names: Iterable[str], shown: int = 3) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - shown} more" if len(ordered) > shown else ""
    return ", ".join(ordered[:shown]) + more
