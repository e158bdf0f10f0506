"""A document as a graph: names resolved, arguments checked, layers in an order that can run."""

from __future__ import annotations

import heapq
from typing import NoReturn

from net2net_cli.errors import SpecError
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.network import Layer, Spec
from net2net_cli.spec.arguments import read_arguments
from net2net_cli.spec.document import Document
from net2net_cli.spec.inputs import read_inputs
from net2net_cli.spec.sharing import with_shares
from net2net_cli.spec.wiring import Wiring, wire


def to_spec(doc: Document) -> Spec:
    """The network that a document describes. Raises SpecError.

    A document with ``extends`` is refused: ``extend`` or ``resolve`` carries that out first.
    """
    if doc.extends is not None:
        raise SpecError(
            f"the spec extends `{doc.extends}`, which is not at hand",
            where=doc.root.at("extends"),
            hint="give the spec that it extends, or write the whole network",
        )
    inputs = read_inputs(doc.root)
    wiring = wire(doc)
    layers = with_shares({name: _layer(name, wiring) for name in wiring.entries}, wiring)
    order = run_order(wiring)
    return Spec(
        inputs, tuple(layers[name] for name in order), wiring.outputs, doc.rename, doc.place
    )


def _layer(name: str, wiring: Wiring) -> Layer:
    entry = wiring.entries[name]
    kind = LAYER_TYPES[entry.type]
    args, places = read_arguments(name, kind, entry.node)
    return Layer(name, kind.name, args, wiring.inputs[name], {}, entry.place, places)


def run_order(wiring: Wiring) -> list[str]:
    """The layers in an order in which they can run: as written, where that is one.

    Raises SpecError, naming the layers of a cycle.
    """
    names = list(wiring.entries)
    written = {name: index for index, name in enumerate(names)}
    readers: dict[str, list[str]] = {name: [] for name in names}
    waiting = dict.fromkeys(names, 0)
    for name, inputs in wiring.inputs.items():
        for source in {s for s in inputs if s in written}:
            readers[source].append(name)
            waiting[name] += 1
    ready = [written[name] for name in names if not waiting[name]]
    order = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        for reader in readers[name]:
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, written[reader])
    if len(order) < len(names):
        _cycle([name for name in names if waiting[name]], wiring)
    return order


def _cycle(stuck: list[str], wiring: Wiring) -> NoReturn:
    """Walk back from a layer that waits to one met before: that is the cycle."""
    among = set(stuck)
    walk = [stuck[0]]
    while walk.count(walk[-1]) < 2:
        walk.append(next(source for source in wiring.inputs[walk[-1]] if source in among))
    cycle = walk[walk.index(walk[-1]) :][::-1]
    shown = cycle if len(cycle) <= 9 else [*cycle[:4], "...", *cycle[-4:]]
    written = list(wiring.entries)
    first = wiring.entries[min(cycle, key=written.index)]
    raise SpecError(
        f"the layers run in a circle: {' -> '.join(shown)}",
        where=first.node.at("inputs") if "inputs" in first.node.entries else first.place,
        hint="let one of them read a layer before it (`inputs:`)",
    )
