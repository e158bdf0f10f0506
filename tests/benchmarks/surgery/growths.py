"""What is grown, as net2net and as the others are asked for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.surgery.models import Size
from tests.benchmarks.surgery.rivals import Mergekit, script
from tests.support.command import command

TWICE = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")


@dataclass(frozen=True)
class Growth:
    """``key`` names it on the command line, ``title`` in tables; ``options`` are net2net's for a
    model of some size, ``script`` how and how much the script is told to grow it."""

    key: str
    title: str
    options: Callable[[Size], Sequence[str]]
    script: Callable[[Size], tuple[str, int]]


def own(growth: Growth, size: Size, source: Path, target: Path) -> list[str]:
    """net2net's words."""
    return command("grow", source, *growth.options(size), "-o", target, "--no-verify", "-q",
                   "--max-shard-size", "1TB")  # fmt: skip


def others(
    growth: Growth, size: Size, source: Path, target: Path, mergekit: Mergekit
) -> dict[str, list[str]]:
    """Contestant -> words; mergekit knows depth alone."""
    found = {"load-edit-save": script(source, target, *growth.script(size))}
    if growth.key == "depth":
        found["mergekit"] = mergekit.deeper(source, target, size, deeper(size))
    return found


def deeper(size: Size) -> int:
    """Every fourth block gets another behind it."""
    return size.blocks * 5 // 4


def _twice(size: Size) -> list[str]:
    config = size.config()
    return [f"--set={key}={2 * int(str(config[key]))}" for key in TWICE]


GROWTHS = (
    Growth(
        "depth", "depth × 1.25",
        lambda size: [f"--set=num_hidden_layers={deeper(size)}"],
        lambda size: ("deeper", deeper(size)),
    ),
    Growth(
        "even", "width × 2, even copies",
        lambda size: [*_twice(size), "--expansion=duplicate", "--split=even"],
        lambda _: ("twice", 0),
    ),
    Growth(
        "signed", "width × 2, signed splits",
        lambda size: [*_twice(size), "--expansion=duplicate", "--split=signed"],
        lambda _: ("twice", 0),
    ),
    Growth(
        "zeros", "hidden × 1.5, zeros",
        lambda size: [f"--set=hidden_size={size.hidden * 3 // 2}"],
        lambda size: ("zeros", size.hidden // 2),
    ),
)  # fmt: skip
