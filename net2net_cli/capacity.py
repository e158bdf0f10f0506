"""Whether a machine can hold what a plan makes: told before any work is done."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from net2net_cli.errors import OutputError, UsageError
from net2net_cli.io import Target


def check_capacity(what: str, needed: int, target: Target) -> None:
    """Raise OutputError where the disk has no room for ``needed`` bytes of the student or teacher
    named by ``what``, UsageError where memory has none: only a torch state dict is held in memory
    as a whole."""
    memory = _memory()
    if target.format == "torch" and memory is not None and needed > memory:
        raise UsageError(
            f"{what} takes about {_shown(needed)} of memory, and this machine has {_shown(memory)}",
            hint="write .safetensors, which is streamed, or choose smaller sizes",
        )
    folder = Path(tempfile.gettempdir()) if target.file is None else target.file.parent
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"{what} takes {_shown(needed)}, and there are {_shown(free)} free",
            where=str(folder),
            hint="write to another disk, or choose smaller sizes",
        )


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _shown(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"
