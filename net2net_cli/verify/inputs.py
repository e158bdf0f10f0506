"""Probe inputs: drawn at random, the same for the same seed, or read from a safetensors file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from net2net_cli.errors import CheckpointError, SpecError, UsageError
from net2net_cli.layers.kinds import MOVES
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.network import Input, Layer, Spec
from net2net_cli.verify.comparison import PROBES


def draw_inputs(
    spec: Spec, probes: int = PROBES, seed: int = 0, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """Input name -> ``[probes, *shape]``: standard normal for floats, below ``high`` for integers.

    Each input has its own generator, seeded by (seed, name), on the CPU. SpecError where the bound
    of an integer input is neither given nor known from an Embedding that it feeds.
    """
    if probes < 1:
        raise UsageError(f"{probes} probes are too few to compare anything")
    return {declared.name: _draw(spec, declared, probes, seed, dtype) for declared in spec.inputs}


def load_inputs(
    file: str | Path, spec: Spec, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """The inputs of ``spec`` from a safetensors file with a tensor ``[batch, *shape]`` for each.

    Tensors have the inputs' names; a single tensor for a single input may have any. Floats are
    cast to ``dtype``. CheckpointError, naming file and tensor, where something does not fit.
    """
    held = read_inputs(file, "{'input': batch}")
    if len(held) == len(spec.inputs) == 1:
        held = {spec.inputs[0].name: next(iter(held.values()))}
    _check_names(file, held, spec)
    for declared in spec.inputs:
        _check_tensor(file, held[declared.name], declared, _bound(spec, declared))
    counts = {declared.name: len(held[declared.name]) for declared in spec.inputs}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise CheckpointError(
            f"inputs have different numbers of examples: {listed}", where=str(file)
        )
    return {
        declared.name: held[declared.name].to(_dtype(declared, dtype)) for declared in spec.inputs
    }


def seeded(seed: int, name: str) -> torch.Generator:
    """The generator of one input, on the CPU."""
    key = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(key[:8], "little"))


def _draw(spec: Spec, declared: Input, probes: int, seed: int, dtype: torch.dtype) -> Tensor:
    generator = seeded(seed, declared.name)
    shape, kind = (probes, *declared.shape), _dtype(declared, dtype)
    if kind.is_floating_point:  # drawn in float64, so that every dtype sees the same probes
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(kind)
    high = 2 if kind == torch.bool else _bound(spec, declared)
    if high is None:
        raise SpecError(
            f"input {declared.name} holds whole numbers, but nothing says below what",
            where=declared.place,
            hint="add `high:` to it, one more than the largest value",
        )
    return torch.randint(high, shape, generator=generator).to(kind)


def _dtype(declared: Input, dtype: torch.dtype) -> torch.dtype:
    kind: torch.dtype = getattr(torch, declared.dtype)
    return dtype if kind.is_floating_point else kind


def _bound(spec: Spec, declared: Input) -> int | None:
    """What an integer input's values stay below: ``high``, else the smallest Embedding it feeds."""
    if declared.high is not None:
        return declared.high
    sizes = [layer.args["num_embeddings"] for layer in _embeddings(spec, declared.name)]
    return min((size for size in sizes if isinstance(size, int)), default=None)


def _embeddings(spec: Spec, name: str) -> Iterator[Layer]:
    for layer in spec.layers:
        if name in layer.inputs:
            if "num_embeddings" in layer.args:
                yield layer
            elif layer.type == "Identity" or LAYER_TYPES[layer.type].rule in MOVES:
                yield from _embeddings(spec, layer.name)


def read_inputs(file: str | Path, example: str) -> dict[str, Tensor]:
    """The tensors of a file of inputs; ``example`` is what errors show how to write one with."""
    try:
        return load_file(file)
    except FileNotFoundError as error:
        raise UsageError("there is no such file of inputs", where=str(file)) from error
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"not a safetensors file of inputs: {error}",
            where=str(file),
            hint=f"write one with safetensors.torch.save_file({example}, FILE)",
        ) from error


def _check_names(file: str | Path, held: dict[str, Tensor], spec: Spec) -> None:
    wanted = [declared.name for declared in spec.inputs]
    missing = [name for name in wanted if name not in held]
    if missing or len(held) > len(wanted):
        raise CheckpointError(
            f"it holds {', '.join(sorted(held)) or 'nothing'}, "
            f"but the network's inputs are {', '.join(wanted)}",
            where=str(file),
            hint="one tensor for each input, named as the input is",
        )


def _check_tensor(file: str | Path, held: Tensor, declared: Input, bound: int | None) -> None:
    kind: torch.dtype = getattr(torch, declared.dtype)
    integers = not (kind.is_floating_point or kind == torch.bool)
    problem = hint = ""
    if held.ndim < 1 or tuple(held.shape[1:]) != declared.shape:
        wanted = ", ".join(str(size) for size in ("batch", *declared.shape))
        problem = f"has the shape {list(held.shape)}, not [{wanted}]"
        if tuple(held.shape) == declared.shape:
            hint = "add the batch axis: tensor.unsqueeze(0)"
    elif len(held) == 0:
        problem = "holds no examples"
    elif held.is_floating_point() != kind.is_floating_point or held.is_complex():
        problem = f"holds {str(held.dtype).removeprefix('torch.')}, not {declared.dtype}"
    elif integers and bound is not None and not bool(((held >= 0) & (held < bound)).all()):
        problem = f"holds {int(held.min())} to {int(held.max())}, not 0 to {bound - 1}"
    if problem:
        message = f"input {declared.name} {problem}"
        raise CheckpointError(message, where=str(file), hint=hint or None)
