"""Whether a machine can hold what a plan makes: told before any work is done."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from net2net_cli.errors import OutputError, UsageError
from net2net_cli.io import Target
from net2net_cli.io.room import free_memory, memory


def check_capacity(what: str, needed: int, target: Target) -> None:
    """Raise OutputError where the disk has no room for ``needed`` bytes of the student or teacher
    named by ``what``, UsageError where memory has none: only what torch itself writes is held there
    as a whole."""
    if target.format in ("torch", "dcp"):
        check_memory(what, needed, "write .safetensors, which is streamed, or choose smaller sizes")
    folder = Path(tempfile.gettempdir()) if target.file is None else target.file.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"{what} takes {_shown(needed)}, and there are {_shown(free)} free",
            where=str(folder),
            hint="write to another disk, or choose smaller sizes",
        )


def check_memory(what: str, needed: int, hint: str = "choose smaller sizes") -> None:
    """Raise UsageError where memory has no room for ``needed`` bytes at once."""
    there = memory()
    if there is not None and needed > there:
        raise UsageError(
            f"{what} takes about {_shown(needed)} of memory, and this machine has {_shown(there)}",
            hint=hint,
        )


UNIT_BYTES = 400
"""About what one feature of a width takes while a student is made (measured: 380 at a million)."""


def check_maps(widths: Iterable[tuple[str, int]]) -> None:
    """Raise UsageError where memory has no room for the maps of these widths, each with its size:
    which feature copies which is held for all of them at once."""
    there = free_memory()
    needed = [(size * UNIT_BYTES, name, size) for name, size in widths]
    if there is None or sum(one for one, _, _ in needed) <= there:
        return
    _, name, size = max(needed)
    raise UsageError(
        f"`{name}` of {size:,} takes about {_shown(sum(one for one, _, _ in needed))} of memory to"
        f" map, and {_shown(there)} are free",
        hint="choose smaller sizes",
    )


def _shown(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"
