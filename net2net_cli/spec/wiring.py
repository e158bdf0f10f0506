"""Which value feeds which layer: the names that a spec says, looked up innermost group first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from net2net_cli.errors import SpecError, closest
from net2net_cli.spec.document import Document
from net2net_cli.spec.inputs import input_names
from net2net_cli.spec.names import join
from net2net_cli.spec.tree import Items, Scalar, Table
from net2net_cli.spec.walk import Entry, Found, Ref, walk


@dataclass(frozen=True)
class Wiring:
    """The edges of a document: ``inputs`` by layer name; ``ends`` are the values of groups."""

    doc: Document
    entries: Mapping[str, Entry]
    ends: Mapping[str, Ref]
    network_inputs: tuple[str, ...]
    inputs: Mapping[str, tuple[str, ...]]
    outputs: tuple[str, ...]


def walked(doc: Document) -> Mapping[str, Entry]:
    """The layers of a document by name, without its edges."""
    names = input_names(doc.root)
    found = Found(reserved=frozenset({"input", *names}))
    walk(doc.layers, _feed(doc, names), found)
    return found.entries


def _feed(doc: Document, names: Sequence[str]) -> Ref | None:
    """What the first layer reads: the network's input where it has one."""
    return Ref(names[0], ("",), doc.place) if len(names) == 1 else None


def wire(doc: Document) -> Wiring:
    """The edges of a document. Raises SpecError for names that lead nowhere or twice."""
    names = input_names(doc.root)
    found = Found(reserved=frozenset({"input", *names}))
    if len(names) == 1 and names[0] != "input":
        found.ends["input"] = Ref(names[0], ("",), doc.place)
    last = walk(doc.layers, _feed(doc, names), found)
    if not found.entries or last is None:
        raise SpecError(
            "the spec has no layers",
            where=doc.root.at("layers"),
            hint="write `fc1: {type: Linear, out_features: 10}` below `layers:`",
        )
    wiring = Wiring(doc, found.entries, found.ends, names, {}, ())
    inputs = {
        entry.name: tuple(value_of(wiring, ref, f"{entry.name} reads") for ref in entry.reads)
        for entry in found.entries.values()
    }
    outputs = tuple(value_of(wiring, ref) for ref in _outputs(doc.root, last))
    return replace(wiring, inputs=inputs, outputs=outputs)


def value_of(wiring: Wiring, ref: Ref, sayer: str = "") -> str:
    """The layer or network input that a reference means.

    Raises SpecError where it means none; ``sayer`` begins the message (``fc reads``).
    """
    seen: set[str] = set()
    while True:
        name = _lookup(wiring, ref)
        if name is None:
            _missing(wiring, ref, sayer)
        if name in wiring.entries or name in wiring.network_inputs:
            return name
        if name in seen:
            raise SpecError(
                f"`{ref.text}` is fed by itself",
                where=ref.place,
                hint="let `inputs:` name a layer before it",
            )
        seen.add(name)
        ref = wiring.ends[name]


def _lookup(wiring: Wiring, ref: Ref) -> str | None:
    for scope in ref.scopes:
        name = join(scope, ref.text)
        known = name in wiring.entries or name in wiring.ends
        if known or (not scope and name in wiring.network_inputs):
            return name
    return None


def _missing(wiring: Wiring, ref: Ref, sayer: str) -> NoReturn:
    names = [*wiring.entries, *wiring.ends, *wiring.network_inputs]
    inner = [n[len(s) + 1 :] for s in ref.scopes if s for n in names if n.startswith(f"{s}.")]
    first = f"{sayer} `{ref.text}`, which" if sayer else f"`{ref.text}`"
    raise SpecError(
        f"{first} does not exist",
        where=ref.place,
        hint=closest(ref.text, [*dict.fromkeys([*inner, *names])])
        or f"there are {_some(list(wiring.network_inputs) + list(wiring.entries))}",
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _outputs(root: Table, last: Ref) -> tuple[Ref, ...]:
    node = root.entries.get("outputs")
    if node is None:
        return (last,)
    items = node.items if isinstance(node, Items) else (node,)
    refs = [Ref(i.text, ("",), i.place) for i in items if isinstance(i, Scalar) and i.text]
    if not refs or len(refs) != len(items):
        raise SpecError(
            "`outputs` names layers",
            where=root.at("outputs"),
            hint="write `outputs: [fc]`, or leave it out for the last layer",
        )
    return tuple(refs)
