"""How much memory this process may have: the machine's, or what its control groups allow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePath

GROUPS = Path("/proc/self/cgroup")
ROOT = Path("/sys/fs/cgroup")
_UNLIMITED = 2**60


def memory() -> int | None:
    """All that there is, in bytes; None where the system does not tell."""
    try:
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
    return min((machine, *(limit for limit, _ in _limits())))


def free_memory() -> int | None:
    """What can be had without swapping, in bytes; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        found = next(line for line in lines if line.startswith("MemAvailable:"))
        machine = int(found.split()[1]) * 1024
    except (OSError, ValueError, StopIteration, IndexError):
        return None
    return min((machine, *(max(0, limit - used) for limit, used in _limits())))


def _limits() -> Iterator[tuple[int, int]]:
    """The limit of each control group that this process is in, and what that uses beside files
    that could be dropped; version 2's, else version 1's."""
    for folder, limit, usage, droppable in _groups():
        try:
            most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
            lines = (folder / "memory.stat").read_text().splitlines()
        except (OSError, ValueError):  # there is none, or it says `max`
            continue
        stat = dict(line.split()[:2] for line in lines if len(line.split()) >= 2)
        if most < _UNLIMITED:
            yield most, used - int(stat.get(droppable, 0))


def _groups() -> Iterator[tuple[Path, str, str, str]]:
    try:
        lines = GROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        here = PurePath(path.lstrip("/"))
        if not controllers:
            for group in (here, *here.parents):
                yield ROOT / group, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            for group in (here, *here.parents):
                yield (ROOT / "memory" / group, *names)
