"""New entries put behind a value, so that everything that read the value reads them instead.

An insertion says what the edges shall be afterwards. Where the place in the text alone does not
give them, ``inputs:`` is written out; the result is compared with the edges before it is returned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from net2net_cli.errors import Place, SpecError
from net2net_cli.spec.document import Document, document
from net2net_cli.spec.edit import plain_entry
from net2net_cli.spec.names import join, scopes_of
from net2net_cli.spec.tree import (
    Items,
    Node,
    Path,
    Table,
    named,
    replaced_table,
    table_at,
    with_entries_after,
    with_entry,
)
from net2net_cli.spec.walk import Chain, Entry, Ref, is_layer
from net2net_cli.spec.wiring import Wiring, value_of, wire


def insert_after(
    doc: Document, after: str, entries: Mapping[str, Mapping[str, object]]
) -> Document:
    """The document with a chain of new entries behind ``after``.

    ``after`` is the full name of a layer, a group or a network input. ``entries`` maps full names
    to layers, containers or groups as plain data; each reads the one before it, the first reads
    ``after`` (unless they say ``inputs``), and everything that read ``after`` reads the last one.
    Raises SpecError where a name is taken or the new layer cannot stand there.
    """
    wiring = wire(doc)
    value = value_of(wiring, Ref(after, ("",), doc.place))
    place = wiring.entries[value].place if value in wiring.entries else doc.place
    new = {name: plain_entry(entry, place) for name, entry in entries.items()}
    return insert(wiring, value, new).doc if new else doc


Reads = Mapping[str, tuple[str, ...]]
"""What layers read, by their full names."""


def insert(
    before: Wiring, value: str, new: Mapping[str, Table], reads: Reads | None = None
) -> Wiring:
    """``insert_after`` for entries that are trees; ``value`` is a layer or a network input.
    ``reads`` is what layers in them shall read, where that is not what they say."""
    for name, node in new.items():
        if name in before.entries or name in before.ends or name in before.network_inputs:
            raise SpecError(
                f"{name} exists already", where=node.place, hint="give the new layer another name"
            )
    claim = _Claim(next(iter(new)), list(new)[-1], value, next(iter(new.values())).place)
    spot = _spot(before, value, list(new))
    nodes = {name[len(spot.chain.prefix) :].lstrip("."): node for name, node in new.items()}
    fed = nodes if _feed(before, spot) == value else _fed(nodes, claim)
    placed = _wired(before, _placed(before.doc.root, spot, fed))
    if fed is not nodes and value_of(placed, claim.said()) != value:
        raise claim.refused()
    intended = _intended(before, placed, claim, reads or {})
    return placed if _gives(placed, intended) else _rewired(placed, intended, claim)


def _wired(before: Wiring, root: Table) -> Wiring:
    return wire(document(root, before.doc.file))


@dataclass(frozen=True)
class _Claim:
    """The first and last of the new entries, and the value behind which they are to stand."""

    first: str
    last: str
    value: str
    place: Place

    def said(self) -> Ref:
        """The value by its name, as the first new entry says it: nearer names may hide it."""
        return Ref(self.value, scopes_of(self.first), self.place)

    def refused(self) -> SpecError:
        """The error for a claim that the format cannot express."""
        group = self.value.rpartition(".")[0]
        return SpecError(
            f"{self.first} cannot stand after {self.value}: its name belongs elsewhere",
            where=self.place,
            hint=f"give it a name that begins with `{group}.`"
            if group and not self.first.startswith(f"{group}.")
            else "give it another name",
        )


@dataclass(frozen=True)
class _Edges:
    """What the network shall be: inputs by layer name, and outputs."""

    inputs: Mapping[str, tuple[str, ...]]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class _Spot:
    """Where new entries go: behind ``key`` in a chain, or (None) in front of it."""

    chain: Chain
    key: str | None


def _intended(before: Wiring, after: Wiring, claim: _Claim, told: Reads) -> _Edges:
    """New layers read what they are told or say; all others what they read before, the new end for
    the value.

    ``after`` is a wiring with the new entries in it.
    """
    end = value_of(after, Ref(claim.last, ("",), claim.place))

    def moved(sources: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(end if source == claim.value else source for source in sources)

    inputs = {
        name: moved(before.inputs[name]) if name in before.inputs else told.get(name, reads)
        for name, reads in after.inputs.items()
    }
    return _Edges(inputs, moved(before.outputs))


def _gives(wiring: Wiring, intended: _Edges) -> bool:
    return wiring.inputs == intended.inputs and wiring.outputs == intended.outputs


def _spot(wiring: Wiring, value: str, names: list[str]) -> _Spot:
    """Behind the value, in the innermost chain whose names the new ones continue."""
    if value not in wiring.entries:
        return _Spot(_front(wiring.doc, names), None)
    entry = wiring.entries[value]
    chain = next(chain for chain in reversed(entry.chains) if _continues(chain, names))
    return _Spot(chain, str(entry.path[len(chain.path)]))


def _feed(wiring: Wiring, spot: _Spot) -> str | None:
    """What an entry at that spot reads where it does not say."""
    if spot.key is not None:
        name = join(spot.chain.prefix, spot.key)
        return value_of(wiring, Ref(name, ("",), wiring.doc.place))
    return wiring.network_inputs[0] if len(wiring.network_inputs) == 1 else None


def _front(doc: Document, names: list[str]) -> Chain:
    """The chain that runs first, as far inwards as the new names go."""
    chain = Chain(("layers",), "")
    while True:
        key, node = next(iter(table_at(doc.root, chain.path).entries.items()))
        inner = Chain((*chain.path, key), join(chain.prefix, key))
        if not isinstance(node, Table) or is_layer(node) or not _continues(inner, names):
            return chain
        if not isinstance(node.entries.get("inputs", node), Table):
            return chain
        chain = inner


def _continues(chain: Chain, names: list[str]) -> bool:
    return not chain.prefix or all(name.startswith(f"{chain.prefix}.") for name in names)


def _placed(root: Table, spot: _Spot, nodes: Mapping[str, Table]) -> Table:
    """The tree with the new entries in their place."""
    table = table_at(root, spot.chain.path)
    return replaced_table(root, spot.chain.path, with_entries_after(table, spot.key, nodes))


def _fed(nodes: dict[str, Table], claim: _Claim) -> dict[str, Table]:
    """The new entries, the first of them saying what it reads."""
    key, node = next(iter(nodes.items()))
    if "inputs" in node.entries:
        return nodes
    return {**nodes, key: with_entry(node, "inputs", named(claim.value, claim.place))}


def _rewired(placed: Wiring, intended: _Edges, claim: _Claim) -> Wiring:
    """The document with ``inputs:`` and ``outputs:`` written where the edges need them."""
    root = placed.doc.root
    for name, reads in intended.inputs.items():
        if placed.inputs[name] != reads:
            root = _with_reads(root, placed, placed.entries[name], reads, claim)
    if placed.outputs != intended.outputs:
        outputs = tuple(named(name, claim.place) for name in intended.outputs)
        root = with_entry(root, "outputs", Items(outputs, claim.place))
    rewired = _wired(placed, root)
    if not _gives(rewired, intended):
        raise claim.refused()
    return rewired


def _with_reads(
    root: Table, wiring: Wiring, entry: Entry, reads: tuple[str, ...], claim: _Claim
) -> Table:
    """The tree in which one layer reads those values."""
    table = table_at(root, entry.path)
    if "branches" not in table.entries:
        new = _reads_node(table, wiring.inputs[entry.name], reads, claim.place)
        return replaced_table(root, entry.path, with_entry(table, "inputs", new))
    branches = table.entries["branches"]
    steps: Path = (
        tuple(branches.entries) if isinstance(branches, Table) else tuple(range(len(reads)))
    )
    for step, actual, read in zip(steps, wiring.inputs[entry.name], reads, strict=True):
        path: Path = (*entry.path, "branches", step)
        branch = table_at(root, path)
        if actual != read and any(isinstance(node, Table) for node in branch.entries.values()):
            raise claim.refused()  # the branch ends in a layer that stands outside of it
        if actual != read:
            branch = with_entry(branch, "inputs", named(read, claim.place))
            root = replaced_table(root, path, branch)
    return root


def _reads_node(
    table: Table, actual: tuple[str, ...], reads: tuple[str, ...], place: Place
) -> Node:
    """What stands under ``inputs:``, with the names kept that lead where they shall."""
    said = table.entries.get("inputs")
    old = said.items if isinstance(said, Items) else (said,)
    items = tuple(
        kept if kept is not None and was == read else named(read, place)
        for kept, was, read in zip(old, actual, reads, strict=True)
    )
    return Items(items, place) if isinstance(said, Items) else items[0]
