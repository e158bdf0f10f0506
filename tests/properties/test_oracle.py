"""The engine and the dense oracle, two programs written apart, on networks drawn at random."""

from __future__ import annotations

import torch
from hypothesis import given, note
from hypothesis import strategies as st

from net2net_cli.errors import UnreachableError
from tests.properties.claims import drawn_choices, drawn_sizes, examples, judge_of
from tests.support.draws import Draws
from tests.support.memory import with_sizes
from tests.support.oracle import unlike


@examples(100)
@given(st.data())
def test_every_tensor_is_what_dense_matrices_make_of_it(data: st.DataObject) -> None:
    d = Draws(data.draw)
    judge = judge_of(d, dtype=torch.float64)
    layout = judge.model.layout
    target = with_sizes(judge.model.document, layout, {**layout.sizes, **drawn_sizes(d, layout)})
    choices = drawn_choices(d, "auto", "auto", "duplicate", "fresh", "mean", "zero")
    try:
        growth = judge.prepare(target, choices)
    except UnreachableError:
        return
    student = judge.student(growth)
    note(str(growth.plan.operations))
    found = unlike(growth, judge.model.source.state, student.state)
    assert max(found.values(), default=0.0) <= 1e-12, found
