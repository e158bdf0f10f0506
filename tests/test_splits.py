"""How copies share a weight: whatever the split and the dtype, they sum to the weight exactly.

Sums are taken as fractions, so that no rounding of the test's own hides one of the program's.
"""

from __future__ import annotations

from fractions import Fraction
from math import isfinite, isinf, isnan

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from net2net_cli.axes import Number, Width, product
from net2net_cli.axismap import AxisMap, Mapper
from net2net_cli.draws import Stream
from net2net_cli.expansion import SPLITS, expand
from net2net_cli.splits import Sharing

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}
COPIES = range(2, 10)


def copies(count: int, weights: int = 1) -> AxisMap:
    """A reader's axis on which each of some weights has so many copies, not side by side."""
    index = tuple(n for _ in range(count) for n in range(weights))
    size = len(index)
    return AxisMap(weights, index, (0,) * size, index, (False,) * size)


def rounded(value: float, dtype: torch.dtype) -> float:
    return float(torch.tensor(value, dtype=torch.float64).to(dtype))


def split_of(
    weight: float, count: int, split: str, dtype: torch.dtype, seed: int = 0
) -> list[float]:
    """One weight's shares as they are stored."""
    value = torch.full((1, count), weight, dtype=torch.float64).to(dtype)
    return [float(part) for part in share(value, 1, copies(count), split, str(seed))[0].double()]


def share(
    value: Tensor, dim: int, axis: AxisMap, split: str, key: str = "", row: int = 0
) -> Tensor:
    """The copies along ``dim``, each of which had the whole weight; of some rows where that is not
    the first axis."""
    sharing, made = Sharing(axis, split), value.clone(memory_format=torch.contiguous_format)
    wild = sharing.wild(value)
    if dim:
        sharing.along(made, dim, Stream(key), row, wild=wild)
    else:
        sharing.rows(made, Stream(key), row, wild=wild)
    return made


def exact_sum(parts: list[float]) -> Fraction:
    return sum((Fraction(part) for part in parts), Fraction(0))


def interesting(dtype: torch.dtype) -> list[float]:
    """Zeros, powers of two, neighbours of them, ends of the range, normal and subnormal."""
    info = torch.finfo(dtype)
    finest = info.smallest_normal * info.eps
    near = [1.0, 1 + info.eps, 1 - info.eps / 2, 1 / 3, 3.0, 0.1]
    ends = [info.max, info.max / 2, info.smallest_normal, info.smallest_normal * 3]
    tiny = [finest, 2 * finest, 3 * finest, 5 * finest, info.smallest_normal - finest]
    found = [rounded(value, dtype) for value in [0.0, *near, *ends, *tiny]]
    return [sign * value for value in found for sign in (1, -1)]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_copies_sum_to_the_weight_exactly(split: str, dtype: torch.dtype) -> None:
    for count in COPIES:
        for seed, weight in enumerate(interesting(dtype)):
            parts = split_of(weight, count, split, dtype, seed)
            assert all(isfinite(part) for part in parts), (count, weight, parts)
            assert exact_sum(parts) == Fraction(weight), (count, weight, parts)


@pytest.mark.parametrize("split", ["even", "random", "signed", "whole"])
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_any_number_of_copies_sums_exactly(split: str, dtype: torch.dtype) -> None:
    """What rounding leaves to the last of a hundred copies may need more bits than there are."""
    many = 2000 if dtype.itemsize == 2 else 50  # the others' sums are taken as fractions
    weights = torch.randn(many, generator=torch.Generator().manual_seed(0)).to(dtype)
    for count in (33, 100, 700):
        value = weights[:, None].expand(-1, count).clone()
        parts = share(value, 1, copies(count), split, str(count)).double()
        if dtype.itemsize > 2:
            sums = [exact_sum(entry) for entry in parts.tolist()]
            assert sums == [Fraction(weight) for weight in weights.tolist()]
        else:
            assert torch.equal(parts.sum(1), weights.double())


@settings(deadline=None, max_examples=150)
@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(SPLITS),
    st.sampled_from(list(DTYPES.values())),
    st.sampled_from(COPIES),
    st.integers(0, 99),
)
@example(5e-324, "dyadic", torch.float64, 9, 0)
@example(65504.0, "signed", torch.float16, 9, 1)
def test_copies_of_any_weight_sum_to_it_exactly(
    weight: float, split: str, dtype: torch.dtype, count: int, seed: int
) -> None:
    weight = rounded(weight, dtype)
    parts = split_of(weight, count, split, dtype, seed)
    if isfinite(weight):
        assert exact_sum(parts) == Fraction(weight)
    else:
        assert sum(parts) == weight


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_what_is_not_finite_goes_to_one_copy(split: str, dtype: torch.dtype) -> None:
    for count in COPIES:
        for weight in (float("inf"), float("-inf"), float("nan")):
            parts = split_of(weight, count, split, dtype)
            odd = [part for part in parts if not isfinite(part)]
            assert len(odd) == 1
            assert isnan(odd[0]) if isnan(weight) else isinf(odd[0]) and odd[0] == weight
            assert sum(part == 0 for part in parts) == count - 1


@pytest.mark.parametrize("count", COPIES)
def test_even_shares_are_alike_but_for_rounding(count: int) -> None:
    for dtype in DTYPES.values():
        weight = rounded(0.7, dtype)
        parts = split_of(weight, count, "even", dtype)
        grid = weight * torch.finfo(dtype).eps * count
        assert max(parts) - min(parts) <= grid


@pytest.mark.parametrize("count", COPIES)
def test_dyadic_shares_are_powers_of_two(count: int) -> None:
    halves = [2.0**-k for k in range(1, count)]
    for dtype in DTYPES.values():
        weight = rounded(0.7, dtype)
        assert split_of(weight, count, "dyadic", dtype) == [
            weight * power for power in (*halves, halves[-1])
        ]


def test_random_shares_take_nothing_from_one_another() -> None:
    for count in COPIES:
        for dtype in DTYPES.values():
            weight = rounded(0.7, dtype)
            grid = weight * torch.finfo(dtype).eps * count
            for seed in range(20):
                parts = split_of(weight, count, "random", dtype, seed)
                assert min(parts) >= -grid
                assert max(parts) <= weight + grid


def test_signed_shares_take_either_sign_and_stay_of_the_weights_size() -> None:
    drawn = [split_of(0.7, 3, "signed", torch.float64, seed) for seed in range(200)]
    assert any(min(parts) < 0 for parts in drawn)
    assert all(abs(part) < 10 * 0.7 for parts in drawn for part in parts)


def test_whole_gives_each_entry_to_one_copy_and_leaves_none_out() -> None:
    axis = copies(3, weights=50)
    weights = torch.linspace(1, 2, 50, dtype=torch.float64)
    value = weights[torch.tensor(axis.index)].repeat(4, 1)
    parts = share(value, 1, axis, "whole").unflatten(1, (3, 50))
    assert torch.equal((parts != 0).sum(1), torch.ones(4, 50, dtype=torch.long))
    assert torch.equal(parts.sum(1), weights.repeat(4, 1))
    assert all(float((parts[:, c] != 0).double().mean()) > 0.1 for c in range(3))


@pytest.mark.parametrize("split", ["random", "signed", "whole"])
def test_every_entry_of_a_reader_draws_its_own_shares(split: str) -> None:
    value = torch.ones(64, 2, dtype=torch.float64)
    parts = share(value, 1, copies(2), split)
    assert len(parts[:, 0].unique()) > (1 if split == "whole" else 40)


@pytest.mark.parametrize("split", ["random", "signed", "whole"])
def test_shares_follow_from_the_key(split: str) -> None:
    weight = rounded(0.7, torch.float32)
    first, again, other = (split_of(weight, 4, split, torch.float32, seed) for seed in (1, 1, 3))
    assert first == again
    assert other != first


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 4), st.integers(0, 7), st.sampled_from(SPLITS), st.sampled_from([0, 1, 2]),
    st.sampled_from(list(DTYPES.values())), st.sampled_from(["duplicate", "fresh", "even"]),
)  # fmt: skip
def test_uneven_groups_along_any_axis_sum_exactly(
    before: int, more: int, split: str, dim: int, dtype: torch.dtype, kind: str
) -> None:
    """Groups of several sizes on one axis, of a width inside a product; new features get none."""
    width = Width("w")
    after = before * (1 + more % 3) if kind == "even" else before + more
    mapper = Mapper({width: expand(kind, before, after, "k")}, {width: before})  # type: ignore[arg-type]
    axis = mapper.axis(product(Number(2), width), "read")
    shape = [3, 3, 3]
    shape[dim] = axis.before
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(before)).to(dtype)
    value = weight.index_select(dim, torch.tensor(axis.index))
    shared = share(value, dim, axis, split).double()
    assert torch.equal(summed(shared, dim, axis, weight.double()), weight.double())


def summed(parts: Tensor, dim: int, axis: AxisMap, like: Tensor) -> Tensor:
    """What the copies add up to (float64 adds a few numbers of half the precision exactly)."""
    copied = [j for j in range(axis.after) if axis.code[j] == 0]
    at = torch.tensor([axis.index[j] for j in copied])
    found = torch.zeros_like(like)
    return found.index_add(dim, at, parts.index_select(dim, torch.tensor(copied)))


def test_a_weight_without_copies_is_left_alone() -> None:
    axis = copies(1, weights=4)
    value = torch.tensor([1.0, float("nan"), 5e-324, -0.0], dtype=torch.float64)
    found = share(value, 0, axis, "even")
    assert torch.equal(found.view(torch.int64), value.view(torch.int64))


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(SPLITS), st.sampled_from(list(DTYPES.values())))
def test_a_row_s_shares_do_not_depend_on_the_rows_beside_it(
    data: st.DataObject, split: str, dtype: torch.dtype
) -> None:
    """Along any axis, for runs of weights and for scattered ones."""
    before, more = data.draw(st.integers(1, 40)), data.draw(st.integers(0, 60))
    width = Width("w")
    grown = expand("duplicate", before, before + more, "k")
    axis = Mapper({width: grown}, {width: before}).axis(width, "read")
    dim = data.draw(st.integers(0, 2))
    shape = [5, 4, 3]
    shape[dim] = axis.before
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(before)).to(dtype)
    value = weight.index_select(dim, torch.tensor(axis.index))
    whole = share(value, dim, axis, split)
    cut = data.draw(st.integers(0, len(value)))
    parts = [share(value[:cut], dim, axis, split), share(value[cut:], dim, axis, split, row=cut)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("count", COPIES)
def test_copies_along_rows_sum_exactly_too(split: str, count: int) -> None:
    axis, weight = copies(count, 30), torch.randn(30, 7, dtype=torch.float64)
    value = weight[torch.tensor(axis.index)]
    parts = share(value, 0, axis, split).view(count, 30, 7)
    for row in range(30):
        for column in range(7):
            found = exact_sum(parts[:, row, column].tolist())
            assert found == Fraction(float(weight[row, column]))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("count", [2, 3, 4, 5, 8])
def test_each_copy_s_share_is_one_in_so_many_on_average(split: str, count: int) -> None:
    value = torch.ones(20_000, count, dtype=torch.float64)
    mean = share(value, 1, copies(count), split).mean(0)
    wanted = torch.full((count,), 1 / count, dtype=torch.float64)
    if split == "dyadic":
        wanted = torch.tensor([2.0 ** -min(k, count - 1) for k in range(1, count + 1)]).double()
    assert torch.allclose(mean, wanted, atol=0.03)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("weight", [0.0, -0.0])
def test_copies_of_a_zero_sum_to_a_zero_of_its_sign(split: str, weight: float) -> None:
    for count in (2, 3):
        parts = share(torch.full((50, count), weight), 1, copies(count), split)
        total = parts[:, 0]
        for k in range(1, count):
            total = total + parts[:, k]
        assert torch.equal(total.signbit(), torch.full((50,), weight).signbit())
