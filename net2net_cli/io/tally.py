"""Bytes that are counted as they are read or made, and told of."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

Step = Callable[[str, int, int], None]
"""Is told what is done, how many bytes of it are, and how many there are in all."""


class Tally:
    """Counts the bytes that several threads have done, and tells ``progress`` of them."""

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
