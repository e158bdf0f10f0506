"""A source that is cut short while it is read: an error, and nothing is left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from net2net_cli.api import Choices, RunOptions
from net2net_cli.errors import CheckpointError
from tests.growth.joined_nets import RESIDUAL
from tests.growth.nets import teacher_of


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("choices", [Choices("duplicate", "even"), Choices("fresh")])
def test_a_source_that_is_cut_short_meanwhile_is_an_error(
    tmp_path: Path, choices: Choices, workers: int
) -> None:
    teacher = teacher_of(RESIDUAL, tmp_path)
    plan = teacher.plan(RESIDUAL.spec(8), choices)
    source = tmp_path / "teacher.safetensors"
    before = sorted(tmp_path.iterdir())

    def cut(_what: str, done: int, _total: int) -> None:
        if done:
            os.truncate(source, 4096)  # of its tensors nothing is left

    with pytest.raises(CheckpointError, match="cut short") as error:
        teacher.apply(plan, "student", RunOptions(workers=workers, progress=cut, verify=False))
    assert error.value.exit_code == 2
    assert sorted(tmp_path.iterdir()) == before
