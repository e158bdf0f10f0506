"""Figures and names as a person reads them."""

from __future__ import annotations

import pytest

from net2net_cli.console import Symbols
from net2net_cli.plan import Choices, Plan, Teacher, Totals, Widen
from net2net_cli.report.drawing import mermaid, svg
from net2net_cli.report.graph import graph_of, side_by_side
from net2net_cli.report.outcome import Outcome
from net2net_cli.report.sheets import bytes_of, counted, figure, sheets
from net2net_cli.spec import parse_document, to_spec

RESIDUAL = """
net2net: 1
input: [4, 8, 8]
layers:
  block:
    type: Add
    branches:
      - conv: {type: Conv2d, out_channels: 4, kernel_size: 3, padding: 1}
      - {}
"""


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (36_840, "36.8 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (8_500_000_000, "8.5 GB"),
        (12_345_000_000_000, "12.3 TB"),
    ],
)
def test_sizes_have_three_digits(size: int, shown: str) -> None:
    assert bytes_of(size) == shown


def test_counts_agree_with_their_nouns() -> None:
    assert [counted(n, "layer") for n in (0, 1, 2, 1000)] == [
        "no layers", "1 layer", "2 layers", "1,000 layers",
    ]  # fmt: skip


def test_an_error_of_nothing_is_nothing() -> None:
    assert [figure(x) for x in (0.0, 1.23e-16, float("inf"), float("nan"))] == [
        "0", "1.2e-16", "inf", "nan",
    ]  # fmt: skip


def test_a_residual_edge_is_drawn_around_its_branch() -> None:
    graph = graph_of(to_spec(parse_document(RESIDUAL, "x.yaml")))
    assert set(graph.edges) == {
        ("input", "block.conv"), ("block.conv", "block"), ("input", "block"),
    }  # fmt: skip
    assert [node.rank for node in graph.nodes] == [0, 1, 2]
    assert svg([("network", graph)]).count("<path") == 3


def test_a_teachers_layer_stands_beside_what_it_became() -> None:
    teacher = to_spec(parse_document(RESIDUAL, "a.yaml"))
    deeper = RESIDUAL + "  relu: {type: ReLU}\n"
    student = to_spec(parse_document(deeper, "b.yaml"))
    old, new = side_by_side(teacher, student, {"block": "block", "block.conv": "block.conv"})
    assert {n.name: n.tone for n in new.nodes}["relu"] == "new"
    assert {n.name: n.rank for n in old.nodes}["block"] == 2
    assert ":::new" in mermaid([("teacher", old), ("student", new)])


def test_a_plan_names_every_member_of_a_width_and_counts_groups_as_groups() -> None:
    members = tuple(f"layer{i}.conv" for i in range(30))
    widen = Widen("norm.groups", members, 3, 5, "fresh", None, "because")
    totals = Totals(1, 4)
    plan = Plan(Teacher("t", "d"), "", "", "", Choices(), (widen,), totals, totals)
    (sheet,) = sheets(Outcome("plan", plan=plan), Symbols())
    (row,) = sheet.rows
    assert row.cells[2:4] == ("3 → 5 groups", ", ".join(members))
