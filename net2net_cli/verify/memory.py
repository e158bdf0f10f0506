"""How much memory a probe's inputs may take at once."""

from __future__ import annotations

from pathlib import Path

BATCH_BYTES = 2**30
"""About what a batch takes at most, unless more is asked for: half that is there, and this."""


def batch_bytes(memory: int | None) -> int:
    """About what a batch may take: ``memory`` where it is given; one row runs in any case."""
    if memory is not None:
        return memory
    present = _available()
    return BATCH_BYTES if present is None else min(BATCH_BYTES, present // 2)


def _available() -> int | None:
    """Bytes that can be had without swapping; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        found = next(line for line in lines if line.startswith("MemAvailable:"))
        return int(found.split()[1]) * 1024
    except (OSError, ValueError, StopIteration, IndexError):
        return None
