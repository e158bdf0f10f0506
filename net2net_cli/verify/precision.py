"""What a GPU may round: nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch


@contextmanager
def full_precision() -> Iterator[None]:
    """No TensorFloat32 while the block runs, which has 10 bits of a fraction in place of 23: torch
    takes it for convolutions unasked, and for products where an environment says so. Only what
    models take in float32 themselves comes to that: all else is float64."""
    with ExitStack() as restore:
        for where, name, value in _switches():
            restore.callback(setattr, where, name, getattr(where, name))
            setattr(where, name, value)
        yield


def _switches() -> list[tuple[Any, str, object]]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(cudnn, "conv"):  # from torch 2.9 on
        places: list[Any] = [matmul, cudnn.conv, cudnn.rnn]
        return [(place, "fp32_precision", "ieee") for place in places]
    return [(matmul, "allow_tf32", False), (cudnn, "allow_tf32", False)]
