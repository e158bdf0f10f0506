"""Where the values of a weight come from: a tensor of the file, or others put together.

A place knows how to make a tensor in the file's own dtype, and makes no more of it than is asked
for: one expert of those that a library stacks is read by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

_aten = torch.ops.aten

_STACK, _CAT = _aten.stack.default, _aten.cat.default
_SAME = (_aten.alias.default, _aten.detach.default, _aten.clone.default)


@dataclass(frozen=True)
class Stored:
    """A tensor of the file."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]

    def value(self) -> Tensor:
        """It, on the CPU; it shares the file's memory where it can."""
        return self.read()


@dataclass(frozen=True)
class Moved:
    """What a function of torch that only puts values elsewhere makes of other places."""

    shape: tuple[int, ...]
    function: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def value(self) -> Tensor:
        """It, on the CPU."""
        args, kwargs = tree_map_only(
            (Stored, Moved), lambda place: place.value(), (self.args, dict(self.kwargs))
        )
        made: Tensor = self.function(*args, **kwargs)
        return made


Place = Stored | Moved


def selected(place: Place, dim: int, index: int) -> Place:
    """``place.select(dim, index)``; both count from 0."""
    one = narrowed(place, dim, index, index + 1)
    shape = (*place.shape[:dim], *place.shape[dim + 1 :])
    return Moved(shape, _aten.select.int, (one, dim, 0))


def narrowed(place: Place, dim: int, start: int, stop: int) -> Place:
    """Entries ``start`` to ``stop`` of axis ``dim``, of those parts alone that hold some."""
    if (start, stop) == (0, place.shape[dim]):
        return place
    shape = (*place.shape[:dim], stop - start, *place.shape[dim + 1 :])
    if isinstance(place, Moved) and start < stop:
        if place.function in _SAME:
            return narrowed(place.args[0], dim, start, stop)
        if place.function in (_STACK, _CAT):
            parts, along = place.args[0], _along(place)
            kept = _parts(place.function, parts, along, dim, start, stop)
            return Moved(shape, place.function, (kept, along))
    return Moved(shape, _aten.slice.Tensor, (place, dim, start, stop))


def _parts(
    function: Any, parts: Sequence[Place], along: int, dim: int, start: int, stop: int
) -> list[Place]:
    """Of what is put together along ``along``: what falls between ``start`` and ``stop``."""
    if dim != along:
        within = dim - (dim > along) if function is _STACK else dim
        return [narrowed(part, within, start, stop) for part in parts]
    if function is _STACK:
        return list(parts[start:stop])
    ends = accumulate((part.shape[dim] for part in parts), initial=0)
    return [
        narrowed(part, dim, max(start, first) - first, min(stop, last) - first)
        for part, (first, last) in zip(parts, pairwise(ends), strict=True)
        if max(start, first) < min(stop, last)
    ]


def _along(place: Moved) -> int:
    dim = place.args[1] if len(place.args) > 1 else place.kwargs.get("dim", 0)
    return int(dim) % len(place.shape)
