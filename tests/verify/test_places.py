"""Parts of weights: the values that slices of the whole have, and no more of the file is read."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from net2net_cli.io.tensors import raw_bytes
from net2net_cli.verify import places
from net2net_cli.verify.places import Moved, Place, Stored, looked_up, narrowed

_aten = torch.ops.aten


class File:
    """A tensor as a file holds it; ``read`` are the bytes that were asked for."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self.read = tensor, 0
        self.place = Stored(tuple(tensor.shape), tensor.dtype, self.fill)

    def fill(self, at: int, into: memoryview) -> None:
        assert at + len(into) <= self.tensor.nbytes
        into[:] = raw_bytes(self.tensor)[at : at + len(into)]
        self.read += len(into)


TURNS = (
    (_aten.transpose.int, (0, 2), lambda t: t.transpose(0, 2)),
    (_aten.transpose.int, (-1, 1), lambda t: t.transpose(-1, 1)),
    (_aten.permute.default, ([2, 0, 1],), lambda t: t.permute(2, 0, 1)),
    (_aten.permute.default, ([-2, -1, 0],), lambda t: t.permute(-2, -1, 0)),
    (_aten.alias.default, (), lambda t: t),
)


@given(st.data(), st.sampled_from([0, 2**14]))
def test_narrowed_over_and_over_is_what_narrow_gives(data: st.DataObject, waste: int) -> None:
    shape = data.draw(st.tuples(*[st.integers(1, 5)] * 3))
    value = torch.arange(torch.Size(shape).numel(), dtype=torch.int16).view(shape)
    place: Place = File(value).place
    before, places.WASTE = places.WASTE, waste
    try:
        for _ in range(data.draw(st.integers(1, 5))):
            if data.draw(st.booleans()):
                function, args, turn = data.draw(st.sampled_from(TURNS))
                value = turn(value)
                place = Moved(tuple(value.shape), function, (place, *args))
            dim = data.draw(st.integers(0, 2))
            start = data.draw(st.integers(0, value.shape[dim] - 1))
            stop = data.draw(st.integers(start + 1, value.shape[dim]))
            value, place = value[(slice(None),) * dim + (slice(start, stop),)], narrowed(
                place, dim, start, stop
            )  # fmt: skip
            assert tuple(place.shape) == tuple(value.shape)
            assert torch.equal(place.value(), value)
    finally:
        places.WASTE = before


@pytest.mark.parametrize(("waste", "read"), [(0, 1), (2**14, 4)])
def test_of_a_matrix_only_its_part_is_read(
    waste: int, read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "WASTE", waste)
    file = File(torch.randn(8, 12))
    rows = Moved((12, 8), _aten.t.default, (file.place,))
    assert torch.equal(narrowed(rows, 1, 2, 4).value(), file.tensor.t()[:, 2:4])
    assert file.read == 2 * 12 * 4
    file.read = 0
    assert torch.equal(narrowed(file.place, 1, 3, 6).value(), file.tensor[:, 3:6])
    assert file.read == 8 * 3 * 4 * read


def test_rows_are_looked_up_once_each() -> None:
    file = File(torch.randn(50, 3))
    ids = torch.tensor([[7, 7, 0], [49, 0, 7]])
    assert torch.equal(looked_up(file.place, ids), file.tensor[ids])
    assert file.read == 3 * 3 * 4
    assert looked_up(file.place, ids[:0]).shape == (0, 3, 3)
    turned = Moved((3, 50), _aten.t.default, (file.place,))
    assert torch.equal(looked_up(turned, ids % 3), file.tensor.t()[ids % 3])


@pytest.mark.parametrize("row", [-1, 50])
def test_a_row_that_is_not_there_is_an_error(row: int) -> None:
    with pytest.raises(IndexError, match="a row of 50"):
        looked_up(File(torch.randn(50, 3)).place, torch.tensor([0, row]))
