"""The tensors of one output file, made one after another and written to its descriptor."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from net2net_cli.errors import OutputError
from net2net_cli.io.failures import reported
from net2net_cli.io.header import render_header, write_order
from net2net_cli.io.spool import PIECE
from net2net_cli.io.tensors import TensorInfo, from_bytes, raw_bytes

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Copied:
    """The bytes of a tensor that are another's as they are, and their hex sha256; ``written`` is
    called once they are."""

    data: memoryview
    digest: str
    written: Callable[[], None]


Produce = Callable[[TensorInfo], "torch.Tensor | memoryview | Copied | Iterator[torch.Tensor]"]
"""Gives a tensor on the CPU, its bytes, or the tensor in pieces of whole rows."""

Final = Callable[[], Mapping[str, str]]
"""Gives the metadata once all tensors are made."""

WORKERS = min(4, os.cpu_count() or 1)
"""How many tensors are made at once where nothing else is asked for."""


def write_tensors(
    descriptor: int,
    start: int,
    tensors: Sequence[TensorInfo],
    produce: Produce,
    label: str,
    workers: int = 1,
) -> dict[TensorInfo, str]:
    """Writes the data of a file whose header has ``start`` bytes, each tensor at its place; gives
    the hex sha256 of each. Several are made at once, and of each no more than a piece is held."""

    def write(info: TensorInfo, offset: int) -> str:
        made = produce(info)
        if isinstance(made, Copied):
            _write_at(descriptor, made.data.cast("B") if made.data.nbytes else b"", offset, label)
            made.written()
            return made.digest
        hasher = sha256()
        end = offset + info.nbytes
        for piece in _pieces(made, info):
            hasher.update(piece)
            _write_at(descriptor, piece, offset, label)
            offset += len(piece)
        assert offset == end, f"{info.name} has {end - offset} bytes less than promised"
        return hasher.hexdigest()

    places = []
    for info in write_order(tensors):
        places.append((info, start))
        start += info.nbytes
    if workers <= 1:
        return {info: write(info, offset) for info, offset in places}
    with ThreadPoolExecutor(workers) as pool:
        found = [pool.submit(write, info, offset) for info, offset in places]
        try:
            return {info: f.result() for (info, _), f in zip(places, found, strict=True)}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_at(descriptor: int, data: memoryview | bytes, offset: int, label: str) -> None:
    view = memoryview(data)
    for start in range(0, len(view), PIECE):
        piece = view[start : start + PIECE]
        with reported(OutputError, "write", label):
            while piece:
                done = os.pwrite(descriptor, piece, offset)
                piece, offset = piece[done:], offset + done


def _pieces(
    made: torch.Tensor | memoryview | Iterator[torch.Tensor], info: TensorInfo
) -> Iterator[memoryview]:
    if not isinstance(made, Iterator):
        yield _bytes_of(made, info)
        return
    for tile in made:
        assert str(tile.dtype) == f"torch.{info.dtype}", f"{info.name} is made as {tile.dtype}"
        yield raw_bytes(tile)


def write_safetensors(
    descriptor: int,
    tensors: Sequence[TensorInfo],
    metadata: Mapping[str, str],
    produce: Produce,
    label: str,
    final: Final | None = None,
    workers: int = 1,
) -> dict[TensorInfo, str]:
    """Writes a whole file: its room is taken first, its header written last, since the metadata
    that ``final`` gives, of the same length, may be known only once all tensors are made."""
    header = render_header(tensors, metadata)
    with reported(OutputError, "write", label):
        reserve(descriptor, size_of(header, tensors))
    content = write_tensors(descriptor, len(header), tensors, produce, label, workers)
    write_header(descriptor, tensors, metadata, label, final)
    return content


def write_header(
    descriptor: int,
    tensors: Sequence[TensorInfo],
    metadata: Mapping[str, str],
    label: str,
    final: Final | None,
) -> None:
    """Writes the header, in the room of the one with ``metadata``."""
    header = render_header(tensors, final() if final else metadata)
    assert len(header) == len(render_header(tensors, metadata)), "the header's length has changed"
    _write_at(descriptor, header, 0, label)


def write_torch(
    descriptor: int,
    tensors: Sequence[TensorInfo],
    produce: Produce,
    label: str,
) -> dict[TensorInfo, str]:
    """Writes a state dict, held in memory as a whole; gives the hex sha256 of each tensor."""
    import torch

    state, content = {}, {}
    for info in tensors:
        data = _whole(produce(info), info)
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


def size_of(header: bytes, tensors: Sequence[TensorInfo]) -> int:
    """The size in bytes of the safetensors file."""
    return len(header) + sum(t.nbytes for t in tensors)


def reserve(descriptor: int, size: int) -> None:
    """Takes the room on the disk, so that a full one is told before the work, not after it."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise


def _whole(made: object, info: TensorInfo) -> memoryview:
    if isinstance(made, Copied):
        return made.data.cast("B") if made.data.nbytes else memoryview(b"")
    pieces = list(_pieces(made, info))  # type: ignore[arg-type]
    return pieces[0] if len(pieces) == 1 else memoryview(b"".join(pieces))


def _bytes_of(produced: torch.Tensor | memoryview, info: TensorInfo) -> memoryview:
    if isinstance(produced, memoryview):
        assert produced.nbytes == info.nbytes, f"{info.name}: {produced.nbytes} bytes"
        return produced.cast("B") if produced.nbytes else memoryview(b"")
    found = TensorInfo(info.name, str(produced.dtype).removeprefix("torch."), tuple(produced.shape))
    assert found == info, f"produced {found}, promised {info}"
    assert produced.device.type == "cpu", f"{info.name} is on {produced.device}"
    return raw_bytes(produced)
