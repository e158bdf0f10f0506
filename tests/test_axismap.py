"""Axis maps and what is made with them, against dense matrices in float64.

Whatever the expansions, shares and splits: a grown tensor W' that is read with the grown features
must give the grown outputs, W' . E_in = E_out . W.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import torch
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st

from net2net_cli.axes import Axis, Number, Width, product, total, widths
from net2net_cli.axismap import AxisMap, Code, Mapper, product_map
from net2net_cli.execute import Executor
from net2net_cli.expansion import KINDS, SPLITS, Expansion, expand
from net2net_cli.layout import Factor, shape_of
from net2net_cli.recipe import Copy, Filling, Recipe
from tests.support.dense import Matrix, along, applied, dense_encode
from tests.support.memory import MemorySource

A, B, C = WIDTHS = (Width("a"), Width("b"), Width("c"))
SIZES = {A: 2, B: 3, C: 4}


@st.composite
def axes(draw: st.DrawFn, depth: int = 2) -> Axis:
    """An expression over a, b and c."""
    if not depth or draw(st.booleans()):
        return draw(st.sampled_from([*WIDTHS, *WIDTHS, Number(1), Number(2)]))
    parts = draw(st.lists(axes(depth - 1), min_size=2, max_size=2))
    return draw(st.sampled_from([product, total]))(*parts)


@st.composite
def expansions(draw: st.DrawFn, kinds: Sequence[str] = KINDS) -> Mapping[Width, Expansion]:
    """For each width an expansion, or none."""
    found = {}
    for width, size in SIZES.items():
        if draw(st.booleans()):
            kind = draw(st.sampled_from(kinds))
            more = draw(st.integers(0, 4))
            after = size * (1 + more % 3) if kind == "even" else size + more
            found[width] = expand(kind, size, after, width.name)
    return found


def encodes(grown: Mapping[Width, Expansion], *, settled: bool = False) -> dict[Width, Matrix]:
    """E of every width; behind a norm (``settled``) new features that hold the mean are zero."""
    rng = np.random.default_rng(1)
    found = {w: dense_encode(e, rng) for w, e in grown.items()}
    for w, e in grown.items():
        if settled and e.kind == "mean":
            found[w][e.before :] = 0
    return found


def drawn_shares(m: AxisMap, rng: np.random.Generator) -> Matrix:
    """A reader's matrix, ``[before, after]``, that shares every old weight among its copies."""
    found = np.zeros((m.before, m.after))
    for group in set(m.group):
        at = [j for j in range(m.after) if m.group[j] == group and m.code[j] == Code.COPY]
        if at:
            shares = rng.uniform(0.5, 1.5, len(at))
            found[[m.index[j] for j in at], at] = shares / shares.sum()
    for j in range(m.after):
        if m.code[j] == Code.ANYTHING:
            found[:, j] = rng.normal(size=m.before)
    return found


@given(axes(), expansions())
def test_a_writers_map_is_the_dense_matrix(axis: Axis, grown: Mapping[Width, Expansion]) -> None:
    m, dense = Mapper(grown, SIZES).axis(axis, "write"), along(axis, encodes(grown), SIZES)
    assert (m.after, m.before) == dense.shape
    for j, code in enumerate(m.code):
        row = np.zeros(m.before)
        if code == Code.COPY:
            row[m.index[j]] = 1
        elif code == Code.MEAN:
            row[list(m.means[j])] = 1 / len(m.means[j])
        if code != Code.FRESH:
            np.testing.assert_allclose(dense[j], row)


@given(axes(), expansions(), st.booleans(), st.integers(0, 9))
def test_a_readers_map_undoes_the_dense_matrix(
    axis: Axis, grown: Mapping[Width, Expansion], settled: bool, seed: int
) -> None:
    m = Mapper(grown, SIZES, settled).axis(axis, "read")
    shared = drawn_shares(m, np.random.default_rng(seed))
    dense = along(axis, encodes(grown, settled=settled), SIZES)
    np.testing.assert_allclose(shared @ dense, np.eye(m.before), atol=1e-12)


@given(axes(), expansions(["duplicate", "even"]))
def test_copies_after_the_first_are_marked_for_noise(
    axis: Axis, grown: Mapping[Width, Expansion]
) -> None:
    m = Mapper(grown, SIZES).axis(axis, "write")
    first = {n: m.index.index(n) for n in m.index}
    for j, again in enumerate(m.repeats):
        assert again or first[m.index[j]] == j or not any(m.repeats)
        assert not (again and m.repeats[first[m.index[j]]])


@given(axes(), axes(), expansions())
def test_the_map_of_a_product_is_composed_of_its_factors_maps(
    outer: Axis, inner: Axis, grown: Mapping[Width, Expansion]
) -> None:
    mapper = Mapper(grown, SIZES)
    whole = product_map([mapper.axis(axis, "write") for axis in (outer, inner)])
    same = mapper.axis(product(outer, inner), "write")
    assert (whole.index, whole.code) == (same.index, same.code)


@given(axes())
def test_an_axis_without_growth_is_left_alone(axis: Axis) -> None:
    m = Mapper({}, SIZES).axis(axis, "read")
    assert m.trivial
    assert not m.shares
    assert m.index == tuple(range(m.before))
    assert set(m.code) <= {Code.COPY}


# Whole tensors

Axes = tuple[tuple[Factor, ...], ...]


@st.composite
def tensors(draw: st.DrawFn) -> Axes:
    """One to three axes, each of one or two factors with roles of their own."""
    roles = st.sampled_from(["write", "read"])
    factor = st.builds(Factor, axes(1), roles)
    axis = st.lists(factor, min_size=1, max_size=2).map(tuple)
    return tuple(draw(st.lists(axis, min_size=1, max_size=3)))


def made(
    tensor: Axes, grown: Mapping[Width, Expansion], old: Matrix, split: str, *, settled: bool
) -> Matrix:
    """The grown tensor as the program makes it."""
    mapper = Mapper(grown, SIZES, settled)
    maps = tuple(product_map([mapper.axis(f.axis, f.role) for f in side]) for side in tensor)
    recipe = Recipe(
        name="w", dtype="float64", shape=tuple(m.after for m in maps), base=Copy("w"), axes=maps,
        filling=Filling("uniform", 0.5, 0.0), split=split, noise=0.0, scale=1.0, key="0/w",
    )  # fmt: skip
    return Executor(MemorySource({"w": torch.from_numpy(old)})).make(recipe).numpy()


def mixes(side: tuple[Factor, ...]) -> bool:
    return len({f.role for f in side}) > 1


def means(side: tuple[Factor, ...], grown: Mapping[Width, Expansion]) -> bool:
    """Whether a written factor grows by its mean: the groups of a convolution, which stand beside
    what it reads, never do."""
    written = {w for f in side if f.role == "write" for w in widths(f.axis)}
    return any(grown[w].kind == "mean" for w in written & grown.keys())


def side_matrix(
    side: tuple[Factor, ...],
    role: str,
    matrices: Mapping[Width, Matrix],
    sizes: Mapping[Width, int],
) -> Matrix:
    """The matrix of one tensor axis that holds E for factors in a role, identities for others."""
    found = np.eye(1)
    for factor in side:
        own = matrices if factor.role == role else {}
        found = np.kron(found, along(factor.axis, own, sizes))
    return found


@settings(deadline=None, max_examples=200)
@given(tensors(), expansions(), st.sampled_from(SPLITS), st.booleans(), st.integers(0, 9))
def test_a_grown_tensor_reads_grown_features_and_writes_grown_ones(
    tensor: Axes, grown: Mapping[Width, Expansion], split: str, settled: bool, seed: int
) -> None:
    note(f"{grown}")
    after = {w: grown[w].after if w in grown else n for w, n in SIZES.items()}
    assume(prod(shape_of(tensor, after)) < 5000)
    assume(not any(mixes(side) and means(side, grown) for side in tensor))
    rng = np.random.default_rng(seed)
    old = rng.normal(size=shape_of(tensor, SIZES))
    new = made(tensor, grown, old, split, settled=settled)
    given_features, wanted = new, old
    for dim, side in enumerate(tensor):
        reads = side_matrix(side, "read", encodes(grown, settled=settled), after)
        given_features = applied(reads.T, given_features, dim)
        wanted = applied(side_matrix(side, "write", encodes(grown), SIZES), wanted, dim)
    for dim, side in enumerate(tensor):
        kept = known_rows(side, grown)
        given_features, wanted = given_features.take(kept, dim), wanted.take(kept, dim)
    np.testing.assert_allclose(given_features, wanted, atol=1e-11)


def known_rows(side: tuple[Factor, ...], grown: Mapping[Width, Expansion]) -> list[int]:
    """Positions that no fresh unit writes, with read factors at their old size."""
    found = [0]
    for factor in side:
        own = grown if factor.role == "write" else {}
        m = Mapper(own, SIZES).axis(factor.axis, "write")
        fresh = [code == Code.FRESH for code in m.code]
        found = [i * m.after + j for i in found for j in range(m.after) if not fresh[j]]
    return found


def test_a_width_that_is_all_new_copies_nothing() -> None:
    new = Width("new")
    m = Mapper({new: expand("fresh", 0, 3, "")}, {new: 0, A: 2}).axis(total(A, new), "read")
    assert m.before == 2
    assert m.code == (Code.COPY, Code.COPY, Code.BLANK, Code.BLANK, Code.BLANK)
    assert all(index < 2 for index in m.index)


def test_widths_that_repeat_grow_alike_wherever_they_stand() -> None:
    grown = {A: expand("duplicate", 2, 3, "")}
    m = Mapper(grown, SIZES).axis(total(A, Number(1), A), "write")
    assert m.index[:3] == tuple(i for i in grown[A].index)
    assert m.index[4:] == tuple(i + 3 for i in grown[A].index)
    assert list(widths(total(A, Number(1), A))) == [A, A]
