"""Opening a checkpoint, whatever it is: by its name and its content."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from net2net_cli.errors import CheckpointError, closest
from net2net_cli.io.checkpoint import Source
from net2net_cli.io.failures import reported, shown
from net2net_cli.io.file import open_file
from net2net_cli.io.folder import FolderSource
from net2net_cli.io.spool import spooled
from net2net_cli.io.tensors import TensorInfo
from net2net_cli.io.torch_file import ENDINGS as TORCH_ENDINGS

__all__ = ["Source", "TensorInfo", "open_source"]

METADATA = ".metadata"
"""What a folder of torch.distributed.checkpoint has."""

ENDINGS = ("", ".safetensors", *TORCH_ENDINGS)
"""What may be left out of a checkpoint's name, in the order tried."""


def open_source(text: str | Path) -> Source:
    """Opens a checkpoint: a file, a folder, or ``-`` for standard input.

    ``ckpt`` also finds ``ckpt.safetensors`` and the endings of torch files. The kind of file is
    told by its content. CheckpointError where it is missing, damaged or not understood.
    """
    label = str(text)
    if label == "-":
        return _open_stream(_standard_input(), "standard input")
    path = find_checkpoint(label)
    with reported(CheckpointError, "read", label):
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return _open_folder(path)
        if stat.S_ISFIFO(mode):
            with path.open("rb") as stream:
                return _open_stream(stream, str(path))
    if not stat.S_ISREG(mode):
        raise CheckpointError(f"`{shown(label)}` is neither a file nor a folder")
    return open_file(path, str(path), path)


def _open_folder(path: Path) -> Source:
    if (path / METADATA).is_file():
        from net2net_cli.io.dcp import DcpSource

        return DcpSource(path, str(path))
    if any(path.glob("*.distcp")):
        raise CheckpointError(
            "parts of a distributed checkpoint, without the `.metadata` that tells what is where",
            where=shown(path),
            hint="the last rank writes it once all are done: was the job cut off, or the copy?",
        )
    return FolderSource(path, str(path))


def find_checkpoint(name: str) -> Path:
    """The path that a name stands for; CheckpointError offers the nearest names."""
    if not name or "\0" in name:
        raise CheckpointError(f"`{shown(name)}` cannot be the name of a checkpoint")
    for ending in ENDINGS:
        path = Path(name + ending)
        with reported(CheckpointError, "read", name):
            if path.exists():
                return path
    path = Path(name)
    if os.path.lexists(path):
        raise CheckpointError(f"`{shown(name)}` is a link to a file that does not exist")
    if not path.parent.is_dir():
        raise CheckpointError(f"no checkpoint `{shown(name)}`: its folder does not exist")
    with reported(CheckpointError, "read", path.parent):
        names = sorted(entry.name for entry in os.scandir(path.parent))
    near = [shown(n) for n in names if not n.startswith(".")]
    raise CheckpointError(f"no checkpoint `{shown(name)}`", hint=closest(path.name, near) or None)


def _standard_input() -> BinaryIO:
    if sys.stdin is None or sys.stdin.isatty():
        raise CheckpointError(
            "`-` reads the checkpoint from standard input, which is a terminal",
            hint="pipe a checkpoint into the command, or name a file",
        )
    return sys.stdin.buffer


def _open_stream(stream: BinaryIO, label: str) -> Source:
    # The spooled file may go at once: what was opened from it keeps its data alive.
    with spooled(stream, label) as file:
        return open_file(file, label, None)
