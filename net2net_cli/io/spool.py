"""A stream kept as a file for as long as it is being opened."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from net2net_cli.errors import CheckpointError, Net2NetError
from net2net_cli.io.failures import reported, shown
from net2net_cli.io.temporary import temporary

PIECE = 1 << 20


@contextmanager
def spool_file(name: str, kind: type[Net2NetError]) -> Iterator[tuple[Path, int]]:
    """A private temporary file in the system's folder for such (``TMPDIR``)."""
    import tempfile

    with reported(kind, "write", "TMPDIR"):
        folder = Path(tempfile.gettempdir())
    with temporary(folder / name, kind, 0o600) as made:
        yield made


@contextmanager
def spooled(stream: BinaryIO, label: str) -> Iterator[Path]:
    """The stream's whole content as a file, which is removed at the end."""
    with spool_file("stdin", CheckpointError) as (path, descriptor):
        count = 0
        while piece := _read(stream, label):
            with reported(CheckpointError, "write", path):
                write_all(descriptor, memoryview(piece))
            count += len(piece)
        if not count:
            raise CheckpointError(
                f"{shown(label)} is empty", hint="did the command before it in the pipe fail?"
            )
        yield path


def _read(stream: BinaryIO, label: str) -> bytes:
    with reported(CheckpointError, "read", label):
        return stream.read(PIECE)


def write_all(descriptor: int, data: memoryview) -> None:
    """Writes all of it; a system call may take less than it is given."""
    while data:
        data = data[os.write(descriptor, data) :]
