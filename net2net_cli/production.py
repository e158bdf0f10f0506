"""A student's tensors as they are written: copies as bytes, all others rows by rows.

Called from several threads at once. Each source tensor is read once for what is made of it and for
its digest, and let go of again, so that memory stays flat for any size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from net2net_cli.io import Copied, Source, TensorInfo
from net2net_cli.recipe import Copy, Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from net2net_cli.execute import Executor, Measured

Step = Callable[[str, int, int], None]

RELEASE = 64 * 2**20
"""After so many bytes of a student's tensor the source's pages are let go of."""


class Production:
    """Makes what is asked for. ``measure`` gives the statistics for inserted BatchNorms, and is
    asked once, where there is one; ``progress`` is told the bytes that are made, and all."""

    def __init__(
        self,
        recipes: Sequence[Recipe],
        source: Source,
        measure: Callable[[], Measured],
        *,
        device: str,
        workers: int,
        progress: Step | None,
    ) -> None:
        self.recipes = {recipe.name: recipe for recipe in recipes}
        self.source, self.measure, self.device = source, measure, device
        self.workers, self.progress = workers, progress
        self.total = sum(TensorInfo(r.name, r.dtype, r.shape).nbytes for r in recipes)
        self.done = 0
        self.lock = Lock()
        self.executor: Executor | None = None
        self.threads: int | None = None

    def __call__(self, info: TensorInfo) -> Copied | Iterator[Tensor]:
        """A tensor's bytes, or its rows."""
        recipe = self.recipes[info.name]
        name = recipe.base.name if isinstance(recipe.base, Copy) else None
        if name is None:
            return self._rows(recipe, None)
        digest = self.source.tensor_digest(name)
        if not recipe.plain:
            return self._rows(recipe, name)
        return Copied(self.source.raw(name), digest, lambda: self._copied(info, name))

    def close(self) -> None:
        """Give torch back the threads that it had."""
        if self.threads is not None:
            import torch

            torch.set_num_threads(self.threads)
            self.threads = None

    def _rows(self, recipe: Recipe, name: str | None) -> Iterator[Tensor]:
        held = 0
        for tile in self._executor().tiles(recipe):
            yield tile
            nbytes = tile.numel() * tile.element_size()
            self._tell(nbytes)
            held += nbytes
            if name is not None and held >= RELEASE:
                self.source.release(name)
                held = 0
        if name is not None:
            self.source.release(name)

    def _copied(self, info: TensorInfo, name: str) -> None:
        self.source.release(name)
        self._tell(info.nbytes)

    def _tell(self, nbytes: int) -> None:
        with self.lock:
            self.done += nbytes
            if self.progress:
                self.progress("growing", self.done, self.total)

    def _executor(self) -> Executor:
        with self.lock:
            if self.executor is None:
                import torch

                from net2net_cli.execute import Executor

                measured = self.measure()
                self.executor = Executor(self.source.tensor, measured, self.device)
                self.threads = torch.get_num_threads()
                torch.set_num_threads(max(1, self.threads // self.workers))
            return self.executor
