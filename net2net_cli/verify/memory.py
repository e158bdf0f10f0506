"""How much memory a probe's inputs may take at once, and what to say where that is too little."""

from __future__ import annotations

from net2net_cli.errors import UsageError
from net2net_cli.io.room import free_memory

BATCH_BYTES = 2**30
"""About what a batch takes at most, unless more is asked for: half that is there, and this."""


def batch_bytes(memory: int | None) -> int:
    """About what a batch may take: ``memory`` where it is given."""
    if memory is not None:
        return memory
    half = half_free()
    return BATCH_BYTES if half is None else min(BATCH_BYTES, half)


LESS = "give it more memory, or fewer or smaller inputs (--probes, --probe-data)"


def require_room(least: int, what: str, memory: int | None, hint: str = LESS) -> None:
    """UsageError where ``least`` bytes, which ``what`` takes, are more than ``memory``, or where
    none is given, than there is."""
    limit = free_memory() if memory is None else memory
    if limit is None or least <= limit:
        return
    there = "are free" if memory is None else "--probe-memory allows"
    raise UsageError(
        f"the probe takes about {shown(least)} for {what}, and {shown(limit)} {there}",
        hint=hint,
    )


def half_free() -> int | None:
    """Half of the bytes that can be had without swapping; None where the system does not tell."""
    present = free_memory()
    return None if present is None else present // 2


def shown(nbytes: int) -> str:
    """A size as errors say it: ``1.5 GB``."""
    size, unit = next((s, u) for s, u in ((1e9, "GB"), (1e6, "MB"), (1, "bytes")) if nbytes >= s)
    return f"{nbytes / size:.{0 if size == 1 else 1}f} {unit}"
