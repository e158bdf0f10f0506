"""Grow a case's teacher by the package; hold the student against it by the tests' own code."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from net2net_cli import api
from net2net_cli.families import families
from tests.families import decoders, others
from tests.support.families import Case, Settings, difference, load, make_teacher

CASES: tuple[Case, ...] = (*decoders.CASES, *others.CASES)
UPCYCLED = decoders.UPCYCLED
ALL = bool(os.environ.get("NET2NET_ALL"))
"""Every growth of every case is tried: NET2NET_ALL=1. Otherwise all growths of each family's first
case, and of the others the one that grows everything at once."""

Tried = tuple[Case, str]


def chosen(cases: Iterable[Case] = CASES) -> Iterator[Tried]:
    """Cases and labels of their growths."""
    seen: set[str] = set()
    for case in cases:
        alone = {"everything"} & set(case.grown)
        labels = case.grown if ALL or case.family not in seen or not alone else alone
        seen.add(case.family)
        yield from ((case, label) for label in labels)


def first_of(family: str) -> Case:
    """A family's first case."""
    return next(case for case in CASES if case.family == family)


def written(settings: Settings) -> dict[str, str]:
    """Settings as a user writes them behind ``--set``."""
    return {key: value if isinstance(value, str) else json.dumps(value)
            for key, value in settings.items()}  # fmt: skip


def config_of(folder: Path) -> dict[str, object]:
    """What a folder's config.json says."""
    found: dict[str, object] = json.loads((folder / "config.json").read_text("utf-8"))
    return found


@dataclass(frozen=True)
class Teachers:
    """Teachers, each made once."""

    root: Path

    @cached_property
    def made(self) -> dict[tuple[str, torch.dtype], Path]:
        return {}

    def folder(self, case: Case, dtype: torch.dtype | None = None) -> Path:
        """The teacher of a case; where it computes in float64, its weights are float64 too."""
        dtype = dtype or (torch.float64 if case.exact else torch.float32)
        key = (str(case), dtype)
        if key not in self.made:
            self.made[key] = self.root / f"{case}-{str(dtype).removeprefix('torch.')}"
            make_teacher(case, self.made[key], dtype=dtype)
        return self.made[key]


def grow(
    teacher: Path,
    settings: Settings,
    student: Path,
    choices: api.Choices | None = None,
    shard_bytes: int | None = None,
) -> api.Grown:
    """Grow by the package, without its own probe."""
    model = api.open_model(str(teacher))
    try:
        plan = api.make_plan(model, None, written(settings), choices)
        options = api.RunOptions(verify=False, shard_bytes=shard_bytes)
        return api.apply_plan(plan, model, f"{student}/", options)
    finally:
        model.source.close()


def error(teacher: Path, student: Path, architecture: str, became: str | None = None) -> float:
    """The largest relative difference of what two folders compute in float64, as transformers
    opens them; ``became`` is the student's class where it is another."""
    return difference(load(teacher, architecture), load(student, became or architecture))


def followers(family: str) -> set[str]:
    """The keys of config.json that a family writes along with a size."""
    known = families()[family]
    found = {known.stream.eps or "", *known.follows, *known.times}
    for row in known.blocks:
        found |= {*row.lists, *row.indices, *row.bounds}
    return found
