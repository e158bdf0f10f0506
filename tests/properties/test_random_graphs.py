"""Drawn networks, grown in drawn ways: the function stays, or a rule says why it cannot.

Nothing but a refusal may come out beside an exact student, and a refusal quotes its rule.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import torch
from hypothesis import given, note
from hypothesis import strategies as st

from net2net_cli.errors import SpecError, UnreachableError, UsageError
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.laying import layout_of
from net2net_cli.layout import GraphLayout
from net2net_cli.spec import dump, insert_after, to_spec
from net2net_cli.targets import deepenings, widened
from tests.properties.claims import (
    FROZEN,
    PLACES,
    STATISTICS,
    check_exact,
    drawn_choices,
    drawn_sizes,
    examples,
    judge_of,
    plain_data,
    refused,
)
from tests.support.draws import INSERTIONS, Draws, Entry, Shape, branch, layer
from tests.support.memory import Judge, described, with_sizes


def grows_free_widths(d: Draws) -> None:
    """The sizes of widths that are said to be free can be raised together, in any combination."""
    judge = judge_of(d, dtype=d.pick([torch.float64, torch.float64, torch.float16, torch.bfloat16]))
    layout = judge.model.layout
    sizes = drawn_sizes(d, layout)
    target = with_sizes(judge.model.document, layout, {**layout.sizes, **sizes})
    choices = drawn_choices(d, "auto", "auto", "duplicate", "fresh", "mean", "zero")
    try:
        student = check_exact(judge, target, choices)
        assert student.plan.changes == bool(sizes)
    except UnreachableError as error:
        refused(error, "alone", "largest of each", "gates each", *STATISTICS, *FROZEN)
        if choices.expansion == "auto":
            refused(error, *STATISTICS)


def grows_twice(d: Draws) -> None:
    """A student is a teacher as good as any other."""
    judge = judge_of(d, most=5)
    for _ in range(2):
        layout = judge.model.layout
        sizes = drawn_sizes(d, layout)
        target = with_sizes(judge.model.document, layout, {**layout.sizes, **sizes})
        try:
            student = check_exact(judge, target, drawn_choices(d, "auto", "duplicate"))
        except UnreachableError as error:
            refused(error, *STATISTICS)
            return
        judge = Judge(student.model)


def widens_by_name(d: Draws) -> None:
    """`widen --layer L --to N`, whatever layer it names."""
    judge = judge_of(d)
    layout = judge.model.layout
    name = d.pick([layer.name for layer in judge.model.spec.layers])
    shape = [layout.size(axis) for axis in layout.values[name].axes]
    to = d.pick(shape) * d.number(1, 3) + d.number(0, 2)
    note(f"widen {name} to {to}")
    try:
        check_exact(judge, widened(judge.model.document, layout, name, to), drawn_choices(d))
    except UsageError as error:
        assert re.search("wide already|lays several widths end to end", error.message)
    except UnreachableError as error:
        refused(error, "shrinks from", "is a multiple of", "it is fixed", *STATISTICS, *FROZEN)


def deepens_by_name(d: Draws) -> None:
    """`deepen --after L`, whatever layer it names; every way of it, not the first alone."""
    judge = judge_of(d)
    name = d.pick([layer.name for layer in judge.model.spec.layers])
    note(f"deepen after {name}")
    count = d.number(1, 2)
    try:
        ways = list(deepenings(judge.model.document, judge.model.layout, name, None, count))
    except UsageError as error:
        assert "is not part of a Linear or convolution" in error.message
        return
    except UnreachableError as error:
        refused(error, *PLACES)
        return
    for way in ways:
        try:
            check_exact(judge, way.document, drawn_choices(d))
        except UnreachableError as error:
            refused(error, *PLACES)


def insertion(d: Draws, shape: Shape) -> dict[str, Entry]:
    """New layers behind a value of that shape, most of them such that they can be an identity."""
    made = d.pick(INSERTIONS)(d, shape)
    return made or {"new": layer(d, shape)[0]}


def floating(judge: Judge, layout: GraphLayout) -> list[str]:
    """The values that are no ids."""
    ids = {i.name for i in judge.model.spec.inputs if i.dtype == "int64"}
    return [name for name in layout.values if name not in ids]


def joined(d: Draws, layout: GraphLayout, place: str) -> dict[str, Entry]:
    """A new sum, product or concatenation of a value and others that are there already."""
    shape = tuple(layout.size(axis) for axis in layout.values[place].axes)
    alike = [
        name
        for name, value in layout.values.items()
        if tuple(layout.size(axis) for axis in value.axes) == shape
    ]
    kind = d.pick(["Add", "Add", "Concat", "Multiply"])
    return {"new": {"type": kind, "inputs": d.order([place, d.pick(alike)])}}


def inserts_layers(d: Draws) -> None:
    """New layers anywhere, and widths raised beside them, those of the new layers too."""
    judge = judge_of(d, most=5)
    document = judge.model.document
    for turn in range(d.number(1, 2)):
        layout = layout_of(to_spec(document))
        place = d.pick(floating(judge, layout))
        shape = tuple(layout.size(axis) for axis in layout.values[place].axes)
        entries = joined(d, layout, place) if d.number(0, 5) == 0 else insertion(d, shape)
        try:
            document = insert_after(document, place, {f"{k}_{turn}": e for k, e in entries.items()})
            layout = layout_of(to_spec(document))
        except SpecError as error:
            note(error.message)
            return
    sizes = drawn_sizes(d, layout) if d.flag() else {}
    target = with_sizes(document, layout, {**layout.sizes, **sizes})
    try:
        check_exact(judge, target, drawn_choices(d, "auto", "auto", "duplicate"))
    except UnreachableError as error:
        refused(error, *PLACES, *STATISTICS, *FROZEN)


def adds_branches(d: Draws) -> None:
    """New branches in the sums, products and concatenations that are there."""
    judge = judge_of(d, most=5)
    layout, plain = judge.model.layout, plain_data(judge.model.document)
    joins = [n for n, e in plain["layers"].items() if e["type"] in ("Add", "Concat", "Multiply")]
    if not joins:
        return
    for turn in range(d.number(1, 2)):
        name = d.pick(joins)
        feed = d.pick([*judge.model.spec.layer(name).inputs, *floating(judge, layout)[:2]])
        shape = tuple(layout.size(axis) for axis in layout.values[feed].axes)
        add_branch(plain["layers"], name, feed, branch(d, shape), f"new{turn}")
    try:
        target = described(plain["layers"], input=plain["input"], outputs=plain["outputs"])
        layout = layout_of(to_spec(target))
    except SpecError as error:
        note(error.message)
        return
    sizes = drawn_sizes(d, layout) if d.flag() else {}
    target = with_sizes(target, layout, {**layout.sizes, **sizes})
    try:
        check_exact(judge, target, drawn_choices(d, "auto", "auto", "duplicate"))
    except UnreachableError as error:
        refused(error, *PLACES, *STATISTICS, *FROZEN)


def add_branch(
    layers: dict[str, Any], join: str, feed: str, chain: dict[str, Entry], name: str
) -> None:
    """Another branch where the join has branches, else new layers as another input."""
    chain = {f"{name}_{key}": entry for key, entry in chain.items()}
    next(iter(chain.values()))["inputs"] = feed
    entry = layers[join]
    if isinstance(entry.get("branches"), list):
        entry["branches"].append(chain)
    elif "branches" in entry:
        entry["branches"][name] = chain
    else:
        for before, after in pairwise(chain):
            chain[after]["inputs"] = before
        layers.update(chain)
        entry["inputs"] = [*entry["inputs"], list(chain)[-1]]


def edits_anything(d: Draws) -> None:
    """One thing of the network changed as a careless hand would: exact, or an error of ours."""
    judge = judge_of(d, most=5)
    plain = plain_data(judge.model.document)
    layers: dict[str, Entry] = plain["layers"]
    name = d.pick(list(layers))
    entry = layers[name]
    values: list[object] = [1, 2, 3, 4, 6, 8, 0, -1, True, False, None, "same", [1, 2], 0.5, {}]
    match d.pick(["argument", "argument", "type", "inputs", "share", "gone", "outputs", "input"]):
        case "argument":
            keys = [*entry, *(a.name for a in LAYER_TYPES[str(entry["type"])].args)]
            entry[d.pick(keys)] = d.pick(values)
        case "type":
            entry["type"] = d.pick(sorted(LAYER_TYPES))
        case "inputs":
            entry["inputs"] = d.pick([*layers, *judge.model.layout.values])
        case "share":
            own = {"share": d.pick(list(layers))} if "share" not in entry else {}
            layers[name] = {k: v for k, v in entry.items() if k != "share"} | own
        case "gone":
            del layers[name]
        case "outputs":
            plain["outputs"] = [d.pick(list(layers)) for _ in range(d.number(1, 2))]
        case _:
            shape = list(judge.model.spec.inputs[0].shape)
            plain["input"] = d.pick([shape, [*shape, 2], shape[1:], {"x": [2, 3]}])
    try:
        target = described(plain["layers"], input=plain["input"], outputs=plain["outputs"])
        note(dump(target))
        check_exact(judge, target, drawn_choices(d))
    except (SpecError, UnreachableError) as error:
        assert error.message


@examples(250)
@given(st.data())
def test_widths_that_are_free_grow_in_any_combination(data: st.DataObject) -> None:
    grows_free_widths(Draws(data.draw))


@examples(50)
@given(st.data())
def test_a_student_can_grow_again(data: st.DataObject) -> None:
    grows_twice(Draws(data.draw))


@examples(100)
@given(st.data())
def test_any_layer_can_be_named_to_widen(data: st.DataObject) -> None:
    widens_by_name(Draws(data.draw))


@examples(100)
@given(st.data())
def test_any_layer_can_be_named_to_deepen(data: st.DataObject) -> None:
    deepens_by_name(Draws(data.draw))


@examples(200)
@given(st.data())
def test_inserted_layers_are_identities_or_refused(data: st.DataObject) -> None:
    inserts_layers(Draws(data.draw))


@examples(120)
@given(st.data())
def test_new_branches_add_nothing_yet_or_are_refused(data: st.DataObject) -> None:
    adds_branches(Draws(data.draw))


@examples(200)
@given(st.data())
def test_a_careless_edit_is_exact_or_an_error_of_ours(data: st.DataObject) -> None:
    edits_anything(Draws(data.draw))
