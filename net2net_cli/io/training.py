"""Torch files that hold a training run's state: read whole, and written beside a student."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from net2net_cli.errors import CheckpointError, OutputError
from net2net_cli.io.failures import reported, shown
from net2net_cli.io.torch_file import load_torch


def read_training(file: Path) -> Any:
    """What a torch file holds: tensors, numbers, texts and collections of them. Code in it is never
    run.

    CheckpointError where it cannot be read, or holds anything else.
    """
    with reported(CheckpointError, "read", file):
        with file.open("rb") as stream:
            if not stream.read(1):
                raise CheckpointError("the file is empty", where=shown(file))
        return load_torch(file, shown(file))


def save_torch(content: Any, descriptor: int, label: str) -> None:
    """Writes what torch.load reads, from the descriptor's start."""
    import torch

    with reported(OutputError, "write", label), os.fdopen(os.dup(descriptor), "wb") as stream:
        try:
            torch.save(content, stream)  # to a stream: the file's name would be in the bytes
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch hides a full disk behind its own
                raise error.__context__ from error
            raise
