"""Whether a machine can hold what a plan makes: told before anything is allocated."""

from __future__ import annotations

import os

from net2net_cli.errors import UsageError
from net2net_cli.plan import Plan


def check_capacity(plan: Plan) -> None:
    """Raise UsageError where growing takes more memory than the machine has.

    The surgery holds one tensor at a time, which is at most the student; the probe reads weights
    when their turn comes.
    """
    needed, present = plan.after.nbytes, _memory()
    if present is not None and needed > present:
        raise UsageError(
            f"growing takes about {_shown(needed)} of memory, and this machine has"
            f" {_shown(present)}",
            hint="choose smaller sizes",
        )


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _shown(count: int) -> str:
    return f"{count / 1e9:,.0f} GB"
