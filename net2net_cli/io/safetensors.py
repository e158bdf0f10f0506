"""A safetensors file as a source: its header parsed, its data read when they are wanted."""

from __future__ import annotations

from pathlib import Path

from net2net_cli.errors import CheckpointError
from net2net_cli.io.checkpoint import Source
from net2net_cli.io.failures import reported, shown
from net2net_cli.io.header import read_header
from net2net_cli.io.opened import Opened


class SafetensorsSource(Source):
    """One safetensors file."""

    def __init__(self, file: Path, label: str, path: Path | None) -> None:
        """Opens ``file``; errors call it ``label``. ``path`` is None where it will not last."""
        self.label = label
        self.path = path
        self.files = () if path is None else (path,)
        with reported(CheckpointError, "read", label), file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            header = read_header(stream, size, shown(label))
            self._opened = Opened(stream, label)
        self.tensors = header.tensors
        self.metadata = header.metadata
        self._spans = header.spans

    def raw(self, name: str) -> memoryview:
        """The tensor's bytes, in memory of their own."""
        first, end = self._spans[name]
        data = memoryview(bytearray(end - first))
        self._opened.read(first, data)
        return data

    def read(self, name: str, at: int, into: memoryview) -> None:
        """A part of them; CheckpointError where the file has become shorter, or cannot be read."""
        self._opened.read(self._spans[name][0] + at, into)

    def close(self) -> None:
        """Closes the file."""
        self._opened.close()
