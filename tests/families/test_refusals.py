"""What would change the function is refused, with the reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from net2net_cli import api
from net2net_cli.errors import UnreachableError
from net2net_cli.plan import Widen
from tests.families.growing import CASES, UPCYCLED, Teachers, first_of, written
from tests.support.families import Case

REFUSALS = [(c, label) for c in (*CASES, *(c for c, _ in UPCYCLED)) for label in c.refused]


@pytest.mark.parametrize(("case", "label"), REFUSALS, ids=[f"{c}-{label}" for c, label in REFUSALS])
def test_a_growth_that_is_not_exact_is_refused(case: Case, label: str, teachers: Teachers) -> None:
    settings, reason = case.refused[label]
    folder = str(teachers.folder(case))
    with pytest.raises(UnreachableError) as caught:
        api.make_plan(api.open_model(folder), None, written(settings))
    said = caught.value.lines()
    assert reason in "\n".join(said)
    assert len(said) <= 4


@pytest.mark.parametrize(("family", "expansion"), [
    ("llama", "fresh"), ("llama", "duplicate"), ("llama", "mean"), ("gpt2", "zero"),
])  # fmt: skip
def test_a_plan_whose_expansion_was_edited_is_refused(
    family: str, expansion: str, teachers: Teachers, tmp_path: Path
) -> None:
    """The stream's norms do not bear these, whether or not anybody probes the student."""
    case = first_of(family)
    model = api.open_model(str(teachers.folder(case)))
    key = "n_embd" if family == "gpt2" else "hidden_size"
    plan = api.make_plan(model, None, written(case.grown["hidden"]))
    operations = tuple(
        replace(o, expansion=expansion) if isinstance(o, Widen) and o.label == key else o
        for o in plan.operations
    )
    assert operations != plan.operations
    out = tmp_path / "student"
    edited = replace(plan, operations=operations)
    with pytest.raises(UnreachableError, match=f"cannot grow .* by `{expansion}`"):
        api.apply_plan(edited, model, str(out), api.RunOptions(verify=False))
    assert not out.exists()
