"""Writing a checkpoint: streamed tensor by tensor, checked, and there whole or not at all."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from net2net_cli.errors import OutputError
from net2net_cli.io.digest import tree_digest
from net2net_cli.io.failures import reported
from net2net_cli.io.header import render_header, write_order
from net2net_cli.io.spool import PIECE, spool_file, write_all
from net2net_cli.io.target import Target, check_output
from net2net_cli.io.temporary import publish, stale_temporaries, temporary
from net2net_cli.io.tensors import TensorInfo, from_bytes, raw_bytes

if TYPE_CHECKING:
    import torch

__all__ = ["Produce", "Written", "check_output", "stale_temporaries", "write_checkpoint"]

Produce = Callable[[TensorInfo], "torch.Tensor | memoryview"]
"""Gives a tensor on the CPU, or its bytes; it may reuse one buffer for all of them."""


@dataclass(frozen=True)
class Written:
    """What was written: ``path`` (None: standard output), content digest, size of the file.

    ``metadata`` says whether the metadata went with it: a torch state dict has no room for any.
    """

    path: Path | None
    digest: str
    nbytes: int
    metadata: bool


def write_checkpoint(
    output: str,
    tensors: Sequence[TensorInfo],
    metadata: Mapping[str, str],
    produce: Produce,
    *,
    overwrite: bool = False,
    sources: Sequence[Path] = (),
    check: Callable[[Path], None] | None = None,
) -> Written:
    """Writes the tensors to a file, a folder or ``-``; ``produce`` is called once for each.

    The format follows the name's ending: a torch state dict for .pt, .pth and .bin (held in memory
    as a whole), safetensors for all others. The file is written under a temporary name, given to
    ``check``, and renamed only when that returned; whatever is raised leaves nothing behind.
    OutputError for every reason not to write; AssertionError where ``produce`` breaks its promise.
    """
    target = check_output(output, sources, overwrite=overwrite)
    assert len({t.name for t in tensors}) == len(tensors), "two tensors have one name"
    header = None if target.format == "torch" else render_header(tensors, metadata)
    with _opened(target) as (temp, descriptor):
        label = str(target.shown or temp)
        if header is None:
            content = _write_torch(descriptor, tensors, produce, label)
        else:
            content = _write_safetensors(descriptor, header, tensors, produce, label)
        with reported(OutputError, "write", label):
            if target.file:
                os.fsync(descriptor)
            size = os.fstat(descriptor).st_size
        if check:
            check(temp)
        if target.file:
            publish(temp, target.file, overwrite=overwrite)
        else:
            _copy_to_stdout(descriptor)
    return Written(target.shown, tree_digest(content), size, header is not None)


@contextmanager
def _opened(target: Target) -> Iterator[tuple[Path, int]]:
    if target.file is None:
        with spool_file("stdout", OutputError) as made:
            yield made
        return
    if target.folder:
        with reported(OutputError, "make", target.folder):
            target.folder.mkdir()
    try:
        with temporary(target.file) as made:
            yield made
    except BaseException:
        if target.folder:
            with suppress(OSError):  # somebody put something there meanwhile
                target.folder.rmdir()
        raise


def _write_safetensors(
    descriptor: int,
    header: bytes,
    tensors: Sequence[TensorInfo],
    produce: Produce,
    label: str,
) -> dict[TensorInfo, str]:
    with reported(OutputError, "write", label):
        _reserve(descriptor, len(header) + sum(t.nbytes for t in tensors))
        write_all(descriptor, memoryview(header))
    content = {}
    for info in write_order(tensors):
        data = _bytes_of(produce(info), info)
        hasher = sha256()
        for start in range(0, len(data), PIECE):
            piece = data[start : start + PIECE]
            hasher.update(piece)
            with reported(OutputError, "write", label):
                write_all(descriptor, piece)
        content[info] = hasher.hexdigest()
    return content


def _write_torch(
    descriptor: int,
    tensors: Sequence[TensorInfo],
    produce: Produce,
    label: str,
) -> dict[TensorInfo, str]:
    import torch

    state, content = {}, {}
    for info in tensors:
        data = _bytes_of(produce(info), info)
        content[info] = sha256(data).hexdigest()
        state[info.name] = from_bytes(data, info).clone()
    with reported(OutputError, "write", label), os.fdopen(os.dup(descriptor), "wb") as stream:
        try:
            torch.save(state, stream)  # to a stream: the file's name would be in the bytes
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch hides a full disk behind its own
                raise error.__context__ from error
            raise
    return content


def _bytes_of(produced: torch.Tensor | memoryview, info: TensorInfo) -> memoryview:
    if isinstance(produced, memoryview):
        assert produced.nbytes == info.nbytes, f"{info.name}: {produced.nbytes} bytes"
        return produced.cast("B") if produced.nbytes else memoryview(b"")
    found = TensorInfo(info.name, str(produced.dtype).removeprefix("torch."), tuple(produced.shape))
    assert found == info, f"produced {found}, promised {info}"
    assert produced.device.type == "cpu", f"{info.name} is on {produced.device}"
    return raw_bytes(produced)


def _reserve(descriptor: int, size: int) -> None:
    # A full disk is told before the work, not after it.
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise


def _copy_to_stdout(descriptor: int) -> None:
    stream = sys.stdout.buffer
    with reported(OutputError, "write", "standard output"):
        os.lseek(descriptor, 0, os.SEEK_SET)
        while piece := os.read(descriptor, PIECE):
            stream.write(piece)
        stream.flush()
