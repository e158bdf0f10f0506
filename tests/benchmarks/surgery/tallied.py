"""Runs net2net in this process and writes how many bytes went to the GPU, and came back.

python -m tests.benchmarks.surgery.tallied OUT.json grow CKPT --device cuda ...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from threading import Lock

from tests.support import vision  # noqa: F401   (lets transformers import torchvision)

# isort: split

from torch import Tensor

from net2net_cli import lanes
from net2net_cli.cli.main import run
from net2net_cli.verify import deferred
from net2net_cli.verify.deferred import Deferred

moved = {"there": 0, "back": 0}
lock = Lock()


def count(way: str, nbytes: int) -> None:
    """Of any thread."""
    with lock:
        moved[way] += nbytes


class Tallied(lanes.Cuda):
    """The GPU, and what is copied."""

    def copy(self, into: Tensor, value: Tensor) -> None:
        count("there" if into.is_cuda else "back", value.nbytes)
        super().copy(into, value)

    def send(self, value: Tensor) -> Tensor:
        count("there", value.nbytes)
        return super().send(value)

    def keep(self, value: Tensor) -> Tensor:
        count("there", value.nbytes)
        return super().keep(value)


def bring_in(weight: Deferred, values: Tensor) -> Tensor:
    if weight.device.type == "cuda":
        count("there", values.nbytes)
    return _bring_in(weight, values)


if __name__ == "__main__":
    lanes.Cuda = Tallied  # type: ignore[misc]
    _bring_in, deferred.bring_in = deferred.bring_in, bring_in
    code = run(sys.argv[2:])
    Path(sys.argv[1]).write_text(json.dumps(moved))
    sys.exit(code)
