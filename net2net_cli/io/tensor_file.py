"""The tensors of one output file, made in parts and written to its descriptor."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock, local
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from blake3 import blake3

from net2net_cli.errors import OutputError
from net2net_cli.io.digest import Leaf, LeafDigests, leaf_bytes
from net2net_cli.io.failures import reported
from net2net_cli.io.header import render_header, write_order
from net2net_cli.io.team import processes_here
from net2net_cli.io.tensors import PIECE, TensorInfo, from_bytes, raw_bytes
from net2net_cli.io.training import save_torch

if TYPE_CHECKING:
    import torch

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Copied:
    """A tensor whose bytes are there already: ``read`` fills a buffer with those from some place
    on. ``known`` gives a leaf's digest where it is known, by its number, and ``written`` is told
    of each that was taken."""

    read: Callable[[int, memoryview], None]
    known: Callable[[int], str | None]
    written: Callable[[int, str], None]


@dataclass(frozen=True)
class Rows:
    """A tensor that is made in rows of ``nbytes``: ``make`` gives those from one to another, in
    pieces, each of which is valid until the next is asked for. Several threads may ask at once."""

    nbytes: int
    make: Callable[[int, int], Iterator[torch.Tensor]]


Made: TypeAlias = "torch.Tensor | memoryview | Copied | Rows"
Produce = Callable[[TensorInfo], Made]
"""Gives a tensor on the CPU, its bytes, or how its bytes are made."""

Final = Callable[[], Mapping[str, str]]
"""Gives the metadata once all tensors are made."""

Training = Callable[[Mapping[str, "torch.Tensor"]], Mapping[str, Any]]
"""Gives all that a file is to hold, of the weights by name."""

WORKERS = max(1, min(4, (os.cpu_count() or 1) // processes_here()))
"""How many parts of tensors are made at once where nothing else is asked for."""


@dataclass(frozen=True)
class Part:
    """A part of a tensor that is made at once: a leaf of its digest, whose bytes are those from
    ``start`` to ``stop``, and where they start in the file."""

    info: TensorInfo
    number: int
    start: int
    stop: int
    offset: int

    @property
    def leaf(self) -> Leaf:
        """What its digest goes by."""
        return self.info.name, self.number


def parts_of(tensors: Sequence[TensorInfo], start: int) -> list[Part]:
    """The parts of a file whose header has ``start`` bytes, in the order of their places."""
    found = []
    for info in write_order(tensors):
        leaf, size = leaf_bytes(info), info.nbytes
        for number, at in enumerate(range(0, max(1, size), leaf)):
            found.append(Part(info, number, at, min(at + leaf, size), start + at))
        start += size
    return found


def write_parts(
    descriptor: int,
    parts: Sequence[Part],
    produce: Produce,
    label: str,
    workers: int = 1,
    written: Callable[[Part, str], None] | None = None,
) -> LeafDigests:
    """Writes parts of tensors at their places; gives the hex digest of each, and tells ``written``
    of it. Several are made at once, and of each no more than a piece is held."""
    making = _Making(produce, parts)

    def write(part: Part) -> str:
        made = making.of(part.info)
        digest = _write_part(descriptor, part, made, label)
        making.done(part.info)
        if written:
            written(part, digest)
        return digest

    digests = in_threads(write, parts, workers)
    return {part.leaf: digest for part, digest in zip(parts, digests, strict=True)}


class _Making:
    """What is asked for once for each tensor, and let go of with its last part."""

    def __init__(self, produce: Produce, parts: Sequence[Part]) -> None:
        self.produce, self.lock = produce, Lock()
        self.made: dict[str, Made] = {}
        self.left: dict[str, int] = {}
        self.locks = {part.info.name: Lock() for part in parts}
        for part in parts:
            self.left[part.info.name] = self.left.get(part.info.name, 0) + 1

    def of(self, info: TensorInfo) -> Made:
        """How the tensor is made."""
        with self.locks[info.name]:
            if info.name not in self.made:
                self.made[info.name] = self.produce(info)
            return self.made[info.name]

    def done(self, info: TensorInfo) -> None:
        """One of its parts is."""
        with self.lock:
            self.left[info.name] -= 1
            if not self.left[info.name]:
                del self.made[info.name]


def in_threads(work: Callable[[S], T], items: Sequence[S], workers: int) -> list[T]:
    """What ``work`` gives for each; the first error ends it."""
    if workers <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(workers) as pool:
        found = [pool.submit(work, item) for item in items]
        try:
            return [one.result() for one in found]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_part(descriptor: int, part: Part, made: Made, label: str) -> str:
    if isinstance(made, Copied):
        return _copy(made, part, descriptor, label)
    hasher, offset = blake3(), part.offset
    for whole in _pieces(made, part.info, part.start, part.stop):
        for start in range(0, len(whole), PIECE):
            piece = whole[start : start + PIECE]
            hasher.update(piece)
            _write_at(descriptor, piece, offset, label)
            offset += len(piece)
    missing = part.offset + part.stop - part.start - offset
    assert not missing, f"{part.info.name} has {missing} bytes less than promised"
    return hasher.hexdigest()


class _Buffer(local):
    """One for each thread, used over and over: fresh memory costs more than copying does."""

    def __init__(self) -> None:
        self.piece = memoryview(bytearray(PIECE))


_BUFFER = _Buffer()


def _copy(made: Copied, part: Part, descriptor: int, label: str) -> str:
    """Piece by piece: read, hashed and written while it is in the core's own cache."""
    hasher, known = blake3(), made.known(part.number)
    for at in range(part.start, part.stop, PIECE):
        piece = _BUFFER.piece[: part.stop - at]
        made.read(at, piece)
        if known is None:
            hasher.update(piece)
        _write_at(descriptor, piece, part.offset + at - part.start, label)
    digest = known or hasher.hexdigest()
    made.written(part.number, digest)
    return digest


def read_digest(descriptor: int, part: Part, label: str) -> str:
    """The hex digest of the bytes that lie at a part's place."""
    hasher, size = blake3(), part.stop - part.start
    for start in range(0, size, PIECE):
        with reported(OutputError, "read", label):
            hasher.update(os.pread(descriptor, min(PIECE, size - start), part.offset + start))
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
    made: torch.Tensor | memoryview | Rows, info: TensorInfo, start: int, stop: int
) -> Iterator[memoryview]:
    """The bytes of a tensor from ``start`` to ``stop``."""
    if not isinstance(made, Rows):
        yield _bytes_of(made, info)[start:stop]
        return
    if start == stop:
        return
    first, end = start // made.nbytes, -(-stop // made.nbytes)
    at = first * made.nbytes
    for tile in made.make(first, end):
        assert str(tile.dtype) == f"torch.{info.dtype}", f"{info.name} is made as {tile.dtype}"
        data = raw_bytes(tile)
        # A row that is longer than a leaf is made for each of its leaves.
        piece = data[max(0, start - at) : max(0, stop - at)]
        at += len(data)
        if piece:
            yield piece


def write_safetensors(
    descriptor: int,
    tensors: Sequence[TensorInfo],
    metadata: Mapping[str, str],
    produce: Produce,
    label: str,
    final: Final | None = None,
    workers: int = 1,
) -> LeafDigests:
    """Writes a whole file: its room is taken first, its header written last, since the metadata
    that ``final`` gives, of the same length, may be known only once all tensors are made."""
    header = render_header(tensors, metadata)
    with reported(OutputError, "write", label):
        reserve(descriptor, size_of(header, tensors))
    content = write_parts(descriptor, parts_of(tensors, len(header)), produce, label, workers)
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
    training: Training | None = None,
) -> LeafDigests:
    """Writes a state dict, or what ``training`` makes of it, held in memory as a whole; gives the
    hex digest of each leaf."""
    state, content = collect(tensors, produce)
    save_torch(training(state) if training else state, descriptor, label)
    return content


def collect(
    tensors: Sequence[TensorInfo], produce: Produce
) -> tuple[dict[str, torch.Tensor], LeafDigests]:
    """All tensors, in memory, by name, and the hex digest of each leaf."""
    state, content = {}, LeafDigests()
    for info in tensors:
        data = memoryview(bytearray(info.nbytes))
        made = produce(info)
        for part in parts_of([info], 0):
            content[part.leaf] = _hold(made, part, data[part.start : part.stop])
        state[info.name] = from_bytes(data, info)
    return state, content


def _hold(made: Made, part: Part, into: memoryview) -> str:
    if isinstance(made, Copied):
        made.read(part.start, into)
    else:
        at = 0
        for piece in _pieces(made, part.info, part.start, part.stop):
            into[at : at + len(piece)] = piece
            at += len(piece)
    digest = blake3(into).hexdigest()
    if isinstance(made, Copied):
        made.written(part.number, digest)
    return digest


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


def _bytes_of(produced: torch.Tensor | memoryview, info: TensorInfo) -> memoryview:
    if isinstance(produced, memoryview):
        assert produced.nbytes == info.nbytes, f"{info.name}: {produced.nbytes} bytes"
        return produced.cast("B") if produced.nbytes else memoryview(b"")
    found = TensorInfo(info.name, str(produced.dtype).removeprefix("torch."), tuple(produced.shape))
    assert found == info, f"produced {found}, promised {info}"
    assert produced.device.type == "cpu", f"{info.name} is on {produced.device}"
    return raw_bytes(produced)
