"""The files of a model folder: tensors in one file or in shards, and small files beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from net2net_cli.errors import OutputError
from net2net_cli.io.digest import LeafDigests
from net2net_cli.io.failures import reported
from net2net_cli.io.header import render_header
from net2net_cli.io.shards import INDEX, render_index
from net2net_cli.io.spool import PIECE, write_all
from net2net_cli.io.tensor_file import Final, Part, parts_of, reserve, write_header
from net2net_cli.io.tensors import TensorInfo

Content = bytes | Path
"""A small file: its content, or the file that it is a copy of."""


Fill = Callable[[int, Sequence[Part], str], LeafDigests]
"""Writes parts of one file's tensors to its descriptor, each at its place; gives the hex digest of
each that it wrote. Errors call the file by the last argument."""


@dataclass(frozen=True)
class Shards:
    """The files of a checkpoint's tensors, by name: "" where the checkpoint itself is the file.

    ``metadata`` goes into each; what is written in the end has the same length.
    """

    files: Mapping[str, Sequence[TensorInfo]]
    metadata: Mapping[str, str]

    @cached_property
    def starts(self) -> Mapping[str, int]:
        """The length of each file's header."""
        return {n: len(render_header(own, self.metadata)) for n, own in self.files.items()}

    @property
    def size(self) -> int:
        """The bytes of all."""
        return sum(start + _bytes(self.files[name]) for name, start in self.starts.items())


def reserve_shards(shards: Shards, place: Path, label: Path) -> None:
    """Take room for all files, before any work. ``place`` is the file or folder; errors call it
    ``label``."""
    for name, start in shards.starts.items():
        with _opened(place / name, label / name, os.O_CREAT) as descriptor, _writing(label / name):
            reserve(descriptor, start + _bytes(shards.files[name]))


def fill_shards(shards: Shards, place: Path, label: Path, fill: Fill, *, sync: bool) -> LeafDigests:
    """Write the tensors of every file; the hex digest of each part that ``fill`` wrote."""
    content = LeafDigests()
    for name, own in shards.files.items():
        with _opened(place / name, label / name, sync=sync) as descriptor:
            content |= fill(descriptor, parts_of(own, shards.starts[name]), str(label / name))
    return content


def head_shards(shards: Shards, place: Path, label: Path, final: Final | None) -> None:
    """Write the headers, and the index where there is more than one file: now all is on the disk.

    ``final`` gives the metadata, which may be known only once all tensors are made.
    """
    for name, own in shards.files.items():
        with _opened(place / name, label / name, sync=True) as descriptor:
            write_header(descriptor, own, shards.metadata, str(label / name), final)
    if len(shards.files) > 1:
        write_files(place, {INDEX: render_index(shards.files)}, label)


def _bytes(tensors: Sequence[TensorInfo]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


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
    return _opened(path, label, os.O_CREAT | os.O_EXCL, sync=True)


@contextmanager
def _opened(path: Path, label: Path, flags: int = 0, *, sync: bool = False) -> Iterator[int]:
    """A descriptor to write to; with ``sync``, all of the file is on the disk at the end."""
    with _writing(label):
        descriptor = os.open(path, flags | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        yield descriptor
        if sync:
            with _writing(label):
                os.fsync(descriptor)
    finally:
        os.close(descriptor)
