"""A safetensors file as a source: its header parsed, its data mapped into memory, never copied."""

from __future__ import annotations

import mmap
import os
import weakref
from contextlib import suppress
from pathlib import Path

from net2net_cli.errors import CheckpointError
from net2net_cli.io.checkpoint import Source
from net2net_cli.io.failures import reported, shown
from net2net_cli.io.header import read_header


class SafetensorsSource(Source):
    """One safetensors file; its tensors share memory with the file's mapping."""

    def __init__(self, file: Path, label: str, path: Path | None) -> None:
        """Opens ``file``; errors call it ``label``. ``path`` is None where it will not last."""
        self.label = label
        self.path = path
        self.files = () if path is None else (path,)
        with reported(CheckpointError, "read", label), file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(0)
            header = read_header(stream, size, shown(label))
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            self._descriptor = os.dup(stream.fileno())
            self._closing = weakref.finalize(self, os.close, self._descriptor)
        self.tensors = header.tensors
        self.metadata = header.metadata
        self._spans = header.spans

    def raw(self, name: str) -> memoryview:
        """The tensor's bytes, in the mapping."""
        first, end = self._spans[name]
        return memoryview(self._map)[first:end]

    def read(self, name: str, at: int, into: memoryview) -> None:
        """By system calls, which are quicker than the mapping's pages one by one.

        CheckpointError where the file has become shorter, or cannot be read.
        """
        if not hasattr(os, "preadv"):
            super().read(name, at, into)
            return
        offset = self._spans[name][0] + at
        with reported(CheckpointError, "read", self.label):
            while into:
                done = os.preadv(self._descriptor, [into], offset)
                if not done:
                    raise CheckpointError("the file was cut short", where=shown(self.label))
                into, offset = into[done:], offset + done

    def release(self, name: str) -> None:
        """Unmaps the tensor's pages; the file's cache keeps what there is room for."""
        first, end = self._spans[name]
        start = first - first % mmap.PAGESIZE
        if end > start and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED, start, end - start)

    def close(self) -> None:
        """Unmaps the file, now or with the last tensor that was taken."""
        self._closing()
        with suppress(BufferError):  # taken tensors hold the mapping, and free it with them
            self._map.close()
