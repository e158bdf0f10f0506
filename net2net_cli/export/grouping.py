"""Which layers make up a module of their own: by their names, where the flow of values allows it.

The layers below a common prefix are a *unit*, a module with a ``forward``, unless a value leaves
them and comes back, or too many values go in or out. Then they are called one by one from the unit
around them, and the prefix is a mere container.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from net2net_cli.export.joins import growing
from net2net_cli.export.layers import is_function
from net2net_cli.network import Layer, Spec

MOST = 3
"""So many values may enter a unit, and leave it."""


@dataclass(frozen=True)
class Unit:
    """Layers and units below one prefix (``""``: the network), in an order in which they run.

    ``inputs`` and ``outputs`` are values by their full names: of layers, or of the network's
    inputs.
    """

    path: str
    items: tuple[Layer | Unit, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its prefix, as a layer's name."""
        return self.path

    def within(self, path: str) -> str:
        """A full name without the unit's own prefix; empty for a layer that has the unit's name."""
        return path if not self.path else path[len(self.path) + 1 :]


def reads(item: Layer | Unit) -> tuple[str, ...]:
    """The values that it reads."""
    return item.inputs


def writes(item: Layer | Unit) -> tuple[str, ...]:
    """The values that it gives."""
    return item.outputs if isinstance(item, Unit) else (item.name,)


def units_of(unit: Unit) -> Iterator[Unit]:
    """The units within one and the unit itself, inner ones first."""
    for item in unit.items:
        if isinstance(item, Unit):
            yield from units_of(item)
    yield unit


def group(spec: Spec, tied: Mapping[str, frozenset[str]]) -> Unit:
    """The network as a unit. ``tied`` names, for some layers, those whose tensors they use, and
    which therefore belong to the same unit. Layers that no output depends on are left out."""
    inputs = tuple(given.name for given in spec.inputs)
    layers, joins = growing(_used(spec))
    return _Grouping(tied, joins).unit("", layers, inputs, spec.outputs)


def _used(spec: Spec) -> list[Layer]:
    wanted = set(spec.outputs)
    for layer in reversed(spec.layers):
        if layer.name in wanted:
            wanted.update(layer.inputs)
    return [layer for layer in spec.layers if layer.name in wanted]


def is_below(name: str, path: str) -> bool:
    """Whether a layer has that prefix, or is called so itself."""
    return name == path or name.startswith(f"{path}.")


class _Grouping:
    def __init__(self, tied: Mapping[str, frozenset[str]], growing: frozenset[str]) -> None:
        self.tied, self.growing = tied, growing

    def unit(
        self, path: str, layers: list[Layer], inputs: tuple[str, ...], outputs: tuple[str, ...]
    ) -> Unit:
        blocks: dict[str, Layer | Unit] = {layer.name: layer for layer in layers}
        self._contract(path, layers, blocks, set(outputs))
        return Unit(path, tuple(_ordered(blocks)), inputs, outputs)

    def _contract(
        self,
        path: str,
        layers: Sequence[Layer],
        blocks: dict[str, Layer | Unit],
        wanted: set[str],
    ) -> None:
        """Put units in the place of layers of ``blocks``, where they can be."""
        for prefix in _prefixes(path, layers):
            inside = [layer for layer in layers if is_below(layer.name, prefix)]
            entering = self._inside_out(inside)
            own = [layer for layer in inside if layer not in entering]
            made = self._contracted(prefix, own, blocks, wanted)
            if made is None:
                self._contract(prefix, inside, blocks, wanted)
                continue
            for layer in own:
                del blocks[layer.name]
            blocks[prefix] = made

    def _contracted(
        self,
        prefix: str,
        inside: list[Layer],
        blocks: Mapping[str, Layer | Unit],
        wanted: set[str],
    ) -> Unit | None:
        """The unit of those layers, or None where they cannot be one."""
        names = {layer.name for layer in inside}
        if all(is_function(layer) for layer in inside):
            return None
        if any(not self.tied.get(name, frozenset()) <= names for name in names):
            return None
        others = [block for key, block in blocks.items() if key not in names]
        read = {value for block in others for value in reads(block)} | wanted
        inputs = dict.fromkeys(v for layer in inside for v in layer.inputs if v not in names)
        outputs = tuple(layer.name for layer in inside if layer.name in read)
        if not 1 <= len(inputs) <= MOST or not 1 <= len(outputs) <= MOST:
            return None
        if _comes_back(set(outputs), set(inputs), others):
            return None
        return self.unit(prefix, inside, tuple(inputs), outputs)

    def _inside_out(self, layers: list[Layer]) -> list[Layer]:
        """Joins of values that are all from elsewhere, and many or more each time: better said
        where those values are."""
        names = {layer.name for layer in layers}
        return [
            layer
            for layer in layers
            if is_function(layer)
            and (len(set(layer.inputs)) > MOST or layer.name in self.growing)
            and not names & set(layer.inputs)
        ]


def _prefixes(path: str, layers: Sequence[Layer]) -> list[str]:
    """The prefixes one part longer than ``path`` that are groups."""
    start = len(path) + 1 if path else 0
    found: dict[str, None] = {}
    for layer in layers:
        part, dot, _ = layer.name[start:].partition(".")
        if dot and len(layer.name) > start:
            found[layer.name[:start] + part] = None
    return list(found)


def _comes_back(outputs: set[str], inputs: set[str], others: Sequence[Layer | Unit]) -> bool:
    """Whether a value goes from ``outputs`` through ``others`` to one of ``inputs``."""
    readers: dict[str, list[Layer | Unit]] = {}
    for block in others:
        for value in reads(block):
            readers.setdefault(value, []).append(block)
    reached, waiting = set(outputs), list(outputs)
    while waiting:
        for block in readers.get(waiting.pop(), []):
            new = set(writes(block)) - reached
            reached |= new
            waiting += new
    return bool(reached & inputs)


def _ordered(blocks: Mapping[str, Layer | Unit]) -> Iterator[Layer | Unit]:
    """The blocks in an order in which they can run, as near to the given one as possible."""
    waiting = list(blocks.values())
    missing = {value for block in waiting for value in writes(block)}
    while waiting:
        ready = next(block for block in waiting if not missing & set(reads(block)))
        waiting.remove(ready)
        missing -= set(writes(ready))
        yield ready
