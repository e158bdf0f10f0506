"""The tensors of one output file, made one after another and written to its descriptor."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import local
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from net2net_cli.errors import OutputError
from net2net_cli.io.digest import TensorHash
from net2net_cli.io.failures import reported
from net2net_cli.io.header import render_header, write_order
from net2net_cli.io.team import processes_here
from net2net_cli.io.tensors import PIECE, TensorInfo, from_bytes, raw_bytes
from net2net_cli.io.training import save_torch

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


@dataclass(frozen=True)
class Copied:
    """A tensor whose bytes are there already: ``read`` fills a buffer with those from some place
    on. ``digest`` is their hex digest where it is known; ``written`` is given it at the end."""

    read: Callable[[int, memoryview], None]
    digest: str | None
    written: Callable[[str], None]


Made: TypeAlias = "torch.Tensor | memoryview | Copied | Iterator[torch.Tensor]"
Produce = Callable[[TensorInfo], Made]
"""Gives a tensor on the CPU, its bytes, or the tensor in pieces of whole rows."""

Final = Callable[[], Mapping[str, str]]
"""Gives the metadata once all tensors are made."""

WORKERS = max(1, min(4, (os.cpu_count() or 1) // processes_here()))
"""How many tensors are made at once where nothing else is asked for."""


Place = tuple[TensorInfo, int]
"""A tensor, and where its bytes start in the file."""


def places(tensors: Sequence[TensorInfo], start: int) -> list[Place]:
    """Where each tensor lies in a file whose header has ``start`` bytes, in that order."""
    found = []
    for info in write_order(tensors):
        found.append((info, start))
        start += info.nbytes
    return found


def write_tensors(
    descriptor: int,
    tensors: Sequence[Place],
    produce: Produce,
    label: str,
    workers: int = 1,
    written: Callable[[TensorInfo, str], None] | None = None,
) -> dict[TensorInfo, str]:
    """Writes tensors at their places; gives the hex digest of each, and tells ``written`` of it.
    Several are made at once, and of each no more than a piece is held."""

    def write(place: Place) -> str:
        digest = _write_tensor(descriptor, *place, produce, label)
        if written:
            written(place[0], digest)
        return digest

    digests = in_threads(write, tensors, workers)
    return {info: digest for (info, _), digest in zip(tensors, digests, strict=True)}


def in_threads(work: Callable[[Place], T], tensors: Sequence[Place], workers: int) -> list[T]:
    """What ``work`` gives for each; the first error ends it."""
    if workers <= 1:
        return [work(place) for place in tensors]
    with ThreadPoolExecutor(workers) as pool:
        found = [pool.submit(work, place) for place in tensors]
        try:
            return [one.result() for one in found]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_tensor(
    descriptor: int, info: TensorInfo, offset: int, produce: Produce, label: str
) -> str:
    made = produce(info)
    if isinstance(made, Copied):
        return _copy(made, info, descriptor, offset, label)
    hasher = TensorHash(info)
    end = offset + info.nbytes
    for tile in _pieces(made, info):
        for start in range(0, len(tile), PIECE):
            piece = tile[start : start + PIECE]
            hasher.update(piece)
            _write_at(descriptor, piece, offset, label)
            offset += len(piece)
    assert offset == end, f"{info.name} has {end - offset} bytes less than promised"
    return hasher.hexdigest()


class _Buffer(local):
    """One for each thread, used over and over: fresh memory costs more than copying does."""

    def __init__(self) -> None:
        self.piece = memoryview(bytearray(PIECE))


_BUFFER = _Buffer()


def _copy(made: Copied, info: TensorInfo, descriptor: int, offset: int, label: str) -> str:
    """Piece by piece: read, hashed and written while it is in the core's own cache."""
    hasher = TensorHash(info)
    for at in range(0, info.nbytes, PIECE):
        piece = _BUFFER.piece[: info.nbytes - at]
        made.read(at, piece)
        if made.digest is None:
            hasher.update(piece)
        _write_at(descriptor, piece, offset + at, label)
    digest = made.digest or hasher.hexdigest()
    made.written(digest)
    return digest


def read_digest(descriptor: int, info: TensorInfo, offset: int, label: str) -> str:
    """The hex digest of the bytes that lie at a tensor's place."""
    hasher = TensorHash(info)
    for start in range(0, info.nbytes, PIECE):
        with reported(OutputError, "read", label):
            size = min(PIECE, info.nbytes - start)
            hasher.update(memoryview(os.pread(descriptor, size, offset + start)))
    return hasher.hexdigest()


def _write_at(descriptor: int, data: memoryview | bytes, offset: int, label: str) -> None:
    piece = memoryview(data)
    with reported(OutputError, "write", label):
        while piece:
            done = _pwrite(descriptor, piece, offset)
            piece, offset = piece[done:], offset + done


_DONTCACHE = 0x80
"""Linux 6.14's RWF_DONTCACHE: what is written goes to the disk at once, and takes no room in the
machine's cache, which others may need more."""

_refused: set[int] = set()
"""The file systems that know no such thing, by device."""


def _pwrite(descriptor: int, piece: memoryview, offset: int) -> int:
    device = os.fstat(descriptor).st_dev
    if hasattr(os, "pwritev") and sys.platform == "linux" and device not in _refused:
        try:
            return os.pwritev(descriptor, [piece], offset, _DONTCACHE)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
            _refused.add(device)
    return os.pwrite(descriptor, piece, offset)


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
    content = write_tensors(descriptor, places(tensors, len(header)), produce, label, workers)
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
    """Writes a state dict, held in memory as a whole; gives the hex digest of each tensor."""
    state, content = {}, {}
    for info in tensors:
        made = produce(info)
        data = _whole(made, info)
        hasher = TensorHash(info)
        hasher.update(data)
        content[info] = digest = hasher.hexdigest()
        if isinstance(made, Copied):
            made.written(digest)
        state[info.name] = from_bytes(data, info).clone()
    save_torch(state, descriptor, label)
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
        data = memoryview(bytearray(info.nbytes))
        made.read(0, data)
        return data
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
