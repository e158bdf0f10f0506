"""A source that is cut short while it is read: an error, whoever reads it, and nothing is left."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from net2net_cli.api import Choices, RunOptions, open_model, verify
from net2net_cli.errors import CheckpointError
from net2net_cli.trainability import find_trouble
from net2net_cli.verification import ProbeOptions, not_finite
from tests.growth.joined_nets import RESIDUAL
from tests.growth.nets import Teacher, teacher_of

ENDINGS = ("safetensors", "pt")


def stored(folder: Path, ending: str) -> tuple[Teacher, Path]:
    """A teacher in a file of that kind."""
    teacher, path = teacher_of(RESIDUAL, folder), folder / "teacher.safetensors"
    if ending == "pt":
        (folder / "other.yaml").write_text((folder / "teacher.yaml").read_text())
        torch.save(load_file(path), folder / "other.pt")
        path = folder / "other.pt"
    return Teacher(open_model(str(path)), teacher.module, folder), path


def cut(path: Path) -> None:
    os.truncate(path, 100)  # of its tensors nothing is left


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("stage", ["growing", "probing"])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("choices", [Choices("duplicate", "even"), Choices("fresh")])
def test_a_student_that_was_not_finished_is_none(
    tmp_path: Path, choices: Choices, workers: int, stage: str, ending: str
) -> None:
    teacher, path = stored(tmp_path, ending)
    plan = teacher.plan(RESIDUAL.spec(8), choices)
    before = sorted(tmp_path.iterdir())

    def progress(what: str, done: int, _total: int) -> None:
        if what == stage and (done or stage == "probing"):
            cut(path)

    options = RunOptions(workers=workers, progress=progress, verify=stage == "probing")
    with pytest.raises(CheckpointError, match="cut short") as error:
        teacher.apply(plan, "student", options)
    assert error.value.exit_code == 2
    assert error.value.where == str(path)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_source_that_is_removed_is_read_to_its_end(tmp_path: Path, ending: str) -> None:
    teacher, path = stored(tmp_path, ending)
    plan, kept = teacher.plan(RESIDUAL.spec(8), Choices("duplicate", "even")), path.read_bytes()

    def progress(what: str, done: int, _total: int) -> None:
        if what == "growing" and done:
            path.unlink(missing_ok=True)

    removed = teacher.apply(plan, "removed", RunOptions(workers=1, progress=progress))
    assert not path.exists()
    path.write_bytes(kept)
    assert removed.path.read_bytes() == teacher.apply(plan, "whole").path.read_bytes()


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "look",
    [
        lambda model: verify(model, model),
        lambda model: not_finite((model,)),
        lambda model: find_trouble(model, ProbeOptions()),
        lambda model: model.source.digest(),
    ],
    ids=["verify", "not finite", "trainability", "digest"],
)
def test_whoever_looks_is_told(
    tmp_path: Path, look: Callable[[object], object], ending: str
) -> None:
    teacher, path = stored(tmp_path, ending)
    cut(path)
    with pytest.raises(CheckpointError, match="cut short"):
        look(teacher.model)
