"""Large tensors are made rows by rows, and every row holds what it would hold alone."""

from __future__ import annotations

import pytest
import torch

from net2net_cli import tiles
from net2net_cli.api import Choices
from net2net_cli.expansion import SPLITS
from tests.growth.joined_nets import RESIDUAL
from tests.growth.nets import EXACT, difference, teacher_of


@pytest.mark.parametrize("tile", [1, 7, 40])
@pytest.mark.parametrize("choices", [Choices(), *(Choices("duplicate", s) for s in SPLITS)])
def test_a_tensor_made_in_parts_is_as_exact(tmp_path, monkeypatch, choices, tile):
    monkeypatch.setattr(tiles, "TILE", tile)
    teacher = teacher_of(RESIDUAL, tmp_path)
    student = teacher.apply(teacher.plan(RESIDUAL.spec(8), choices))
    assert difference(teacher.module, student.into(RESIDUAL.module(8)), RESIDUAL.batch()) <= EXACT


def test_what_is_not_drawn_does_not_depend_on_the_parts(tmp_path, monkeypatch):
    teacher = teacher_of(RESIDUAL, tmp_path)
    plan = teacher.plan(RESIDUAL.spec(8), Choices("duplicate", "dyadic"))
    whole = teacher.apply(plan, "whole").state
    monkeypatch.setattr(tiles, "TILE", 5)
    parts = teacher.apply(plan, "parts").state
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
