"""Greedy generation: teacher and student write the same 32 tokens, through the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.families.growing import CASES, Teachers, grow
from tests.support.families import Case, draw_inputs, load

TOKENS = 32
WRITERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


def writers() -> list[Case]:
    """Of each family that writes the first case that grows in everything."""
    found: dict[str, Case] = {}
    for case in CASES:
        if case.architecture.endswith(WRITERS) and "everything" in case.grown:
            found.setdefault(case.family, case)
    return list(found.values())


@pytest.mark.parametrize("case", writers(), ids=str)
def test_teacher_and_student_write_the_same(case: Case, teachers: Teachers, tmp_path: Path) -> None:
    grow(teachers.folder(case), case.grown["everything"], tmp_path / "student")
    teacher, student = (
        load(folder, case.architecture) for folder in (teachers.folder(case), tmp_path / "student")
    )
    inputs = draw_inputs(teacher, length=5)[teacher.main_input_name]
    said = write(teacher, inputs)
    assert torch.equal(said, write(student, inputs))


def write(model: Any, inputs: Tensor) -> Tensor:
    """Ids of shape [rows, TOKENS]."""
    model.generation_config.eos_token_id = None
    model.generation_config.forced_eos_token_id = None
    said: Tensor = model.generate(inputs, do_sample=False, max_new_tokens=TOKENS)
    found = said[:, -TOKENS:]
    assert found.shape == (len(inputs), TOKENS)
    return found
