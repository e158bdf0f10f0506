"""What would change the function is refused, with the reason."""

from __future__ import annotations

import pytest

from net2net_cli import api
from net2net_cli.errors import UnreachableError
from tests.families.growing import CASES, UPCYCLED, Teachers, written
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
