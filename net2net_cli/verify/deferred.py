"""A checkpoint's tensors, read when they are used: networks larger than memory run on them.

A `Deferred` has a shape and a dtype, but no memory. Where its values are only put elsewhere or cast
(``t``, ``stack``, ``to``), another one arises that knows how; where something is computed, it is
read from the file, takes part as an ordinary tensor, and is let go of again. So a library may
rename, merge and cut weights as it likes when it loads them, and a network needs the memory of one
weight at a time. Of a large matrix, or a table of embeddings, it needs not even that: a product's
columns come piece by piece, and rows are looked up in the table as it is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import accumulate, pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from net2net_cli.io import Readable
from net2net_cli.verify.division import fill
from net2net_cli.verify.places import Moved, Place, Stored, looked_up, narrowed, selected
from net2net_cli.verify.reading import reading

PIECE = 2**20
"""Entries of a matrix that take part in a product at a time. In float64 they are 8 MB: near the
processor still when they are multiplied, in memory that the next piece uses again. More would be
fetched anew each time, which takes twice as long as the product of a few rows."""

_aten = torch.ops.aten

TO = _aten._to_copy.default  # noqa: SLF001   what `to` is below
_UNSAFE_VIEW = _aten._unsafe_view.default  # noqa: SLF001   and `reshape`, where it copies

_MOVES = frozenset(
    {
        _aten.alias.default, _aten.detach.default, _aten.clone.default,
        _aten.t.default, _aten.transpose.int, _aten.permute.default,
        _aten.view.default, _UNSAFE_VIEW,
        _aten.unsqueeze.default, _aten.squeeze.default, _aten.squeeze.dim, _aten.squeeze.dims,
        _aten.cat.default, _aten.stack.default,
    }
)  # fmt: skip
"""Functions that put values elsewhere, which is the same before a cast and after it."""


class Deferred(Tensor):
    """See the module. A function that would write to one is an error."""

    place: Place
    held: torch.dtype
    """The dtype in the file."""
    casts: tuple[torch.dtype, ...]
    """What it is cast to, one after the other."""

    # As torch advises for those that take care of what is below, which is all that they do.
    __torch_function__: Any = torch._C._disabled_torch_function_impl  # noqa: SLF001

    def ordinary(self) -> Tensor:
        """The tensor itself, brought in."""
        return bring_in(self, self.place.value())

    @property
    def stored_bytes(self) -> int:
        """What it takes in the file."""
        return self.numel() * self.held.itemsize

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        """What it is; not its values, which may be many."""
        return f"Deferred({list(self.shape)}, {self.dtype})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Every function of torch that is given one comes here."""
        kwargs = kwargs or {}
        if func in _MOVES and (moved := _moved(func, args, kwargs)) is not None:
            return moved
        if (own := _OWN.get(func)) and isinstance(
            made := own(*args, **kwargs), Tensor | list | bool
        ):
            return made
        _check_reads(func, args)
        args, kwargs = tree_map_only(Deferred, Deferred.ordinary, (args, kwargs))
        return func(*args, **kwargs)


def deferred(source: Readable) -> dict[str, Tensor]:
    """Every tensor of a checkpoint by its name; the source must stay open."""
    found: dict[str, Tensor] = {}
    for name, info in source.tensors.items():
        dtype = getattr(torch, info.dtype)
        like = torch.empty(info.shape, dtype=dtype, device="meta")
        place = Stored(info.shape, dtype, partial(source.read, name))
        found[name] = _make(like, place, dtype, (), torch.device("cpu"))
    return found


def ordinary(tensor: Tensor) -> Tensor:
    """An ordinary tensor of any."""
    return tensor.ordinary() if isinstance(tensor, Deferred) else tensor


def weight_bytes(network: nn.Module) -> int:
    """The bytes that one pass of a network reads: all but tables that rows are looked up in."""
    used = {
        id(weight): weight.stored_bytes
        for module in network.modules()
        if not isinstance(module, nn.Embedding)
        for weight in module.parameters(recurse=False)
        if isinstance(weight, Deferred)
    }
    return sum(used.values())


def bring_in(weight: Deferred, values: Tensor) -> Tensor:
    """Values of ``weight`` as the file holds them -> on its device and in its dtype."""
    reading().read(values.nbytes)
    if weight.device.type == "cuda":  # so that it goes there while the next is read
        with torch.cuda.device(weight.device):
            values = values.pin_memory()
    made = values.to(weight.device, non_blocking=True)
    for dtype in weight.casts:
        made = made.to(dtype)
    return made


def _make(
    like: Tensor, place: Place, held: torch.dtype, casts: tuple[torch.dtype, ...],
    device: torch.device,
) -> Deferred:  # fmt: skip
    """One with the sizes and strides of ``like``."""
    if tuple(like.shape) != tuple(place.shape):
        raise RuntimeError(f"{list(like.shape)} are not the sizes of {list(place.shape)}")
    made: Deferred = Tensor._make_wrapper_subclass(  # noqa: SLF001   the way to make one
        Deferred, like.shape, like.stride(), dtype=casts[-1] if casts else held, device=device
    )
    made.place, made.held, made.casts = place, held, casts
    return made


def _like(weight: Deferred, meta: Tensor, place: Place) -> Deferred:
    return _make(meta, place, weight.held, weight.casts, weight.device)


def _meta(weight: Deferred) -> Tensor:
    return torch.empty_strided(weight.shape, weight.stride(), dtype=weight.dtype, device="meta")


def _moved(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Deferred | None:
    """The Deferred that such a function gives; None where it is not of Deferred alike."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    given = [tensor for tensor in tensors if isinstance(tensor, Deferred)]
    alike = {(weight.held, weight.casts, weight.device) for weight in given}
    if len(given) < len(tensors) or len(alike) > 1:
        return None
    metas = tree_map_only(Deferred, _meta, (args, kwargs))
    meta = func(*metas[0], **metas[1])
    places = tree_map_only(Deferred, lambda weight: weight.place, (args, kwargs))
    return _like(given[0], meta, Moved(tuple(meta.shape), func, *places))


def _cast(
    weight: Deferred, *, dtype: torch.dtype | None = None, device: Any = None, **_: Any
) -> Deferred:
    casts = weight.casts if dtype in (None, weight.dtype) else (*weight.casts, dtype)
    where = weight.device if device is None else torch.device(device)
    return _make(_meta(weight), weight.place, weight.held, casts, where)


def _select(weight: Deferred, dim: int, index: int) -> Deferred:
    meta = _aten.select.int(_meta(weight), dim, index)
    dim %= weight.ndim
    return _like(weight, meta, selected(weight.place, dim, index % weight.shape[dim]))


def _slice(
    weight: Deferred, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Deferred | None:
    if step != 1:
        return None
    meta = _aten.slice.Tensor(_meta(weight), dim, start, end)
    dim %= weight.ndim
    first, last, _ = slice(start, end).indices(weight.shape[dim])
    return _like(weight, meta, narrowed(weight.place, dim, first, max(first, last)))


def _split(weight: Deferred, sizes: int | list[int], dim: int = 0) -> list[Deferred]:
    split = _aten.split.Tensor if isinstance(sizes, int) else _aten.split_with_sizes.default
    metas = split(_meta(weight), sizes, dim)
    ends = [0, *accumulate(meta.shape[dim] for meta in metas)]
    return [
        _like(weight, meta, narrowed(weight.place, dim % weight.ndim, start, stop))
        for meta, start, stop in zip(metas, ends[:-1], ends[1:], strict=True)
    ]


def _unbind(weight: Deferred, dim: int = 0) -> list[Deferred]:
    return [_select(weight, dim, index) for index in range(weight.shape[dim])]


def _pad(weight: Deferred, pad: list[int], *_: Any) -> Deferred | None:
    """By nothing, as transformers does with the bias of a tied head."""
    return None if any(pad) else _moved(_aten.alias.default, (weight,), {})


def _equal(one: Tensor, other: Tensor) -> bool | None:
    """Compared as stored, where casts make none alike that were not."""
    if not (isinstance(one, Deferred) and isinstance(other, Deferred)):
        return None
    if one.held != other.held or {*one.casts, *other.casts} - {torch.float64}:
        return None
    if one.held.itemsize == 1:  # torch compares no float8
        return None
    if one.shape != other.shape:
        return False
    if not one.ndim:
        return torch.equal(one.place.value(), other.place.value())
    step = max(1, PIECE // max(1, prod(one.shape[1:])))
    return all(
        torch.equal(*(narrowed(weight.place, 0, a, b).value() for weight in (one, other)))
        for a, b in pairwise([*range(0, len(one), step), len(one)])
    )


def _embedding(table: Tensor, ids: Tensor, *_: Any, **__: Any) -> Tensor | None:
    """Rows as they are stored, then cast."""
    if not isinstance(table, Deferred):
        return None
    return bring_in(table, looked_up(table.place, ordinary(ids).cpu()))


def _mm(values: Tensor, matrix: Tensor) -> Tensor | None:
    return _product(values, matrix, lambda factor, piece, *_: torch.mm(factor, piece))


def _addmm(
    bias: Tensor, values: Tensor, matrix: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor | None:
    added = ordinary(bias)

    def multiply(factor: Tensor, piece: Tensor, start: int, stop: int) -> Tensor:
        mine = added[..., start:stop] if added.shape[-1] > 1 else added
        return torch.addmm(mine, factor, piece, beta=beta, alpha=alpha)

    return _product(values, matrix, multiply)


def _product(values: Tensor, matrix: Tensor, multiply: Callable[..., Tensor]) -> Tensor | None:
    """``multiply(values, piece, start, stop)`` for some columns of ``matrix`` after the other."""
    if not isinstance(matrix, Deferred):
        return None
    (rows, columns), factor, place = matrix.shape, ordinary(values), matrix.place
    if matrix.numel() <= PIECE:
        return multiply(factor, bring_in(matrix, place.value()), 0, columns)
    step = max(1, PIECE // rows)

    def piece(start: int, stop: int) -> Tensor:
        part = narrowed(place, 1, start, stop).value()
        return multiply(factor, bring_in(matrix, part), start, stop)

    made, before = factor.new_empty(len(factor), columns), reading().done
    fill(made, 1, [*range(0, columns, step), columns], piece)
    reading().read(before + matrix.stored_bytes - reading().done)  # which others have read
    return made


def _check_reads(func: Any, args: tuple[Any, ...]) -> None:
    for declared, given in zip(func._schema.arguments, args, strict=False):  # noqa: SLF001
        writes = declared.alias_info is not None and declared.alias_info.is_write
        if writes and isinstance(given, Deferred):
            raise TypeError(f"{func} would write to a weight of the checkpoint")


_OWN: dict[Any, Callable[..., Any]] = {
    TO: _cast,
    _aten.select.int: _select,
    _aten.slice.Tensor: _slice,
    _aten.split.Tensor: _split,
    _aten.split_with_sizes.default: _split,
    _aten.unbind.int: _unbind,
    _aten.constant_pad_nd.default: _pad,
    _aten.equal.default: _equal,
    _aten.embedding.default: _embedding,
    _aten.mm.default: _mm,
    _aten.addmm.default: _addmm,
}
"""Functions that need less than the whole tensor; None from one of them: it does need that."""
