"""What lies beside an optimizer in a file: averages of the weights (EMA), and the rest.

An average is told by what it holds: tensors under the names of the network's parameters, as a rule
with a wrapper's prefix, or a list of tensors in their order and shapes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from net2net_cli.io.plain import trouble
from net2net_cli.io.torch_file import wrapper_of
from net2net_cli.optimizer.order import Groups, Shape
from net2net_cli.optimizer.reading import Path

DEPTH = 4
"""So many levels of a file are searched."""


@dataclass(frozen=True)
class Averages:
    """Where an average of the weights lies. ``prefix`` stands before each name; None: it is a list,
    in the order of ``names``."""

    path: Path
    prefix: str | None
    names: tuple[str, ...]


def averages(
    data: Any, shapes: Mapping[str, Shape], groups: Groups, but: Collection[Path]
) -> Iterator[Averages]:
    """Every average of the network's weights, outside of the paths ``but`` and of the weights
    themselves. ``shapes`` are the parameters'."""
    order = tuple(name for group in groups for name in group)
    wrapper = wrapper_of(data)
    yield from _averages(data, shapes, order, {*but, (wrapper,)} if wrapper else but, ())


def _averages(
    data: Any,
    shapes: Mapping[str, Shape],
    order: tuple[str, ...],
    but: Collection[Path],
    path: Path,
) -> Iterator[Averages]:
    if path in but or len(path) > DEPTH:
        return
    if isinstance(data, Mapping):
        prefix = _prefix(data, shapes)
        if prefix is not None and path:
            yield Averages(path, prefix, tuple(shapes))
            return
        for key, value in data.items():
            if isinstance(key, str | int):
                yield from _averages(value, shapes, order, but, (*path, key))
    elif isinstance(data, list | tuple):
        if len(data) == len(order) and all(
            _shape(tensor) == shapes[name] for tensor, name in zip(data, order, strict=True)
        ):
            yield Averages(path, None, order)
            return
        for at, value in enumerate(data):
            yield from _averages(value, shapes, order, but, (*path, at))


def _prefix(data: Mapping[Any, Any], shapes: Mapping[str, Shape]) -> str | None:
    """What stands before the parameters' names; None where not all of them are there."""
    first = next(iter(shapes), None)
    if first is None:
        return None
    for key in data:
        if isinstance(key, str) and (key == first or key.endswith(f".{first}")):
            prefix = key.removesuffix(first)
            if all(_shape(data.get(prefix + name)) == shape for name, shape in shapes.items()):
                return prefix
    return None


def _shape(value: Any) -> Shape | None:
    """The shape of a tensor whose values can be read."""
    from torch import Tensor

    if not isinstance(value, Tensor) or trouble(value):
        return None
    return tuple(value.shape)


def replaced(data: Any, changed: Mapping[Path, Any], left_out: Collection[str]) -> Any:
    """The content with what is under those paths replaced, and keys of its top level left out."""
    return _replaced(data, changed, left_out, ())


def _replaced(data: Any, changed: Mapping[Path, Any], left_out: Collection[str], path: Path) -> Any:
    if path in changed:
        return changed[path]
    inside = any(other[: len(path)] == path for other in changed)
    if not inside:
        return data
    if isinstance(data, Mapping):
        return {
            key: _replaced(value, changed, (), (*path, key))
            for key, value in data.items()
            if key not in left_out
        }
    assert isinstance(data, list | tuple)
    return [_replaced(value, changed, (), (*path, at)) for at, value in enumerate(data)]
