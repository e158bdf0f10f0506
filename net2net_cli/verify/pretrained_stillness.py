"""Where the weights of a transformer get no gradient, by the `transformers` library itself.

The library renames weights and merges them when it loads them (deferred.py), which are moves that
gradients go back through: they are taken of the checkpoint's own tensors, in float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_leaves, tree_map_only

from net2net_cli.errors import Net2NetError
from net2net_cli.io import Source
from net2net_cli.verify.deferred import Deferred
from net2net_cli.verify.memory import half_free, shown
from net2net_cli.verify.places import SAME, Columns, Moved, Place, Stored
from net2net_cli.verify.pretrained_inputs import draw_inputs, load_inputs
from net2net_cli.verify.pretrained_library import (
    Pretrained,
    load,
    offline,
    quiet,
    told,
    unavailable,
)
from net2net_cli.verify.pretrained_outputs import differentiable, pools_blindly
from net2net_cli.verify.stillness import still

ROWS = 8
"""Random inputs. Activations of transformers are smooth, so that a few reach every unit."""

EACH = 2 * torch.float64.itemsize
"""Bytes for each weight: itself, and its gradient."""

DRAWN = 0.02
"""Standard deviation of weights that the checkpoint lacks, as transformers draws them mostly."""


@dataclass(frozen=True)
class Stillness:
    """``masks``: where each tensor of the checkpoint that learns gets no gradient, as ``still``
    gives them. ``tables`` are those whose rows are looked up: a row that no input names gets none
    either."""

    masks: Mapping[str, Tensor]
    tables: frozenset[str]


def still_pretrained(model: Pretrained, *, seed: int, data: Path | None) -> Stillness | str:
    """Run the model forwards and backwards in evaluation mode, on ``data`` (as ``load_inputs``
    takes them) or on random inputs; or why that cannot be done.

    CheckpointError for data that do not fit.
    """
    if reason := unavailable(model.config):
        return reason
    with quiet(), offline(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network, misfit = load(model, "cpu")
            kind, config = type(network), network.config
            inputs = draw_inputs(kind, config, ROWS, seed) if data is None else None
        except Net2NetError as error:
            return error.message
        if data is not None:
            inputs = load_inputs(data, kind, config, seed)
        assert inputs
        _draw(network, misfit.missing | misfit.mismatched)
        if pools_blindly(network):
            inputs = {name: value[:1] for name, value in inputs.items()}
        needed, limit = _bytes(model.source, network), half_free()
        if limit is not None and needed > limit:
            return (
                f"weights and gradients take about {shown(needed)} in float64, and half of the"
                f" memory that is free is {shown(limit)}"
            )
        try:
            return _of_network(model, network, inputs, seed)
        except Net2NetError as error:
            return error.message


def _of_network(
    model: Pretrained, network: nn.Module, inputs: Mapping[str, Tensor], seed: int
) -> Stillness:
    leaves = _Leaves(model.source)
    learning = {
        name: weight.place
        for name, weight in network.named_parameters()
        if isinstance(weight, Deferred) and weight.requires_grad and weight.is_floating_point()
    }
    for place in learning.values():
        leaves.made(place)

    def run() -> list[Tensor]:
        weights = {name: leaves.made(place) for name, place in learning.items()}
        call = partial(functional_call, network, weights, ())
        with told(model, f"cannot run {type(network).__name__}"):
            return list(differentiable(call, network, inputs).values())

    tables = [m.weight.place for m in network.modules() if isinstance(m, nn.Embedding)
              and isinstance(m.weight, Deferred)]  # fmt: skip
    return Stillness(
        still(leaves.tensors, run, seed),
        frozenset(name for place in tables for name in _names(place)),
    )


class _Leaves:
    """The checkpoint's tensors as ordinary ones that gradients are taken of, read when they are
    needed first."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tensors: dict[str, Tensor] = {}

    def made(self, place: Place) -> Tensor:
        """What a place makes of them, so that gradients go back through it."""
        match place:
            case Stored():
                first = place.start // place.dtype.itemsize
                flat = self._leaf(_name(place)).reshape(-1)
                return flat[first : first + prod(place.shape)].view(place.shape)
            case Columns():
                whole = self.made(place.stored)
                return whole.narrow(place.dim, place.first, place.end - place.first)
            case Moved() if place.function in SAME:  # detached, they would get no gradient
                return self.made(place.args[0])
            case Moved():
                args, kwargs = tree_map_only(
                    (Stored, Columns, Moved), self.made, (place.args, dict(place.kwargs))
                )
                made: Tensor = place.function(*args, **kwargs)
                return made

    def _leaf(self, name: str) -> Tensor:
        if name not in self.tensors:
            self.tensors[name] = self.source.tensor(name).double().clone().requires_grad_()
        return self.tensors[name]


def _names(place: Place) -> set[str]:
    """The tensors of the checkpoint that a place is made of."""
    match place:
        case Stored():
            return {_name(place)}
        case Columns():
            return _names(place.stored)
        case Moved():
            return {n for part in _parts(place) for n in _names(part)}


def _parts(place: Moved) -> list[Place]:
    leaves = tree_leaves((place.args, dict(place.kwargs)))
    return [leaf for leaf in leaves if isinstance(leaf, Stored | Columns | Moved)]


def _name(place: Stored) -> str:
    assert isinstance(place.read, partial), "as `deferred` makes them"
    return str(place.read.args[0])


def _bytes(source: Source, network: nn.Module) -> int:
    """About what the tensors of a network take with their gradients, and what is merged of them."""
    places = [w.place for w in network.parameters() if isinstance(w, Deferred)]
    used = {name for place in places for name in _names(place)}
    stored = sum(prod(source.tensors[name].shape) for name in used)
    merged = sum(prod(place.shape) for place in places if len(_names(place)) > 1)
    return EACH * (stored + merged)


@torch.no_grad()
def _draw(network: nn.Module, names: frozenset[str]) -> None:
    """Weights that the checkpoint lacks, at random: where they are 0, nothing learns."""
    for name, weight in network.named_parameters():
        if name in names and not isinstance(weight, Deferred):
            weight.normal_(0, DRAWN)
