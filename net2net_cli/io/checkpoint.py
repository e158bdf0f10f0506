"""What every checkpoint offers to the rest of the program, whatever holds its tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Self

from net2net_cli.io.digest import header_digest, tree_digest
from net2net_cli.io.tensors import TensorInfo, from_bytes

if TYPE_CHECKING:
    import torch


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

        They share memory with the file where they can, and need no torch in safetensors.
        """

    @abstractmethod
    def close(self) -> None:
        """Lets go of the files; what was taken stays valid, nothing else can be taken."""

    def tensor(self, name: str) -> torch.Tensor:
        """The tensor over ``raw``: on the CPU, contiguous, not to be written to."""
        return from_bytes(self.raw(name), self.tensors[name])

    def header_digest(self) -> str:
        """``sha256:`` and the digest of names, types and shapes."""
        return header_digest(self.tensors.values())

    def tensor_digest(self, name: str) -> str:
        """The hex sha256 of a tensor's bytes, which are read once."""
        known = self._digests()
        if name not in known:
            with self.raw(name) as data:
                known[name] = sha256(data).hexdigest()
        return known[name]

    def digest(self) -> str:
        """``sha256:`` and the digest of the content; reads whatever was not read for it before."""
        return tree_digest({i: self.tensor_digest(n) for n, i in self.tensors.items()})

    def release(self, name: str) -> None:
        """Lets go of the memory that a tensor's bytes took, which may be read again."""
        del name  # whatever holds them in memory has nothing to let go of

    def _digests(self) -> dict[str, str]:
        found: dict[str, str] = self.__dict__.setdefault("_known_digests", {})
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
