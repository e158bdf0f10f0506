"""Tensors that two layers share, as ``share:`` says it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from net2net_cli.errors import Place, SpecError, closest
from net2net_cli.layers.kinds import lines_of
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.network import Layer
from net2net_cli.spec.names import find, join, scopes_of
from net2net_cli.spec.tree import Node, Scalar, Table, describe
from net2net_cli.spec.wiring import Wiring


def with_shares(layers: Mapping[str, Layer], wiring: Wiring) -> dict[str, Layer]:
    """The layers with ``share`` filled in: own tensor name -> full name of the tensor's owner.

    A tensor shared with one that is shared itself belongs to the last owner. Raises SpecError.
    """
    owners: dict[str, str] = {}
    for name, entry in wiring.entries.items():
        said = entry.node.entries.get("share")
        if said is not None:
            owners |= _shares(layers, name, said, entry.node.at("share"))
    shared = {}
    for name, layer in layers.items():
        own = {line: f"{join(name, line)}" for line in _tensors(layer)}
        found = {line: _owner(full, owners, wiring.entries[name].node.at("share"))
                 for line, full in own.items() if full in owners}  # fmt: skip
        shared[name] = replace(layer, share=found) if found else layer
    return shared


def tensor_names(layers: Iterable[Layer]) -> frozenset[str]:
    """The full names of the tensors of layers, shared or not."""
    return frozenset(join(layer.name, line) for layer in layers for line in _tensors(layer))


def _tensors(layer: Layer) -> tuple[str, ...]:
    """The tensors of a layer, by their own names."""
    return tuple(line.name for line in lines_of(LAYER_TYPES[layer.type], layer.args))


def _owner(full: str, owners: Mapping[str, str], place: Place) -> str:
    seen = [full]
    while seen[-1] in owners:
        seen.append(owners[seen[-1]])
        if seen[-1] in seen[:-1]:
            raise SpecError(
                f"{' -> '.join(seen)} share in a circle",
                where=place,
                hint="one of them must own the tensor: remove its `share`",
            )
    return seen[-1]


def _shares(layers: Mapping[str, Layer], name: str, said: Node, place: Place) -> dict[str, str]:
    """Full name of a tensor -> full name of the tensor that it is."""
    layer = layers[name]
    own = _tensors(layer)
    if isinstance(said, Table) and said.entries:
        known = tensor_names(layers.values())
        return {join(name, line): _named(name, line, own, said, known) for line in said.entries}
    if not isinstance(said, Scalar) or not said.text:
        raise SpecError(
            f"`share` of {name} names a layer, not {describe(said)}",
            where=place,
            hint="write `share: LAYER`, or `share: {weight: LAYER.weight}` for one tensor",
        )
    other = find(said.text, scopes_of(name), layers)
    if other is None:
        raise SpecError(
            f"{name} shares the tensors of `{said.text}`, which does not exist",
            where=place,
            hint=closest(said.text, list(layers)) or "write the name of a layer",
        )
    missing = [line for line in own if line not in _tensors(layers[other])]
    if missing or not own or other == name:
        raise SpecError(
            f"{name} ({layer.type}) cannot share the tensors of {other} ({layers[other].type}): "
            + ("they are the same layer" if other == name
               else f"that one has no {missing[0]}" if missing else "it has none"),
            where=place,
            hint="write `share: {weight: LAYER.weight}` to share one tensor only",
        )  # fmt: skip
    return {join(name, line): join(other, line) for line in own}


def _named(name: str, line: str, own: tuple[str, ...], said: Table, known: frozenset[str]) -> str:
    node, place = said.entries[line], said.at(line)
    if line not in own:
        raise SpecError(
            f"{name} has no tensor `{line}`",
            where=place,
            hint=closest(line, list(own)) or f"it has {', '.join(own) or 'none'}",
        )
    text = node.text if isinstance(node, Scalar) else describe(node)
    found = find(text, scopes_of(name), known)
    if found is None or found == join(name, line):
        raise SpecError(
            f"{name} shares its {line} with `{text}`, which is no other tensor",
            where=place,
            hint=closest(text, sorted(known)) or "write the tensor's full name: `LAYER.weight`",
        )
    return found
