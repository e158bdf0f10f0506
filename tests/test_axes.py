"""Axis expressions and their unification.

What unification claims is tested by growth itself: after any number of demands that axes be one,
copying units of any widths that were not fixed must make the same axis of both.
"""

from __future__ import annotations

from hypothesis import given, note, settings
from hypothesis import strategies as st

from net2net_cli.axes import (
    Axis,
    Number,
    Product,
    Sum,
    Unifier,
    Width,
    product,
    size_of,
    total,
    widths,
)
from net2net_cli.axismap import Mapper
from net2net_cli.expansion import expand

A, B, C = Width("a"), Width("b"), Width("c")


def unifier(**sizes: int) -> Unifier:
    found = Unifier()
    for name, size in sizes.items():
        assert found.width(name, size) == Width(name)
    return found


def fixed_widths(u: Unifier) -> set[Width]:
    return {w for axis, _ in u.fixed for w in widths(u.resolve(axis))}


# Normal form


def test_products_are_flat_without_ones_and_with_their_numbers_multiplied() -> None:
    assert product(A, Product((B, Number(2))), Number(3)) == Product((A, B, Number(6)))
    assert product(Number(1), A, Number(1)) == A
    assert product() == Number(1)
    assert product(Number(2), Number(3)) == Number(6)


def test_sums_are_flat_with_neighbouring_numbers_added() -> None:
    assert total(A, Sum((B, Number(2))), Number(3)) == Sum((A, B, Number(5)))
    assert total(A) == A


def test_an_outermost_sum_is_taken_out_of_a_product() -> None:
    assert product(Sum((A, B)), Number(4)) == Sum(
        (Product((A, Number(4))), Product((B, Number(4))))
    )
    inner = product(Number(4), Sum((A, B)))
    assert inner == Product((Number(4), Sum((A, B))))


def test_sizes_multiply_and_add() -> None:
    axis = total(product(A, Number(3)), B)
    assert size_of(axis, {A: 4, B: 5}) == 17
    assert list(widths(axis)) == [A, B]


# What is one


def test_equal_widths_become_one() -> None:
    u = unifier(a=4, b=4)
    u.unify(A, B, "add")
    assert u.resolve(A) == u.resolve(B)
    assert not u.fixed


def test_names_that_are_taken_get_a_number() -> None:
    u = unifier(a=4)
    assert u.width("a", 5) == Width("a#2")
    assert u.width("a", 6) == Width("a#3")
    assert u.sizes == {A: 4, Width("a#2"): 5, Width("a#3"): 6}


def test_a_width_seen_as_a_sum_is_cut() -> None:
    u = unifier(a=3, b=4, c=7)
    u.unify(C, total(A, B), "add")
    assert u.resolve(C) == Sum((A, B))
    assert not u.fixed


def test_a_width_seen_as_a_product_is_factored() -> None:
    u = unifier(a=12, b=4)
    u.unify(A, product(B, Number(3)), "shuffle")
    assert u.resolve(A) == Product((B, Number(3)))


def test_cuts_at_different_places_cut_both() -> None:
    u = unifier(a=2, b=4, c=5, d=1)
    u.unify(total(A, B), total(C, Width("d")), "add")
    left, right = u.resolve(total(A, B)), u.resolve(total(C, Width("d")))
    assert left == right
    assert [u.size(w) for w in widths(left)] == [2, 3, 1]
    assert not u.fixed


def test_groupings_of_different_size_share_a_quotient() -> None:
    u = unifier(a=6, b=2, c=2, d=6)
    u.unify(product(A, B), product(C, Width("d")), "conv")
    assert u.resolve(product(A, B)) == u.resolve(product(C, Width("d")))
    assert not u.fixed


def test_a_sum_seen_as_equal_blocks_makes_the_blocks_one() -> None:
    u = unifier(a=3, b=3, c=3)
    u.unify(total(A, B), product(Number(2), C), "shuffle")
    assert u.resolve(A) == u.resolve(B) == u.resolve(C)
    assert not u.fixed


def test_groups_that_fit_into_the_parts_are_cut_with_them() -> None:
    u = unifier(a=4, b=8, groups=6, c=2)
    groups = Width("groups")
    u.unify(total(A, B), product(groups, C), "conv")
    assert u.resolve(total(A, B)) == u.resolve(product(groups, C))
    assert [u.size(w) for w in widths(u.resolve(groups))] == [2, 4]
    assert not u.fixed


# What is fixed, and why


def test_a_width_beside_a_number_is_fixed() -> None:
    u = unifier(a=4)
    u.unify(A, Number(4), "linear")
    assert fixed_widths(u) == {A}
    assert u.fixed[0][1] == "linear aligns it with an axis that never grows"


def test_a_width_reordered_against_itself_is_fixed() -> None:
    u = unifier(a=3)
    u.unify(product(Number(2), A), product(A, Number(2)), "add")
    assert A in fixed_widths(u)
    u = unifier(a=3, b=2)
    u.unify(product(A, B), product(B, A), "add")
    assert fixed_widths(u) >= {A}


def test_groups_of_numbers_that_do_not_divide_each_other_are_fixed() -> None:
    u = unifier(a=6, b=4)
    u.unify(product(Number(2), A), product(Number(3), B), "add")
    assert fixed_widths(u) == {A, B}
    assert "groups do not line up in add" in u.fixed[0][1]


def test_a_cut_across_groups_is_fixed() -> None:
    u = unifier(a=2, b=3, c=5)
    u.unify(total(product(Number(2), A), Number(9)), total(B, product(Number(2), C)), "add")
    assert fixed_widths(u) == {A, B, C}
    assert "parts laid end to end do not line up in add" in u.fixed[0][1]


def test_a_width_of_one_feature_may_stand_anywhere_and_is_fixed() -> None:
    """It ends: one feature divides every other factor, again and again."""
    u = unifier(a=1, b=2, c=1)
    u.unify(product(A, B, A), product(B, C), "flatten")
    assert u.resolve(A) in fixed_widths(u)
    assert "one feature" in u.fixed[0][1]


# Any demands on any axes


@st.composite
def axes(draw: st.DrawFn, u: Unifier, size: int, depth: int = 2) -> Axis:
    """An expression of that size over old and new widths."""
    old = [w for w, s in u.sizes.items() if s == size]
    options: list[str] = ["new", *["old"] * min(len(old), 2)]
    if size > 1 and depth:
        options += ["sum", "product", "number"]
    match draw(st.sampled_from(options)):
        case "new":
            return u.width("w", size)
        case "old":
            return draw(st.sampled_from(old))
        case "number":
            return Number(size)
        case "sum":
            first = draw(st.integers(1, size - 1))
            parts = [draw(axes(u, n, depth - 1)) for n in (first, size - first)]
            return total(*parts)
        case _:
            outer = draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
            return product(*(draw(axes(u, n, depth - 1)) for n in (outer, size // outer)))


@st.composite
def demands(draw: st.DrawFn) -> tuple[Unifier, list[tuple[Axis, Axis]]]:
    """A unifier and pairs of axes of equal size over its widths."""
    u, pairs = Unifier(), []
    for _ in range(draw(st.integers(1, 4))):
        size = draw(st.sampled_from([2, 3, 4, 6, 8, 12]))
        pairs.append((draw(axes(u, size)), draw(axes(u, size))))
    return u, pairs


def grown(u: Unifier, key: str) -> Mapper:
    """Every width that is not fixed, grown by a number and an order drawn from its name."""
    fixed, free = fixed_widths(u), [w for w in u.sizes if w not in u.bound]
    expansions = {
        w: expand("duplicate", u.sizes[w], u.sizes[w] + 1 + i % 3, f"{key}/{w.name}")
        for i, w in enumerate(free)
        if w not in fixed
    }
    return Mapper(expansions, u.sizes)


@settings(deadline=None, max_examples=300)
@given(demands())
def test_axes_made_one_grow_as_one(drawn: tuple[Unifier, list[tuple[Axis, Axis]]]) -> None:
    u, pairs = drawn
    for a, b in pairs:
        u.unify(a, b, "somewhere")
    note(f"{u.bound}\n{u.fixed}")
    mapper = grown(u, "k")
    for a, b in pairs:
        left, right = (mapper.axis(u.resolve(axis), "write") for axis in (a, b))
        assert left.index == right.index
        assert left.before == right.before


@settings(deadline=None)
@given(demands())
def test_unifying_keeps_every_size(drawn: tuple[Unifier, list[tuple[Axis, Axis]]]) -> None:
    u, pairs = drawn
    before = [(axis, u.size(axis)) for pair in pairs for axis in pair]
    for a, b in pairs:
        u.unify(a, b, "somewhere")
    for axis, size in before:
        resolved = u.resolve(axis)
        assert u.size(resolved) == size
        assert u.resolve(resolved) == resolved
        assert not set(widths(resolved)) & u.bound.keys()


@settings(deadline=None)
@given(demands())
def test_a_demand_that_is_met_already_changes_nothing(
    drawn: tuple[Unifier, list[tuple[Axis, Axis]]],
) -> None:
    u, pairs = drawn
    for a, b in pairs:
        u.unify(a, b, "somewhere")
    met = [(a, b) for a, b in pairs if u.resolve(a) == u.resolve(b)]
    bound, fixed = dict(u.bound), list(u.fixed)
    for a, b in met:
        u.unify(b, a, "again")
    assert u.bound == bound
    assert u.fixed == fixed
