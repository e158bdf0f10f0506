"""Every family in every growth: the student, as transformers opens it, computes what its teacher
does. NET2NET_ALL=1 tries every class of a family in every growth."""

from __future__ import annotations

from pathlib import Path

import pytest

from net2net_cli import api, families
from net2net_cli.errors import UnreachableError
from net2net_cli.plan import Widen
from tests.families.growing import (
    CASES,
    UPCYCLED,
    Teachers,
    chosen,
    config_of,
    error,
    first_of,
    followers,
    grow,
)
from tests.support.families import Case, Settings

GROWTHS = list(chosen())
UPCYCLINGS = [(case, label, became) for case, became in UPCYCLED for label in case.grown]

KEPT = {"head_dim", "intermediate_size", "ffn_dim", "n_inner"}
"""Keys of sizes that follow from others where they are not said: written out, so that they stay."""


@pytest.mark.parametrize(("case", "label"), GROWTHS, ids=[f"{c}-{label}" for c, label in GROWTHS])
def test_a_student_computes_what_its_teacher_does(
    case: Case, label: str, teachers: Teachers, tmp_path: Path
) -> None:
    teacher, student = teachers.folder(case), tmp_path / "student"
    grown = grow(teacher, case.grown[label], student)
    assert grown.verification.proof is not None
    assert grown.verification.proof.holds
    assert error(teacher, student, case.architecture) <= case.tolerance
    changed, asked = changed_keys(teacher, student), case.grown[label].keys()
    assert changed - asked <= followers(case.family) | KEPT
    if label in ("mlp", "vocabulary"):
        assert changed == asked


def changed_keys(teacher: Path, student: Path) -> set[str]:
    """The keys in which two folders' config.json differ."""
    old, new = config_of(teacher), config_of(student)
    return {key for key in {*old, *new} if (key in old, old.get(key)) != (key in new, new.get(key))}


@pytest.mark.parametrize(
    ("case", "label", "became"), UPCYCLINGS, ids=[f"{c}-{label}" for c, label, _ in UPCYCLINGS]
)
def test_experts_compute_what_the_mlp_did(
    case: Case, label: str, became: str, teachers: Teachers, tmp_path: Path
) -> None:
    teacher, student = teachers.folder(case), tmp_path / "student"
    grow(teacher, case.grown[label], student)
    assert error(teacher, student, case.architecture, became) <= case.tolerance
    assert config_of(student)["architectures"] == [became]


PLACES = ["start", "end", "after=0", "after=2,0"]
POST_NORM = ("bert", "roberta", "distilbert", "bart")
DEEPER: list[tuple[str, Settings]] = [
    ("llama", {"num_hidden_layers": 6}),
    ("gemma2", {"num_hidden_layers": 7}),
    ("qwen3_moe", {"num_hidden_layers": 5}),
    ("gpt2", {"n_layer": 5}),
    ("distilbert", {"n_layers": 6}),
    ("t5", {"num_layers": 5}),
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("family", "settings"), DEEPER, ids=[family for family, _ in DEEPER])
def test_blocks_come_in_anywhere(
    family: str, settings: Settings, place: str, teachers: Teachers, tmp_path: Path
) -> None:
    case, choices = first_of(family), api.Choices(where=place)
    if place == "start" and family in POST_NORM:
        with pytest.raises(UnreachableError, match="norm"):
            grow(teachers.folder(case), settings, tmp_path / "student", choices)
        return
    grow(teachers.folder(case), settings, tmp_path / "student", choices)
    assert error(teachers.folder(case), tmp_path / "student", case.architecture) <= case.tolerance


COPIED: list[tuple[str, Settings]] = [
    ("llama", {"intermediate_size": 53, "num_key_value_heads": 3, "num_attention_heads": 6}),
    ("gpt2", {"n_inner": 67, "n_embd": 48, "n_head": 6}),
    ("t5", {"d_ff": 67, "num_heads": 5, "d_kv": 7}),
]


@pytest.mark.parametrize("split", ["even", "dyadic", "random", "signed", "whole"])
@pytest.mark.parametrize(("family", "settings"), COPIED, ids=[family for family, _ in COPIED])
def test_units_are_copied_where_that_is_asked_for(
    family: str, settings: Settings, split: str, teachers: Teachers, tmp_path: Path
) -> None:
    case, choices = first_of(family), api.Choices("duplicate", split)
    grown = grow(teachers.folder(case), settings, tmp_path / "student", choices)
    kinds = [o.expansion for o in grown.plan.operations if isinstance(o, Widen)]
    assert "duplicate" in kinds
    assert error(teachers.folder(case), tmp_path / "student", case.architecture) <= case.tolerance


def test_every_family_is_grown_in_its_stream_in_depth_and_at_once() -> None:
    for family in families.families():
        labels = {label for case in CASES if case.family == family for label in case.grown}
        assert any("hidden" in label for label in labels), family
        assert any("depth" in label for label in labels), family
        assert "everything" in labels, family
