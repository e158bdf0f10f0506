"""Checkpoints made by hand, sound and broken ones, for the tests of net2net_cli.io."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from net2net_cli.io import TensorInfo


def state() -> dict[str, torch.Tensor]:
    """Tensors of many kinds: odd sizes, a scalar, an empty one, narrow and odd types."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(3, 4, 5, generator=generator)
    return {
        "conv.weight": noise,
        "bn.num_batches_tracked": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "half": noise[0].half(),
        "brain": noise[1].bfloat16(),
        "eight": noise[2].to(torch.float8_e4m3fn),
        "flags": noise[0, 0] > 0,
        "bytes": torch.arange(7, dtype=torch.uint8),
        "waves": torch.complex(noise[0], noise[1]),
    }


def old_state() -> dict[str, torch.Tensor]:
    """The same without the types that torch's files before version 1.6 cannot hold."""
    return {name: tensor for name, tensor in state().items() if name != "eight"}


def infos(tensors: Mapping[str, torch.Tensor]) -> list[TensorInfo]:
    return [
        TensorInfo(name, str(t.dtype).removeprefix("torch."), tuple(t.shape))
        for name, t in tensors.items()
    ]


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal in type, shape and every bit."""
    flat = (t.contiguous().reshape(-1).view(torch.uint8) for t in (a, b))
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(*flat)


def names(folder: Path) -> list[str]:
    """What lies in the folder."""
    return sorted(path.name for path in folder.iterdir())


def entry(dtype: str, shape: Iterable[int], start: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def safetensors(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    """A safetensors file with that header: text, bytes, or an object to be written as JSON."""
    if not isinstance(header, (str, bytes)):
        header = json.dumps(header)
    if isinstance(header, str):
        header = header.encode()
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)
    return path
