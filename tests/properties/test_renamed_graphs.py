"""Drawn networks whose layers get other names, or numbers: what is matched is what grows.

With ``rename`` said, growth is as exact as without; where numbers must be aligned, a layer that
found the wrong partner leads to a refusal, never to another function.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from net2net_cli.errors import SpecError, UnreachableError
from net2net_cli.laying import layout_of
from net2net_cli.spec import Document, insert_after, to_spec
from tests.properties.claims import (
    STATISTICS,
    check_exact,
    drawn_choices,
    drawn_sizes,
    examples,
    judge_of,
    plain_data,
    refused,
)
from tests.support.draws import Draws, unit
from tests.support.graphs import network
from tests.support.memory import Judge, described, teacher_of, with_sizes


def with_names(
    document: Document, names: Mapping[str, str], rename: Mapping[str, str] | None = None
) -> Document:
    """The document with its outermost layers under other names, wherever they are named."""
    plain = plain_data(document)
    layers = {names.get(str(k), str(k)): with_edges(e, names) for k, e in plain["layers"].items()}
    more = {"rename": rename} if rename else {}
    outputs = said(plain["outputs"], names)
    return described(layers, input=plain["input"], outputs=outputs, **more)


def with_edges(entry: Any, names: Mapping[str, str]) -> Any:
    """A layer, group or list of branches with the names that it reads or shares replaced."""
    if isinstance(entry, list):
        return [with_edges(part, names) for part in entry]
    if not isinstance(entry, dict):
        return entry
    return {
        k: said(v, names) if k in ("inputs", "share") else with_edges(v, names)
        for k, v in entry.items()
    }


def said(value: Any, names: Mapping[str, str]) -> Any:
    """Names as they are said in ``inputs``, ``share`` and ``outputs``."""
    if isinstance(value, list):
        return [said(v, names) for v in value]
    if isinstance(value, dict):
        return {k: said(v, names) for k, v in value.items()}
    head, dot, rest = str(value).partition(".")
    return names.get(head, head) + dot + rest


def outermost(document: Document) -> list[str]:
    return [str(name) for name in plain_data(document)["layers"]]


def grows_under_other_names(d: Draws) -> None:
    """Names are new, or change places with one another; ``rename`` says how."""
    judge = judge_of(d, most=6)
    layout = judge.model.layout
    sizes = {**layout.sizes, **drawn_sizes(d, layout)}
    chosen = [name for name in outermost(judge.model.document) if d.flag()]
    given_names = d.order(chosen) if d.flag() else [f"other_{name}" for name in chosen]
    names = dict(zip(chosen, given_names, strict=True))
    rename = {old: new for old, new in names.items() if old != new}
    target = with_names(with_sizes(judge.model.document, layout, sizes), names, rename)
    try:
        check_exact(judge, target, drawn_choices(d, "auto", "duplicate"))
    except UnreachableError as error:
        refused(error, *STATISTICS)


def grows_under_numbers(d: Draws) -> None:
    """Every layer has its place as its name, and an insertion moves the places behind it."""
    drawn = network(d, 6).document
    source = numbered(drawn)
    judge = Judge(teacher_of(source, d.number(0, 3)))
    layout = judge.model.layout
    place = d.pick(outermost(source))
    shape = tuple(layout.size(axis) for axis in layout.values[place].axes)
    try:
        target = numbered(insert_after(source, place, unit(d, shape) or {}))
        layout = layout_of(to_spec(target))
    except SpecError:
        return
    sizes = {**layout.sizes, **(drawn_sizes(d, layout) if d.flag() else {})}
    try:
        check_exact(judge, with_sizes(target, layout, sizes), drawn_choices(d))
    except UnreachableError as error:
        assert error.message


def numbered(document: Document) -> Document:
    return with_names(document, {name: str(i) for i, name in enumerate(outermost(document))})


@examples(60)
@given(st.data())
def test_renamed_layers_grow_as_any_others(data: st.DataObject) -> None:
    grows_under_other_names(Draws(data.draw))


@examples(60)
@given(st.data())
def test_a_wrong_alignment_of_numbers_never_changes_the_function(data: st.DataObject) -> None:
    grows_under_numbers(Draws(data.draw))
