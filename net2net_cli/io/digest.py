"""Digests of a checkpoint: of its content, and of its header alone.

Both are blake3 over one line of JSON for each tensor, sorted by name: ``[name, dtype, shape]`` for
the header, with the digest of the tensor's bytes as a fourth entry for the content. So neither
depends on the file format, the order of the tensors or how they are cut into files.

A tensor's bytes are cut into leaves of whole runs of its last axes, at most 64 MiB each; their
digest is blake3 over the blake3 of every leaf, laid end to end. So several threads or machines may
digest the leaves, in any order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from blake3 import blake3

from net2net_cli.io.dtypes import SIZES
from net2net_cli.io.tensors import TensorInfo

LEAF = 64 * 2**20
"""The most bytes of a leaf."""


def leaf_bytes(info: TensorInfo) -> int:
    """The bytes of each of a tensor's leaves but the last, which may have fewer: as many of the
    longest run of last axes that fits as fit. At least one."""
    run = SIZES[info.dtype]
    for size in reversed(info.shape):
        if run * size > LEAF:
            break
        run *= max(1, size)
    return run * (LEAF // run)


def joined(leaves: Iterable[bytes]) -> str:
    """The hex digest of a tensor's bytes, given the digest of each leaf in order."""
    return blake3(b"".join(leaves)).hexdigest()


class TensorHash:
    """The digest of a tensor's bytes, which come in order, in pieces of any size."""

    def __init__(self, info: TensorInfo) -> None:
        self.leaf = self.room = leaf_bytes(info)
        self.leaves: list[bytes] = []
        self.hasher = blake3()

    def update(self, piece: memoryview) -> None:
        """So many more bytes."""
        while piece:
            part = piece[: self.room]
            self.hasher.update(part)
            self.room -= len(part)
            piece = piece[len(part) :]
            if not self.room:
                self._end_leaf()

    def hexdigest(self) -> str:
        """The hex digest, once all of them came."""
        if self.room < self.leaf:
            self._end_leaf()
        return joined(self.leaves)

    def _end_leaf(self) -> None:
        self.leaves.append(self.hasher.digest())
        self.hasher, self.room = blake3(), self.leaf


def header_digest(tensors: Iterable[TensorInfo], algorithm: str = "blake3") -> str:
    """``blake3:`` and the digest of the tensors' names, types and shapes; plans that were made
    before ask for ``sha256``."""
    return _digest(([t.name, t.dtype, list(t.shape)] for t in tensors), algorithm)


def has_header(tensors: Iterable[TensorInfo], digest: str) -> bool:
    """Whether the tensors have that header digest, by the algorithm that it names."""
    algorithm = digest.partition(":")[0]
    return algorithm in _ALGORITHMS and header_digest(tensors, algorithm) == digest


def tree_digest(content: Mapping[TensorInfo, str]) -> str:
    """``blake3:`` and the digest of a checkpoint, given the hex digest of each tensor's bytes."""
    return _digest([t.name, t.dtype, list(t.shape), data] for t, data in content.items())


def _blake3(data: bytes) -> str:
    return blake3(data).hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


_ALGORITHMS = {"blake3": _blake3, "sha256": _sha256}


def _digest(records: Iterable[list[object]], algorithm: str = "blake3") -> str:
    lines = sorted(records, key=lambda record: str(record[0]))
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    return f"{algorithm}:{_ALGORITHMS[algorithm](text.encode('ascii'))}"
