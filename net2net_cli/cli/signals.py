"""Signals that end a run, as an exception: so that what is half written is cleared away."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


_received: list[int] = []


def end_if_asked() -> None:
    """Raise again what a signal raised where it was lost: in a destructor, or a callback from C."""
    if _received:
        sys.exit(128 + _received[-1])


@contextmanager
def ending_cleanly() -> Iterator[None]:
    """While the block runs, the first signal to end raises SystemExit(128 + its number).

    Later ones are ignored, so that nothing interrupts the clearing away. A signal that was ignored
    stays so (nohup).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _ENDING}
    ours = [number for number, handler in before.items() if handler != signal.SIG_IGN]

    def stop(number: int, _frame: FrameType | None) -> None:
        for other in ours:
            signal.signal(other, signal.SIG_IGN)
        _received.append(number)
        sys.exit(128 + number)

    _received.clear()
    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
