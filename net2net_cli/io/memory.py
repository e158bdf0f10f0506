"""Tensors in memory as a source, which is read as a file is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from net2net_cli.io.checkpoint import Source
from net2net_cli.io.tensors import TensorInfo, raw_bytes

if TYPE_CHECKING:
    from torch import Tensor


class MemorySource(Source):
    """A state dict; its tensors are shared, not copied, where they are on the CPU and contiguous.

    ``label`` names it in errors.
    """

    def __init__(self, state: Mapping[str, Tensor], label: str) -> None:
        self.label, self.path, self.files = label, None, ()
        self.metadata: Mapping[str, str] = MappingProxyType({})
        self._state = state
        self.tensors = {
            name: TensorInfo(name, str(value.dtype).removeprefix("torch."), tuple(value.shape))
            for name, value in state.items()
        }

    def raw(self, name: str) -> memoryview:
        """The tensor's bytes."""
        return raw_bytes(self.tensor(name))

    def tensor(self, name: str) -> Tensor:
        """The tensor on the CPU, contiguous, not to be written to."""
        return self._state[name].detach().cpu().contiguous()

    def close(self) -> None:
        """Forgets the state dict."""
        self._state = {}
