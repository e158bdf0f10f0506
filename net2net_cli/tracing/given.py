"""The inputs that a module is traced with: ``--input`` as text, or a file of tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from net2net_cli.errors import UsageError, closest
from net2net_cli.tracing.drafts import Shape
from net2net_cli.verify.inputs import read_inputs

DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32")
_INPUT = re.compile(r"(?:(?P<name>[A-Za-z_]\w*)=)?(?P<shape>\d+(?:[,x]\d+)*)(?::(?P<dtype>\w+))?")
_WRITE = "write the shape of one batch, as --input 1,3,224,224, --input ids=1,16:int64"


@dataclass(frozen=True)
class Example:
    """One argument of the module's ``forward``: ``shape`` with the batch; ``name`` where it goes by
    name; ``tensor`` where a file gave its values."""

    name: str | None
    shape: Shape
    dtype: str = "float32"
    tensor: Tensor | None = None


def parse_inputs(texts: Sequence[str]) -> tuple[Example, ...]:
    """``[NAME=]1,3,224,224[:DTYPE]`` for each input, in the order of the arguments.

    UsageError for what is no shape.
    """
    return tuple(_parsed(text) for text in texts)


def load_examples(file: Path) -> tuple[Example, ...]:
    """The inputs of a safetensors file: one tensor ``[batch, ...]`` each, named as the arguments.

    CheckpointError where it is no such file; UsageError where a tensor cannot be an input.
    """
    held = read_inputs(file, "{'x': batch}")
    found = []
    for name, tensor in held.items():
        kind = str(tensor.dtype).removeprefix("torch.")
        if kind not in DTYPES or tensor.ndim == 0 or 0 in tensor.shape:
            raise UsageError(
                f"`{name}` holds {kind} of shape {list(tensor.shape)}, which no spec takes",
                where=str(file),
                hint=f"an input is a batch of {', '.join(DTYPES)}",
            )
        found.append(Example(None if len(held) == 1 else name, tuple(tensor.shape), kind, tensor))
    if not found:
        raise UsageError("the file holds no tensor", where=str(file), hint=_WRITE)
    return tuple(found)


def batched(examples: Sequence[Example], batch: int) -> tuple[Mapping[str, Tensor], list[Tensor]]:
    """Empty tensors of ``batch`` examples: those that go by name, and the others in order.

    They are expanded from a single number, so that no size of batch takes memory.
    """
    by_name: dict[str, Tensor] = {}
    in_order: list[Tensor] = []
    for example in examples:
        kind: torch.dtype = getattr(torch, example.dtype)
        empty = torch.zeros((), dtype=kind).expand(batch, *example.shape[1:])
        if example.name is None:
            in_order.append(empty)
        else:
            by_name[example.name] = empty
    return by_name, in_order


def _parsed(text: str) -> Example:
    found = _INPUT.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"`{text}` is no shape of an input", hint=_WRITE)
    dtype = found["dtype"] or "float32"
    if dtype not in DTYPES:
        raise UsageError(
            f"`{text}`: an input cannot be {dtype}",
            hint=closest(dtype, list(DTYPES)) or f"one of {', '.join(DTYPES)}",
        )
    shape = tuple(int(size) for size in re.split("[,x]", found["shape"]))
    if 0 in shape:
        raise UsageError(f"`{text}`: an axis of size 0 holds nothing", hint=_WRITE)
    if prod(shape) >= 2**63:
        raise UsageError(f"`{text}`: no tensor has so many entries", hint=_WRITE)
    return Example(found["name"], shape, dtype)
