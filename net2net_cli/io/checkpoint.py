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

    def digest(self) -> str:
        """``sha256:`` and the digest of the content; reads every byte."""
        content = {}
        for name, info in self.tensors.items():
            with self.raw(name) as data:
                content[info] = sha256(data).hexdigest()
        return tree_digest(content)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
