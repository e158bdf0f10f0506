"""A student's tensors as they are written: copies as bytes, all others rows by rows.

Called from several threads at once. The source is read by system calls, a few rows at a time, so
that memory stays flat for any size; its digest is taken leaf by leaf, beside the student's.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from net2net_cli.io import Copied, Rows, Source, TensorInfo
from net2net_cli.io.digest import Leaf, leaf_bytes, leaves_of
from net2net_cli.io.tally import Step, Tally
from net2net_cli.recipe import Constant, Copy, Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from net2net_cli.execute import Executor, Measured


def copied(source: Source, name: str, tally: Tally) -> Copied:
    """A source tensor as it is; its digest is taken on the way."""

    def read(at: int, into: memoryview) -> None:
        source.read(name, at, into)
        tally(len(into))

    def known(number: int) -> str | None:
        return digests.get((name, number))

    def written(number: int, digest: str) -> None:
        digests[name, number] = digest

    digests = source.known_digests()
    return Copied(read, known, written)


def counted(rows: Rows, tally: Tally, source: Source, name: str | None, info: TensorInfo) -> Rows:
    """The rows of a tensor, counted as they are made. The digest of the source tensor that they are
    made of, where there is one, is taken on the way: each leaf of it beside one of the tensor's."""
    theirs = leaves_of(source.tensors[name]) if name is not None else []
    own, size = len(leaves_of(info)), leaf_bytes(info)

    def make(start: int, stop: int) -> Iterator[Tensor]:
        for old, number in theirs:
            if number * own // len(theirs) == start * rows.nbytes // size:
                source.leaf_digest(old, number)
        for tile in rows.make(start, stop):
            yield tile
            tally(tile.numel() * tile.element_size())

    return Rows(rows.nbytes, make)


def bytes_of(tensors: Sequence[TensorInfo], own: Container[Leaf]) -> int:
    """The bytes of those leaves."""
    total = 0
    for info in tensors:
        size = leaf_bytes(info)
        mine = [n for name, n in leaves_of(info) if (name, n) in own]
        total += sum(min(size, info.nbytes - n * size) for n in mine)
    return total


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
        own: Container[Leaf],
    ) -> None:
        self.recipes = {recipe.name: recipe for recipe in recipes}
        self.source, self.measure, self.device = source, measure, device
        self.workers = workers
        infos = [TensorInfo(r.name, r.dtype, r.shape) for r in recipes]
        self.tally = Tally("growing", bytes_of(infos, own), progress)
        self.lock = Lock()
        self.zeros: dict[int, str] = {}
        self.executor: Executor | None = None
        self.threads: int | None = None

    def __call__(self, info: TensorInfo) -> Copied | Rows:
        """A tensor's bytes, or how its rows are made."""
        recipe = self.recipes[info.name]
        if recipe.kept and isinstance(recipe.base, Constant) and recipe.base.value == 0:
            return self._zeros(info)
        if recipe.plain:
            assert isinstance(recipe.base, Copy)
            return copied(self.source, recipe.base.name, self.tally)
        tiles = self._executor().tiles(recipe)
        rows = Rows(info.nbytes // max(1, tiles.recipe.shape[0]), tiles.rows)
        name = recipe.base.name if isinstance(recipe.base, Copy) else None
        return counted(rows, self.tally, self.source, name, info)

    def close(self) -> None:
        """Give torch back the threads that it had."""
        if self.threads is not None:
            import torch

            torch.set_num_threads(self.threads)
            self.threads = None

    def _zeros(self, info: TensorInfo) -> Copied:
        """What a new block adds to its input, as a rule: needs no torch."""
        size = leaf_bytes(info)

        def length(number: int) -> int:
            return min(size, info.nbytes - number * size)

        def read(_at: int, into: memoryview) -> None:
            into[:] = bytes(len(into))
            self.tally(len(into))

        def written(number: int, digest: str) -> None:
            self.zeros[length(number)] = digest

        return Copied(read, lambda number: self.zeros.get(length(number)), written)

    def _executor(self) -> Executor:
        with self.lock:
            if self.executor is None:
                import torch

                from net2net_cli.execute import Executor
                from net2net_cli.lanes import lanes_to

                measured = self.measure()
                self.executor = Executor(self.source, measured, lanes_to(self.device))
                self.threads = torch.get_num_threads()
                torch.set_num_threads(max(1, self.threads // self.workers))
            return self.executor
