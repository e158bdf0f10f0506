"""What is known of a tensor without reading it, and its bytes once it was read."""

from __future__ import annotations

import ctypes
import warnings
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import TYPE_CHECKING

from net2net_cli.io.dtypes import SIZES

if TYPE_CHECKING:
    import torch


PIECE = 1 << 20
"""Bytes that are read, hashed and written at once: what stays in a core's own cache."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor's full name, its element type (torch's name: ``float32``) and its shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """The size of its data in bytes."""
        return prod(self.shape) * SIZES[self.dtype]


def raw_bytes(tensor: torch.Tensor) -> memoryview:
    """The bytes of a CPU tensor in row-major order, without a copy where it is contiguous.

    The view keeps the tensor alive.
    """
    dense = tensor.detach().resolve_conj().resolve_neg().contiguous()
    size = dense.numel() * dense.element_size()
    if size == 0:
        return memoryview(b"")
    # ctypes, because `Tensor.numpy` needs numpy and knows neither bfloat16 nor float8.
    array = (ctypes.c_ubyte * size).from_address(dense.data_ptr())
    array.tensor = dense  # type: ignore[attr-defined]
    return memoryview(array).cast("B")


def from_bytes(data: memoryview, info: TensorInfo) -> torch.Tensor:
    """A CPU tensor over these bytes: it shares their memory, and must not be written to."""
    import torch

    dtype = getattr(torch, info.dtype)
    if not data.nbytes:
        return torch.empty(info.shape, dtype=dtype)
    _spend_warning()
    flat = torch.frombuffer(data, dtype=torch.uint8)
    if flat.data_ptr() % SIZES[info.dtype]:
        flat = flat.clone()
    return flat.view(dtype).reshape(info.shape)


@cache
def _spend_warning() -> None:
    # Torch warns once in a process of buffers that cannot be written to. This is that once, kept
    # off the screen without a filter that other code would see.
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.frombuffer(b"\0", dtype=torch.uint8)
