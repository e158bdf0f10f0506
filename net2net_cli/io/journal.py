"""What a process has written of a checkpoint that several write together, for a restart to pick up.

A line of JSON for each part of a tensor that lies on the disk, with the digest of its bytes, and
one for each leaf of the source whose digest is known. Lines about what was written are claims:
whoever picks it up reads the bytes again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, BinaryIO

from net2net_cli.errors import OutputError
from net2net_cli.io.digest import Leaf, LeafDigests
from net2net_cli.io.failures import reported
from net2net_cli.io.tensor_file import Part

BATCH = 64 * 2**20
"""Bytes that are put on the disk together, before they are noted."""

DELAY = 1.0
"""Seconds after which fewer are."""

_sync = getattr(os, "fdatasync", os.fsync)


@dataclass(frozen=True)
class Claims:
    """Hex digests: of parts that were written, and of the source's leaves."""

    written: LeafDigests = field(default_factory=dict)
    source: LeafDigests = field(default_factory=dict)


def read_journals(files: Iterable[Path]) -> Claims:
    """All that is noted; what a killed process left unfinished is passed over."""
    claims = Claims()
    for file in sorted(files):
        with reported(OutputError, "read", file):
            lines = file.read_bytes().splitlines()
        for line in lines:
            _read(line, claims)
    return claims


def _read(line: bytes, claims: Claims) -> None:
    try:
        found: Any = json.loads(line)
        kind, name, number, digest = found
    except (ValueError, TypeError):
        return
    known = {"written": claims.written, "source": claims.source}.get(str(kind))
    typed = isinstance(name, str) and isinstance(number, int) and isinstance(digest, str)
    if known is not None and typed:
        known[name, number] = digest


class Journal:
    """Notes the parts of one file, in a thread of its own. ``digests`` are the source's, which
    grow meanwhile; errors name ``label``."""

    def __init__(self, path: Path, descriptor: int, digests: LeafDigests, label: str) -> None:
        self.path, self.descriptor, self.label = path, descriptor, label
        self.digests = digests
        self.told: set[Leaf] = set()
        self.queue: SimpleQueue[tuple[Part, str] | None] = SimpleQueue()
        self.error: Exception | None = None
        self.thread = Thread(target=self._run, daemon=True)
        self.thread.start()

    def note(self, part: Part, digest: str) -> None:
        """A part was written."""
        self.queue.put((part, digest))

    def close(self) -> None:
        """Note the last ones; OutputError where the disk did not take what was written."""
        self.queue.put(None)
        self.thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            with reported(OutputError, "write", self.label), self.path.open("ab") as stream:
                stream.write(b"\n")  # ends a line that a killed process began
                while self._batch(stream):
                    pass
        except Exception as error:  # noqa: BLE001
            self.error = error

    def _batch(self, stream: BinaryIO) -> bool:
        """Note some parts; whether there may be more."""
        noted, size, until = LeafDigests(), 0, float("inf")
        item: tuple[Part, str] | None = None
        while size < BATCH:
            try:
                wait = None if not noted else max(0.0, until - time.monotonic())
                item = self.queue.get(timeout=wait)
            except Empty:
                break
            if item is None:
                break
            until = until if noted else time.monotonic() + DELAY
            part, digest = item
            noted[part.leaf] = digest
            size += part.stop - part.start
        if noted:
            _sync(self.descriptor)
            self._write(stream, noted)
        return item is not None

    def _write(self, stream: BinaryIO, noted: LeafDigests) -> None:
        known = {n: d for n, d in dict(self.digests).items() if n not in self.told}
        self.told.update(known)
        lines = [["written", *leaf, digest] for leaf, digest in noted.items()]
        lines += [["source", *leaf, digest] for leaf, digest in known.items()]
        stream.writelines(json.dumps(line).encode() + b"\n" for line in lines)
        stream.flush()


@contextmanager
def journaling(path: Path, descriptor: int, digests: LeafDigests, label: str) -> Iterator[Journal]:
    """A journal while the block runs; all is noted at its end, however it ends."""
    journal = Journal(path, descriptor, digests, label)
    try:
        yield journal
    finally:
        journal.close()
