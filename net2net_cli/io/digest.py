"""Digests of a checkpoint: of its content, and of its header alone.

Both are sha256 over one line of JSON for each tensor, sorted by name: ``[name, dtype, shape]`` for
the header, with the sha256 of the tensor's bytes as a fourth entry for the content. So neither
depends on the file format, the order of the tensors or how they are cut into files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256

from net2net_cli.io.tensors import TensorInfo


def header_digest(tensors: Iterable[TensorInfo]) -> str:
    """``sha256:`` and the digest of the tensors' names, types and shapes."""
    return _digest([t.name, t.dtype, list(t.shape)] for t in tensors)


def tree_digest(content: Mapping[TensorInfo, str]) -> str:
    """``sha256:`` and the digest of a checkpoint, given the hex sha256 of each tensor's bytes."""
    return _digest([t.name, t.dtype, list(t.shape), data] for t, data in content.items())


def _digest(records: Iterable[list[object]]) -> str:
    lines = sorted(records, key=lambda record: str(record[0]))
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    return "sha256:" + sha256(text.encode("ascii")).hexdigest()
