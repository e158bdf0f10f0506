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
from typing import TypeAlias

from blake3 import blake3

from net2net_cli.io.dtypes import SIZES
from net2net_cli.io.tensors import TensorInfo

LEAF = 64 * 2**20
"""The most bytes of a leaf."""


Leaf: TypeAlias = tuple[str, int]
"""A tensor's name, and the number of one of its leaves."""

LeafDigests: TypeAlias = dict[Leaf, str]
"""The hex blake3 of leaves."""


def leaf_bytes(info: TensorInfo) -> int:
    """The bytes of each of a tensor's leaves but the last, which may have fewer: as many of the
    longest run of last axes that fits as fit. At least one."""
    run = SIZES[info.dtype]
    for size in reversed(info.shape):
        if run * size > LEAF:
            break
        run *= max(1, size)
    return run * (LEAF // run)


def leaves_of(info: TensorInfo) -> list[Leaf]:
    """All of a tensor's leaves: at least one, which is empty where it has no bytes."""
    return [(info.name, n) for n in range(max(1, -(-info.nbytes // leaf_bytes(info))))]


def joined(info: TensorInfo, leaves: Mapping[Leaf, str]) -> str:
    """The hex digest of a tensor's bytes, given that of each leaf."""
    return blake3(b"".join(bytes.fromhex(leaves[leaf]) for leaf in leaves_of(info))).hexdigest()


def header_digest(tensors: Iterable[TensorInfo], algorithm: str = "blake3") -> str:
    """``blake3:`` and the digest of the tensors' names, types and shapes; plans that were made
    before ask for ``sha256``."""
    return _digest(([t.name, t.dtype, list(t.shape)] for t in tensors), algorithm)


def has_header(tensors: Iterable[TensorInfo], digest: str) -> bool:
    """Whether the tensors have that header digest, by the algorithm that it names."""
    algorithm = digest.partition(":")[0]
    return algorithm in _ALGORITHMS and header_digest(tensors, algorithm) == digest


def tree_digest(tensors: Iterable[TensorInfo], leaves: Mapping[Leaf, str]) -> str:
    """``blake3:`` and the digest of a checkpoint, given the hex digest of each leaf."""
    return _digest([t.name, t.dtype, list(t.shape), joined(t, leaves)] for t in tensors)


def _blake3(data: bytes) -> str:
    return blake3(data).hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


_ALGORITHMS = {"blake3": _blake3, "sha256": _sha256}


def _digest(records: Iterable[list[object]], algorithm: str = "blake3") -> str:
    lines = sorted(records, key=lambda record: str(record[0]))
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    return f"{algorithm}:{_ALGORITHMS[algorithm](text.encode('ascii'))}"
