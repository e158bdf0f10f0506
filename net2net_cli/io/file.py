"""Opening one file with tensors, whatever it is: by its content, and by its name last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from net2net_cli.errors import CheckpointError
from net2net_cli.io.checkpoint import Source
from net2net_cli.io.failures import reported, shown
from net2net_cli.io.safetensors import SafetensorsSource
from net2net_cli.io.torch_file import ENDINGS as TORCH_ENDINGS
from net2net_cli.io.torch_file import TorchSource


def open_file(file: Path, label: str, path: Path | None) -> Source:
    """The checkpoint in ``file``; errors call it ``label``, ``path`` is None where it will go.

    CheckpointError where it is damaged or not understood.
    """
    with reported(CheckpointError, "read", label), file.open("rb") as stream:
        head = stream.read(64)
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            "a Git LFS pointer, not the checkpoint itself",
            where=shown(label),
            hint="fetch it with `git lfs pull`",
        )
    if _is_torch(head, path.suffix if path else ""):
        if not head:
            raise CheckpointError("the file is empty", where=shown(label))
        return TorchSource(file, label, path)
    return SafetensorsSource(file, label, path)


def _is_torch(head: bytes, ending: str) -> bool:
    """By content; the name's ending decides only where the content says nothing."""
    if head[8:9] == b"{":  # a safetensors header; its length before it may be any bytes
        return False
    pickled: Sequence[bytes] = [b"\x80" + bytes([protocol]) for protocol in range(2, 6)]
    return head.startswith((b"PK\x03\x04", *pickled)) or ending in TORCH_ENDINGS
