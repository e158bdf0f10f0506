"""What every checkpoint offers to the rest of the program, whatever holds its tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from threading import local
from typing import TYPE_CHECKING, Protocol, Self

from blake3 import blake3

from net2net_cli.io.digest import (
    LeafDigests,
    header_digest,
    leaf_bytes,
    leaves_of,
    tree_digest,
)
from net2net_cli.io.tensors import PIECE, TensorInfo, from_bytes

if TYPE_CHECKING:
    import torch


class Readable(Protocol):
    """A checkpoint, or what stands for one, as far as its tensors go."""

    tensors: Mapping[str, TensorInfo]

    def read(self, name: str, at: int, into: memoryview) -> None:
        """Fill ``into`` with a tensor's bytes from ``at`` on."""


class _Held(local):
    """The bytes that a thread reads from, which may have been copied for it."""

    name: str | None = None
    data = memoryview(b"")


class Source(ABC):
    """A checkpoint to read from. It is a context manager."""

    label: str
    """The checkpoint as the user named it."""
    path: Path | None
    """The file or folder; None for standard input and pipes."""
    files: tuple[Path, ...]
    """Every file that holds tensors: what an output must never be."""
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    """The safetensors file's own; empty for torch files."""

    @abstractmethod
    def raw(self, name: str) -> memoryview:
        """The tensor's bytes, row-major and little endian; KeyError for an unknown name.

        They need no torch in safetensors. CheckpointError where the file has become shorter.
        """

    @abstractmethod
    def close(self) -> None:
        """Lets go of the files; what was taken stays valid, nothing else can be taken."""

    def read(self, name: str, at: int, into: memoryview) -> None:
        """Fills ``into`` with the tensor's bytes from ``at`` on."""
        held = self._held()
        if held.name != name:
            held.name, held.data = name, self.raw(name).cast("B")
        into[:] = held.data[at : at + len(into)]

    def tensor(self, name: str) -> torch.Tensor:
        """The tensor over ``raw``: on the CPU, contiguous, not to be written to. Whole: what is
        large is better read part by part."""
        return from_bytes(self.raw(name), self.tensors[name])

    def header_digest(self) -> str:
        """``blake3:`` and the digest of names, types and shapes."""
        return header_digest(self.tensors.values())

    def leaf_digest(self, name: str, number: int) -> str:
        """The hex digest of one leaf of a tensor's bytes, which is read once."""
        known, leaf = self.known_digests(), (name, number)
        if leaf not in known:
            info = self.tensors[name]
            size = leaf_bytes(info)
            start, stop = number * size, min((number + 1) * size, info.nbytes)
            hasher, buffer = blake3(), memoryview(bytearray(min(stop - start, PIECE)))
            for at in range(start, stop, PIECE):
                piece = buffer[: stop - at]
                self.read(name, at, piece)
                hasher.update(piece)
            known[leaf] = hasher.hexdigest()
        return known[leaf]

    def digest(self) -> str:
        """``blake3:`` and the digest of the content; reads whatever was not read for it before."""
        for name, info in self.tensors.items():
            for _, number in leaves_of(info):
                self.leaf_digest(name, number)
            self.release(name)
        return tree_digest(self.tensors.values(), self.known_digests())

    def release(self, name: str) -> None:
        """Lets go of the memory that a tensor's bytes took, which may be read again."""
        held = self._held()
        if held.name == name:
            held.name, held.data = None, memoryview(b"")

    def _held(self) -> _Held:
        found: _Held = self.__dict__.setdefault("_held_bytes", _Held())
        return found

    def known_digests(self) -> LeafDigests:
        """All that are known, by leaf; what is added spares reading."""
        found: LeafDigests = self.__dict__.setdefault("_known_digests", {})
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
