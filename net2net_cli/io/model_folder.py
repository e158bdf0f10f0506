"""The files of a model folder: tensors in one file or in shards, and small files beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from net2net_cli.errors import OutputError
from net2net_cli.io.failures import reported
from net2net_cli.io.header import render_header
from net2net_cli.io.shards import INDEX, render_index
from net2net_cli.io.spool import PIECE, write_all
from net2net_cli.io.tensor_file import (
    Final,
    Produce,
    reserve,
    size_of,
    write_header,
    write_tensors,
)
from net2net_cli.io.tensors import TensorInfo

Content = bytes | Path
"""A small file: its content, or the file that it is a copy of."""


def write_shards(
    folder: Path,
    shards: Mapping[str, Sequence[TensorInfo]],
    metadata: Mapping[str, str],
    produce: Produce,
    label: Path,
    final: Final | None = None,
    workers: int = 1,
) -> tuple[dict[TensorInfo, str], int]:
    """Writes every shard, with the metadata in each, and the index where there is more than one.

    ``final`` gives the metadata once all tensors are made; its length must be that of ``metadata``.
    ``folder`` is empty; errors call it ``label``. Gives the hex sha256 of each tensor's bytes, and
    the size of the shards in bytes.
    """
    headers = {name: render_header(own, metadata) for name, own in shards.items()}
    for name, own in shards.items():  # room for all of them, before any work
        with _created(folder / name, label / name) as descriptor, _writing(label / name):
            reserve(descriptor, size_of(headers[name], own))
    content: dict[TensorInfo, str] = {}
    for name, own in shards.items():
        with _opened(folder / name, label / name) as descriptor:
            shard = str(label / name)
            content |= write_tensors(descriptor, len(headers[name]), own, produce, shard, workers)
    for name, own in shards.items():
        with _opened(folder / name, label / name) as descriptor:
            write_header(descriptor, own, metadata, str(label / name), final)
    if len(shards) > 1:
        write_files(folder, {INDEX: render_index(shards)}, label)
    return content, sum(size_of(headers[name], own) for name, own in shards.items())


def write_files(folder: Path, files: Mapping[str, Content], label: Path) -> None:
    """Adds small files to the folder; none of their names is taken, and none names a path."""
    for name, content in sorted(files.items()):
        path = folder / name
        assert path.parent == folder, f"{name} is no file name"
        assert path.name == name, f"{name} is no file name"
        assert not os.path.lexists(path), f"{name} is there already"
        with _created(path, label / name) as descriptor, _writing(label / name):
            if isinstance(content, bytes):
                write_all(descriptor, memoryview(content))
            else:
                _copy(content, descriptor)


def _copy(file: Path, descriptor: int) -> None:
    with reported(OutputError, "read", file):
        source = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while piece := _read(source, file):
            write_all(descriptor, memoryview(piece))
    finally:
        os.close(source)


def _read(source: int, file: Path) -> bytes:
    with reported(OutputError, "read", file):
        return os.read(source, PIECE)


def _writing(label: Path) -> AbstractContextManager[None]:
    return reported(OutputError, "write", label)


def _created(path: Path, label: Path) -> AbstractContextManager[int]:
    return _opened(path, label, os.O_CREAT | os.O_EXCL)


@contextmanager
def _opened(path: Path, label: Path, flags: int = 0) -> Iterator[int]:
    """A descriptor to write to; what was written is on the disk at the end."""
    with _writing(label):
        descriptor = os.open(path, flags | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        yield descriptor
        with _writing(label):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
