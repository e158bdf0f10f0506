"""How much memory a probe's inputs may take at once, and what to say where that is too little."""

from __future__ import annotations

import torch

from net2net_cli.errors import UsageError
from net2net_cli.io.room import free_memory
from net2net_cli.verify.division import agreed

BATCH_BYTES = 2**30
"""About what a batch takes at most, unless more is asked for: half that is there, and this."""


def batch_bytes(memory: int | None, device: str | torch.device = "cpu") -> int:
    """About what a batch may take on a device: ``memory`` where it is given. Processes that divide
    the work, which must all ask, get the same."""
    if memory is not None:
        return memory
    half = half_free(device)
    return agreed(BATCH_BYTES if half is None else min(BATCH_BYTES, half))


LESS = "give it more memory, or fewer or smaller inputs (--probes, --probe-data)"


def require_room(
    least: int, what: str, memory: int | None, hint: str = LESS,
    device: str | torch.device = "cpu",
) -> None:  # fmt: skip
    """UsageError where ``least`` bytes, which ``what`` takes, are more than ``memory``, or where
    none is given, than there is on the device."""
    limit = _free(device) if memory is None else memory
    if limit is None or least <= limit:
        return
    place = "" if str(device) == "cpu" else f" on {device}"
    there = f"are free{place}" if memory is None else "--probe-memory allows"
    raise UsageError(
        f"the probe takes about {shown(least)} for {what}, and {shown(limit)} {there}",
        hint=hint,
    )


def half_free(device: str | torch.device = "cpu") -> int | None:
    """Half of the bytes that can be had without swapping; None where the system does not tell."""
    present = _free(device)
    return None if present is None else present // 2


def _free(device: str | torch.device) -> int | None:
    if str(device) == "cpu":
        return free_memory()
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + held


def shown(nbytes: int) -> str:
    """A size as errors say it: ``1.5 GB``."""
    size, unit = next((s, u) for s, u in ((1e9, "GB"), (1e6, "MB"), (1, "bytes")) if nbytes >= s)
    return f"{nbytes / size:.{0 if size == 1 else 1}f} {unit}"
