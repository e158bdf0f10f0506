"""Whether a machine can hold what a plan makes: told before anything is allocated."""

from __future__ import annotations

import os

from net2net_cli.errors import UsageError
from net2net_cli.plan import Plan

_FLOAT64 = 8


def check_capacity(plan: Plan, *, verify: bool) -> None:
    """Raise UsageError where growing takes more memory than the machine has.

    The probe holds teacher and student in float64; the surgery holds one tensor at a time, which
    is at most the student.
    """
    probed = (plan.before.parameters + plan.after.parameters) * _FLOAT64 if verify else 0
    needed, present = max(plan.after.nbytes, probed), _memory()
    if present is not None and needed > present:
        raise UsageError(
            f"growing takes about {_shown(needed)} of memory, and this machine has"
            f" {_shown(present)}",
            hint="--no-verify takes less"
            if plan.after.nbytes < present
            else "choose smaller sizes",
        )


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def _shown(count: int) -> str:
    return f"{count / 1e9:,.0f} GB"
