"""The layout of one network while it is made: what the rules of its layers add to."""

from __future__ import annotations

from net2net_cli.axes import Axis, Unifier
from net2net_cli.laying.sharing import unify_shared
from net2net_cli.layout import NOTHING, Data, Demand, Factor, GraphLayout, LaidTensor
from net2net_cli.network import Layer, Spec


class Builder:
    """The layout of one network while it is made."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.unifier = Unifier()
        self.tensors: dict[str, LaidTensor] = {}
        self.aliases: dict[str, str] = {}
        self.values: dict[str, Data] = {}
        self.arguments: dict[str, dict[str, tuple[Axis, ...]]] = {}
        self.demands: list[Demand] = []
        self.ties: list[tuple[Axis, Axis]] = []

    def demand(
        self, axis: Axis, bears: frozenset[str], layer: str, reason: str, *, joint: bool = False
    ) -> None:
        """Note what a layer bears on an axis."""
        self.demands.append(Demand(axis, bears, layer, reason, joint))

    def tie(self, one: Axis, other: Axis) -> None:
        """Note that two axes have one size, though not the same features."""
        self.ties.append((one, other))

    def add_tensor(self, tensor: LaidTensor, layer: Layer) -> None:
        """Add a layer's tensor, or unify it with the one that it shares."""
        owner = layer.share.get(tensor.line.name)
        if owner is None:
            self.tensors[tensor.name] = tensor
            return
        unify_shared(self.unifier, layer, tensor, owner, self.tensors.get(self.owner(owner)))
        self.aliases[tensor.name] = owner

    def owner(self, name: str) -> str:
        """The tensor that a name stands for."""
        return self.aliases.get(name, name)

    def finish(self) -> GraphLayout:
        """Resolve every axis."""
        resolve = self.unifier.resolve
        for axis, reason in self.unifier.fixed:
            self.demand(axis, NOTHING, "", reason)
        return GraphLayout(
            tensors={name: self._resolved(t) for name, t in self.tensors.items()},
            aliases=self.aliases,
            demands=tuple(
                Demand(resolve(d.axis), d.bears, d.layer, d.reason, d.joint) for d in self.demands
            ),
            sizes=dict(self.unifier.sizes),
            spec=self.spec,
            values={
                name: Data(tuple(resolve(a) for a in data.axes), data.settled, data.normed)
                for name, data in self.values.items()
            },
            arguments={
                layer: {arg: tuple(resolve(a) for a in axes) for arg, axes in found.items()}
                for layer, found in self.arguments.items()
            },
            ties=tuple((resolve(one), resolve(other)) for one, other in self.ties),
        )

    def _resolved(self, tensor: LaidTensor) -> LaidTensor:
        axes = tuple(
            tuple(Factor(self.unifier.resolve(f.axis), f.role) for f in factors)
            for factors in tensor.axes
        )
        return LaidTensor(
            tensor.name, tensor.layer, tensor.line, axes, tensor.shape, tensor.settled
        )
