"""A file whose bytes are read from any place, by several threads, and never mapped into memory.

A mapping ends the process (SIGBUS) where the file was cut short meanwhile, or its disk fails; a
system call says so.
"""

from __future__ import annotations

import os
import weakref
from threading import Lock
from typing import BinaryIO

from net2net_cli.errors import CheckpointError
from net2net_cli.io.failures import reported, shown


class Opened:
    """The file of a stream, which may be closed; errors call it ``label``. What was unlinked since
    can be read still."""

    def __init__(self, stream: BinaryIO, label: str) -> None:
        self.label = label
        self._descriptor = os.dup(stream.fileno())
        self._lock = Lock()
        self._closing = weakref.finalize(self, os.close, self._descriptor)

    def read(self, at: int, into: memoryview) -> None:
        """Fills ``into`` with the bytes from ``at`` on.

        CheckpointError where the file has become shorter, or cannot be read; ValueError where it
        was closed.
        """
        if not self._closing.alive:
            raise ValueError(f"{self.label} is closed")
        with reported(CheckpointError, "read", self.label):
            while into:
                done = self._some(at, into)
                if not done:
                    raise CheckpointError("the file was cut short", where=shown(self.label))
                into, at = into[done:], at + done

    def _some(self, at: int, into: memoryview) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._descriptor, [into], at)
        with self._lock:  # elsewhere threads share one place in the file
            os.lseek(self._descriptor, at, os.SEEK_SET)
            data = os.read(self._descriptor, len(into))
        into[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Nothing is read any more."""
        self._closing()
