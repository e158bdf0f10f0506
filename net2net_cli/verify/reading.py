"""How far a probe is: by the bytes of the weights that it has read, of those that it will read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Tell = Callable[[int, int], None]
"""Is told the bytes so far, and in all as far as is known by then."""


class Reading:
    """Bytes that were read since something is expected (not while networks are built), and are
    still to be read."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.done = self.total = 0
        self.begun = False

    def expect(self, left: int) -> None:
        """So many are left from here on."""
        self.begun = True
        self.total = self.done + left
        self.tell(self.done, self.total)

    def read(self, nbytes: int) -> None:
        """So many more were read, by this process or another of its team."""
        if self.begun:
            self.done += nbytes
            self.total = max(self.total, self.done)
            self.tell(self.done, self.total)


_reading: ContextVar[Reading] = ContextVar("reading")

_ALONE = Reading(lambda _done, _total: None)


@contextmanager
def told(tell: Tell | None) -> Iterator[None]:
    """``tell`` is told of what is read in this thread while the block runs."""
    token = _reading.set(_ALONE if tell is None else Reading(tell))
    try:
        yield
    finally:
        _reading.reset(token)


def reading() -> Reading:
    """The one to tell."""
    return _reading.get(_ALONE)
