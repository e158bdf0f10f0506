"""A student's tensors as they are written: copies as bytes, all others rows by rows.

Called from several threads at once. Each source tensor is read once for what is made of it and for
its digest, and let go of again, so that memory stays flat for any size.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from net2net_cli.io import Copied, Source, TensorInfo
from net2net_cli.recipe import Constant, Copy, Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from net2net_cli.execute import Executor, Measured

Step = Callable[[str, int, int], None]

RELEASE = 64 * 2**20
"""After so many bytes of a student's tensor the source's pages are let go of."""


class Tally:
    """Counts the bytes that several threads have made, and tells ``progress`` of them."""

    def __init__(self, what: str, total: int, progress: Step | None) -> None:
        self.what, self.total, self.progress = what, total, progress
        self.done = 0
        self.lock = Lock()

    def __call__(self, nbytes: int) -> None:
        """So many more."""
        with self.lock:
            self.done += nbytes
            if self.progress:
                self.progress(self.what, self.done, self.total)


def copied(source: Source, name: str, tally: Tally) -> Copied:
    """A source tensor as it is; its digest is taken on the way."""

    def read(at: int, into: memoryview) -> None:
        source.read(name, at, into)
        tally(len(into))

    def written(digest: str) -> None:
        source.note_digest(name, digest)
        source.release(name)

    return Copied(read, source.known_digest(name), written)


class Production:
    """Makes what is asked for. ``measure`` gives the statistics for inserted BatchNorms, and is
    asked once, where there is one; ``own`` names the tensors that this process is asked for."""

    def __init__(
        self,
        recipes: Sequence[Recipe],
        source: Source,
        measure: Callable[[], Measured],
        *,
        device: str,
        workers: int,
        progress: Step | None,
        own: Container[str],
    ) -> None:
        self.recipes = {recipe.name: recipe for recipe in recipes}
        self.source, self.measure, self.device = source, measure, device
        self.workers = workers
        total = sum(TensorInfo(r.name, r.dtype, r.shape).nbytes for r in recipes if r.name in own)
        self.tally = Tally("growing", total, progress)
        self.lock = Lock()
        self.zeros: dict[int, str] = {}
        self.executor: Executor | None = None
        self.threads: int | None = None

    def __call__(self, info: TensorInfo) -> Copied | Iterator[Tensor]:
        """A tensor's bytes, or its rows."""
        recipe = self.recipes[info.name]
        if recipe.kept and isinstance(recipe.base, Constant) and recipe.base.value == 0:
            return self._zeros(info)
        if not isinstance(recipe.base, Copy):
            return self._rows(recipe, None)
        if recipe.plain:
            return copied(self.source, recipe.base.name, self.tally)
        self.source.tensor_digest(recipe.base.name)
        return self._rows(recipe, recipe.base.name)

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
            self.tally(nbytes)
            held += nbytes
            if name is not None and held >= RELEASE:
                self.source.release(name)
                held = 0
        if name is not None:
            self.source.release(name)

    def _zeros(self, info: TensorInfo) -> Copied:
        """What a new block adds to its input, as a rule: needs no torch."""

        def read(_at: int, into: memoryview) -> None:
            into[:] = bytes(len(into))
            self.tally(len(into))

        def written(digest: str) -> None:
            self.zeros[info.nbytes] = digest

        return Copied(read, self.zeros.get(info.nbytes), written)

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
