"""Factors as people write them, and the sizes that they round to."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net2net_cli.errors import SpecError
from net2net_cli.targets.factors import is_factor, read_factor, rounded
from tests.support.vision import models

_make_divisible = models._utils._make_divisible

SIZES = st.integers(1, 4096)
FACTORS = st.decimals(1, 10, places=2).map(Fraction)


@pytest.mark.parametrize(
    ("text", "factor"),
    [
        ("x1.5", Fraction(3, 2)),
        ("x2", Fraction(2)),
        ("×1.25", Fraction(5, 4)),
        ("x.5", Fraction(1, 2)),
    ],
)
def test_a_factor_is_exactly_what_is_written(text: str, factor: Fraction) -> None:
    assert is_factor(text)
    assert read_factor(text, "`width`", "t.yaml") == factor


@pytest.mark.parametrize(
    "value",
    ["x0", "x-1", "x", "xx2", "1.4", 1.4, 2, "1.5x", "x1e9", "x1001", "x1,5", "xnan", None, True],
)
def test_what_is_no_factor_is_refused_with_its_place(value: object) -> None:
    with pytest.raises(SpecError, match="`width` is a factor") as caught:
        read_factor(value, "`width`", "t.yaml:3")
    assert caught.value.where == "t.yaml:3"
    assert caught.value.hint


@pytest.mark.parametrize(("value", "hint"), [(1.4, "x1.4"), ("1.5x", "x1.5"), ("2", "x2")])
def test_a_number_is_told_as_the_factor_that_it_may_be(value: object, hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_factor(value, "`width`", "t.yaml")
    assert caught.value.hint == f"write {hint}"


@pytest.mark.parametrize("value", ["same", "valid", "xavier", "x", 1.5, True, None, "none"])
def test_other_values_of_arguments_are_no_factors(value: object) -> None:
    assert not is_factor(value) or value == "x"


@given(SIZES, FACTORS)
def test_sizes_round_as_mobilenet_rounds_channels(before: int, factor: Fraction) -> None:
    found = rounded(before, factor)
    assert found.size == max(before, _make_divisible(float(found.wanted), found.multiple))


@given(SIZES, FACTORS, st.integers(1, 32))
def test_a_size_keeps_what_divides_it_where_that_moves_it_little(
    before: int, factor: Fraction, unit: int
) -> None:
    found = rounded(before, factor, unit=unit)
    assert found.size >= before
    assert found.size * unit % found.multiple == 0
    assert found.multiple % unit == 0
    assert abs(found.size - found.wanted) <= max(found.wanted / 20, 1)


@given(SIZES, FACTORS)
def test_copies_in_equal_number_make_whole_multiples(before: int, factor: Fraction) -> None:
    found = rounded(before, factor, whole=True)
    assert found.size % before == 0
    assert found.size >= found.wanted * Fraction(9, 10)


@given(SIZES)
def test_once_is_what_it_was(before: int) -> None:
    assert rounded(before, Fraction(1)).size == before
