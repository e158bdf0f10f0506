"""On which device arithmetic is done, as ``--device`` says. Loads torch only where a GPU may be."""

from __future__ import annotations

import re
from typing import Literal

from net2net_cli.errors import UsageError
from net2net_cli.io.gathering import place_here

Work = Literal["weights", "probe"]


def device_for(work: Work, name: str) -> str:
    """Torch's name of the device, of ``auto``, ``cpu``, ``cuda`` (the first GPU, or where several
    processes share a machine, this one's own) or ``cuda:N``.

    ``auto`` is the CPU for weights, and the GPU, where there is one, for probes. A weight is used
    once or twice: a core gathers and splits 3 to 10 GB/s of them, which is more than a disk takes,
    and a GPU must be sent every byte and send every byte back, at 12 to 25 GB/s. A probe uses each
    weight in float64 for every input, 10 to 100 times as much arithmetic a byte, and brings back
    nothing but outputs. ``auto`` does without a GPU that computes nothing, or that others have
    filled.

    Raises UsageError for one that there is not.
    """
    if name == "cpu" or (name == "auto" and work == "weights"):
        return "cpu"
    asked = re.fullmatch(r"auto|cuda(?::([0-9]+))?", name)
    if asked is None:
        raise UsageError(f"there is no device `{name}`", hint="use auto, cpu, cuda or cuda:N")
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto" and not count:
        return "cpu"
    number = place_here() % max(1, count) if asked[1] is None else int(asked[1])
    if number >= count:
        raise _missing(name, count, built=torch.version.cuda is not None)
    return f"cuda:{number}" if name != "auto" or _of_use(f"cuda:{number}") else "cpu"


ROOM = 2**31
"""Bytes that a GPU must have to spare to be taken unasked: what a probe takes there as a rule."""


def _of_use(device: str) -> bool:
    """Whether it computes (torch may have no kernels for it, another process may have it for
    itself), and has memory to spare."""
    import torch

    try:
        torch.zeros(1, device=device).add_(1)
        return torch.cuda.mem_get_info(device)[0] >= ROOM
    except RuntimeError:
        return False


def _missing(name: str, count: int, *, built: bool) -> UsageError:
    if count:
        there = "there is one GPU, cuda:0" if count == 1 else f"there are {count}, the first cuda:0"
    else:
        there = "torch sees no GPU" if built else "this torch is built for the CPU alone"
    return UsageError(f"there is no device `{name}` here: {there}", hint="use --device cpu")
