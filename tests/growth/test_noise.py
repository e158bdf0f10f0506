"""Noise on the copies, as Net2Net has it (section 2.2): the copy differs a little, and says so."""

from __future__ import annotations

import pytest
import torch

from net2net_cli.api import Choices, RunOptions
from net2net_cli.expansion import expand
from net2net_cli.plan import Widen
from tests.growth.joined_nets import RESIDUAL
from tests.growth.nets import EXACT, difference, teacher_of

NOISE = 0.01


def grown(folder, name="student", **choices):
    teacher = teacher_of(RESIDUAL, folder)
    plan = teacher.plan(RESIDUAL.spec(7), Choices("duplicate", "even", **choices))
    return teacher, teacher.apply(plan, name, RunOptions(overwrite=True))


def copies(student):
    """For each new channel of the stream, the old one that it copies."""
    (operation,) = (o for o in student.plan.operations if isinstance(o, Widen))
    key = f"{student.plan.choices.seed}/{operation.width}"
    return expand("duplicate", 4, 7, key).index


def test_only_copies_after_the_first_differ(tmp_path):
    _, plain = grown(tmp_path, "plain")
    _, noisy = grown(tmp_path, "noisy", noise=NOISE)
    assert set(copies(plain)[:4]) == {0, 1, 2, 3}
    drawn = []
    for name, before in plain.state.items():
        after = noisy.state[name]
        if name in ("stem.weight", "stem.bias", "a.3.weight", "b.weight"):
            assert torch.equal(after[:4], before[:4])
            changed = after[4:] - before[4:]
            assert bool((changed != 0).all())
            drawn.append((changed / before.square().mean().sqrt()).reshape(-1))
        elif name in ("head.weight", "a.0.weight") or "tracked" in name or name.startswith("a.4"):
            assert torch.equal(after, before), name
    assert 0.5 * NOISE < float(torch.cat(drawn).std()) < 2 * NOISE


def test_tolerance_knows_of_the_noise(tmp_path):
    teacher, student = grown(tmp_path, noise=NOISE)
    error = difference(teacher.module, student.into(RESIDUAL.module(7)), RESIDUAL.batch())
    assert EXACT < error < 10 * NOISE
    for judged in student.grown.verification.probes:
        assert judged.tolerance == pytest.approx(10 * NOISE)
        assert judged.passed
    assert any("noise" in note for note in student.grown.verification.notes)


def test_noise_needs_copies(tmp_path):
    """Fresh units have none, and the student stays exact."""
    teacher = teacher_of(RESIDUAL, tmp_path)
    student = teacher.apply(teacher.plan(RESIDUAL.spec(7), Choices("fresh", noise=NOISE)))
    plain = teacher.apply(teacher.plan(RESIDUAL.spec(7), Choices("fresh")), "plain")
    assert all(torch.equal(t, plain.state[name]) for name, t in student.state.items())


def test_larger_noise_moves_farther(tmp_path):
    found = []
    for noise in (0.001, 0.01, 0.1):
        teacher, student = grown(tmp_path, noise=noise)
        module = student.into(RESIDUAL.module(7))
        found.append(difference(teacher.module, module, RESIDUAL.batch()))
    assert found[0] < found[1] < found[2]
    assert found[1] / found[0] == pytest.approx(10, rel=0.3)
