"""Saved plans that somebody edited: what is not a plan is said, never met with a traceback."""

from __future__ import annotations

import json

import pytest

from net2net_cli.errors import PlanError
from net2net_cli.plan import Choices, Plan, Teacher, Totals, Widen, from_json, to_json

PLAN = Plan(
    Teacher("ckpt", "sha256:0", None), "a", "b", "c", Choices(),
    (Widen("fc1", ("fc1", "fc2"), 3, 4, "fresh", None, "fresh: ..."),), Totals(1, 4), Totals(2, 8),
)  # fmt: skip


def test_what_is_saved_is_read_again():
    assert from_json(to_json(PLAN), "plan.json") == PLAN


@pytest.mark.parametrize(("path", "value"), [
    ("operations.0.members", 7), ("operations.0.members", ["fc1", ["fc2"]]),
    ("operations.0.members", []), ("operations.0.before", "3"),
    ("operations.0.before", True), ("operations.0.kind", "shrink"),
    ("choices.dtype", 2**53), ("choices.dtype", "float99"), ("choices.split", "odd"),
    ("choices.noise", -1.0), ("choices.seed", None), ("teacher", []), ("source", 1),
    ("notes", "all"), ("warnings", [1]), ("assumed", "yes"), ("before", None), ("operations", 5),
])  # fmt: skip
def test_a_value_of_another_kind_is_named(path, value):
    data = json.loads(to_json(PLAN))
    *way, last = path.split(".")
    holder = data
    for step in way:
        holder = holder[int(step)] if step.isdigit() else holder[step]
    holder[last] = value
    with pytest.raises(PlanError, match="lacks or misuses"):
        from_json(json.dumps(data), "plan.json")


def test_half_a_surrogate_pair_is_no_text():
    """JSON can spell it, and no checkpoint's metadata can hold it."""
    data = json.loads(to_json(PLAN))
    data["student"] = "\ud800"
    with pytest.raises(PlanError, match="not valid Unicode"):
        from_json(json.dumps(data), "plan.json")
