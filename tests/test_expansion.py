"""Expansions: E and D written out densely and apart from the program, so that D . E = I is seen."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from net2net_cli.expansion import (
    KINDS,
    NEW,
    Expansion,
    Kind,
    decode,
    encode,
    even_shares,
    expand,
    is_inverse,
    unchanged,
)
from tests.support.dense import dense_decode, dense_encode

SIZES = st.integers(1, 9)


@st.composite
def expansions(draw: st.DrawFn) -> Expansion:
    kind, before = draw(st.sampled_from(KINDS)), draw(SIZES)
    after = (
        before * draw(st.integers(1, 4)) if kind == "even" else before + draw(st.integers(0, 12))
    )
    return expand(kind, before, after, draw(st.text(max_size=3)))


@given(expansions())
def test_the_old_features_come_first_in_their_order(e: Expansion) -> None:
    assert e.index[: e.before] == tuple(range(e.before))
    assert len(e.index) == e.after


@given(SIZES, st.integers(0, 12), st.text(max_size=3))
def test_duplicate_copies_all_features_as_equally_as_it_can(n: int, more: int, key: str) -> None:
    counts = Counter(expand("duplicate", n, n + more, key).index)
    assert max(counts.values()) - min(counts.values()) <= 1


@given(SIZES, st.integers(1, 5), st.text(max_size=3))
def test_even_copies_all_features_equally_often(n: int, times: int, key: str) -> None:
    counts = Counter(expand("even", n, times * n, key).index)
    assert set(counts.values()) == {times}


@pytest.mark.parametrize("kind", ["fresh", "zero", "mean"])
def test_other_kinds_copy_nothing(kind: Kind) -> None:
    assert expand(kind, 2, 5, "").index == (0, 1, NEW, NEW, NEW)


def test_a_width_that_is_all_new_starts_fresh() -> None:
    assert expand("fresh", 0, 3, "").index == (NEW, NEW, NEW)


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [("duplicate", 3, 2), ("even", 3, 7), ("duplicate", 0, 3), ("mean", 0, 3), ("zero", 0, 2)],
)
def test_what_no_expansion_does_is_refused(kind: Kind, before: int, after: int) -> None:
    with pytest.raises(ValueError, match=f"{after}"):
        expand(kind, before, after, "")


def test_which_features_are_copied_depends_on_the_key_alone() -> None:
    first = expand("duplicate", 64, 96, "0/conv1")
    assert expand("duplicate", 64, 96, "0/conv1") == first
    assert expand("duplicate", 64, 96, "1/conv1") != first
    assert expand("duplicate", 64, 96, "0/conv2") != first


def test_the_order_is_the_same_on_every_machine() -> None:
    assert expand("duplicate", 8, 20, "0/w").index[8:] == (*range(8), 3, 4, 5, 7)


@given(SIZES, st.integers(0, 12), st.text(max_size=3))
def test_copies_lie_in_the_order_of_what_they_copy(n: int, more: int, key: str) -> None:
    index = expand("duplicate", n, n + more, key).index
    turns = [index[at : at + n] for at in range(0, n + more, n)]
    assert all(turn == tuple(sorted(set(turn))) for turn in turns)


@given(expansions(), st.data())
def test_decode_undoes_encode_whatever_the_shares(e: Expansion, data: st.DataObject) -> None:
    """Fresh rows of E may hold anything: D reads them with zeros."""
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    product = dense_decode(e, rng) @ dense_encode(e, rng)
    np.testing.assert_allclose(product, np.eye(e.before), atol=1e-12)


@given(expansions())
def test_the_programs_own_matrices_are_the_dense_ones(e: Expansion) -> None:
    rows = np.zeros((e.after, e.before))
    for j, row in enumerate(encode(e)):
        for n, coefficient in row.items():
            rows[j, n] = float(coefficient)
    known = [j for j in range(e.after) if e.index[j] != NEW or e.kind != "fresh"]
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(rows[known], dense_encode(e, rng)[known])
    columns = np.zeros((e.before, e.after))
    for j, column in enumerate(decode(e, even_shares(e))):
        for n, share in column.items():
            columns[n, j] = float(share)
    np.testing.assert_allclose(columns, dense_decode(e, None))


@given(expansions())
def test_even_shares_prove_any_expansion(e: Expansion) -> None:
    assert is_inverse(e, even_shares(e))


@given(expansions(), st.data())
def test_a_share_that_is_off_is_no_inverse(e: Expansion, data: st.DataObject) -> None:
    shares = even_shares(e)
    at = data.draw(st.integers(0, e.before - 1))
    shares[at] += Fraction(1, 10**9)
    assert not is_inverse(e, shares)


def test_nothing_changes_when_the_size_stays() -> None:
    assert unchanged(4) == expand("duplicate", 4, 4, "any")
