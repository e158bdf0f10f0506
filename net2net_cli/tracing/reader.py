"""What has been read of an exported graph: values by node, and the drafts that give them.

What depends on no input is computed, and an operation in place gives its value to all who read the
changed one later.
"""

from __future__ import annotations

import base64
import operator
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from net2net_cli.errors import TraceError
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.network import Value
from net2net_cli.tracing.drafts import (
    BATCH,
    Draft,
    Flow,
    Known,
    Length,
    Origin,
    Shape,
    Stored,
    flow_of,
)
from net2net_cli.tracing.origins import origin_of

Traced = Any
"""What a node of the graph stands for: Flow, Stored, Known, a list of them, or a number."""

_LARGEST_KNOWN = 10_000_000
_FEW = 32
"""Numbers of a constant that a person may want to read in a spec."""


@dataclass(eq=False)
class Reader:
    """What is read so far."""

    module: nn.Module
    values: dict[Node, Traced] = field(default_factory=dict)
    drafts: list[Draft] = field(default_factory=list)
    flows: dict[object, Flow] = field(default_factory=dict)
    """What stands for a parameter, a buffer, or a permutation: made once."""

    def layer(
        self,
        kind: str,
        args: Mapping[str, Value],
        reads: Sequence[Flow],
        shape: Shape,
        origin: Origin,
        *,
        tensors: Mapping[str, str] | None = None,
        word: str = "",
        axes: tuple[tuple[int, ...], ...] | None = None,
    ) -> Flow:
        """Adds a layer that reads whole values; ``axes`` tells how the traced value sees its own.

        TraceError where specs have no such layer type.
        """
        if kind not in LAYER_TYPES:
            raise TraceError(
                f"specs have no layer type `{kind}`, which {origin} needs", where=origin.line
            )
        draft = Draft(
            kind, dict(args), tuple(flow.source for flow in reads), shape, origin,
            word or kind.lower(), dict(tensors or {}),
        )  # fmt: skip
        self.drafts.append(draft)
        found = flow_of(draft)
        return found if axes is None else Flow(draft, axes)

    def flow(self, value: Traced, origin: Origin) -> Flow:
        """A value as one that flows: a parameter, a buffer or a constant becomes a layer."""
        if isinstance(value, Flow):
            return value
        if isinstance(value, Stored):
            return self._stored(value, origin)
        if isinstance(value, Known):
            return self._constant(value.tensor, origin)
        raise TraceError(f"{origin} needs a tensor, not {type(value).__name__}", where=origin.line)

    def _stored(self, value: Stored, origin: Origin) -> Flow:
        if value.key not in self.flows:
            shape = tuple(value.tensor.shape)
            batched = shape[:1] == (1,)
            args: dict[str, Value] = {"shape": shape}
            if batched:
                args["batched"] = True
            if not value.parameter and not value.tensor.is_floating_point():
                args["dtype"] = str(value.tensor.dtype).removeprefix("torch.")
            flow = self.layer(
                "Parameter" if value.parameter else "Buffer", args, (),
                shape if batched else (1, *shape), origin, tensors={"": value.key},
            )  # fmt: skip
            axes = tuple((i if batched else i + 1,) for i in range(len(shape)))
            self.flows[value.key] = Flow(flow.source, axes)
        return self.flows[value.key]

    def _constant(self, tensor: Tensor, origin: Origin) -> Flow:
        shape = tuple(tensor.shape)
        if any(size % BATCH == 0 for size in shape):
            raise TraceError(
                f"{origin} makes a constant as large as the batch", where=origin.line or None
            )
        flow = self.layer("Constant", constant_args(tensor), (), (1, *shape), origin)
        return Flow(flow.source, tuple((i + 1,) for i in range(len(shape))))

    def natural(self, flow: Flow, origin: Origin) -> Flow:
        """The same value with its axes in the layer's own order: a Permute where they are not.

        TraceError where the batch is not the first of them.
        """
        whole = range(len(flow.source.shape))
        order = flow.order if 0 in flow.order else (0, *flow.order)
        if order == tuple(whole):
            return flow
        if order[0] != 0 or sorted(order) != list(whole):
            raise batch_moved(origin)
        key = (flow.source, order)
        if key not in self.flows:
            shape = tuple(flow.source.shape[axis] for axis in order)
            args: dict[str, Value] = {"dims": order[1:]}
            self.flows[key] = self.layer("Permute", args, (flow,), shape, flow.origin or origin)
        return Flow(self.flows[key].source, renumbered(flow.axes, order))


def batch_moved(origin: Origin) -> TraceError:
    """The error where an operation needs another axis first than the batch."""
    return TraceError(
        f"{origin} moves the batch behind another axis, which no spec can say",
        where=origin.line or None,
        hint="keep the batch as the first axis (batch_first=True)",
    )


def renumbered(
    axes: tuple[tuple[int, ...], ...], order: Sequence[int]
) -> tuple[tuple[int, ...], ...]:
    """The same axes, of a value whose axes were put into ``order``."""
    at = {axis: index for index, axis in enumerate(order)}
    return tuple(tuple(at[axis] for axis in group) for group in axes)


def written_over(reader: Reader, node: Node) -> None:
    """Who reads a value after an operation in place reads what that made of it."""
    if isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable:  # noqa: SLF001
        changed = node.args[0]
        if isinstance(changed, Node) and isinstance(reader.values[node], Flow):
            _check_base(reader, node, changed)
            reader.values[changed] = reader.values[node]


def _check_base(reader: Reader, node: Node, changed: Node) -> None:
    """A view that is written to changes what it is a view of: that must not be read again."""
    base = changed
    while isinstance(base.target, torch._ops.OpOverload) and _is_view(base):  # noqa: SLF001
        base = base.all_input_nodes[0]
        later = [user for user in base.users if after(user, node)]
        if later and isinstance(reader.values.get(base), Flow):
            origin = origin_of(node)
            raise TraceError(
                f"{origin} changes a view of a value in place, and the whole is read later",
                where=origin.line or None,
                hint="compute the new value beside the old one",
            )


def _is_view(node: Node) -> bool:
    assert isinstance(node.target, torch._ops.OpOverload)  # noqa: SLF001
    returned = node.target._schema.returns  # noqa: SLF001
    aliased = any(r.alias_info is not None and not r.alias_info.is_write for r in returned)
    return aliased and len(node.all_input_nodes) > 0


def after(node: Node, other: Node) -> bool:
    """Whether a node runs after another."""
    return node > other


def resolved(reader: Reader, value: Any) -> Traced:
    """An argument of a node: nodes as what they stand for."""
    if isinstance(value, Node):
        return reader.values[value]
    if isinstance(value, (list, tuple)):
        return [resolved(reader, item) for item in value]
    return value


def computed(node: Node, args: Any, kwargs: Any) -> Known | None:
    """What an operation gives that no input takes part in; None where it is too large to keep."""
    made = node.meta.get("val")
    if isinstance(made, Tensor) and made.numel() > _LARGEST_KNOWN:
        return None
    assert callable(node.target)
    found = node.target(*_tensors(args), **_tensors(kwargs))
    return [Known(part) for part in found] if isinstance(found, (list, tuple)) else Known(found)  # type: ignore[return-value]


def _tensors(value: Any) -> Any:
    match value:
        case Known():
            return value.tensor
        case list() | tuple():
            return [_tensors(item) for item in value]
        case dict():
            return {key: _tensors(item) for key, item in value.items()}
    return value


def holds_flow(value: Any) -> bool:
    """Whether an input of the network, or a weight of it, takes part."""
    if isinstance(value, (list, tuple)):
        return any(holds_flow(item) for item in value)
    if isinstance(value, dict):
        return any(holds_flow(item) for item in value.values())
    return isinstance(value, (Flow, Stored, Length))


def constant_args(tensor: Tensor) -> dict[str, Value]:
    """A constant as a spec says it: its numbers where they are few, else packed.

    TraceError for a dtype that no spec takes.
    """
    held = tensor.to(torch.float32) if tensor.is_floating_point() else tensor
    kind = str(held.dtype).removeprefix("torch.")
    if kind not in ("float32", "int64", "bool"):
        raise TraceError(f"a constant of {kind} cannot stand in a spec")
    dtype: dict[str, Value] = {} if kind == "float32" else {"dtype": kind}
    if held.numel() <= _FEW:
        return {"value": _nested(held.tolist()), **dtype}
    packed = base64.b64encode(zlib.compress(held.contiguous().numpy().tobytes(), 9)).decode()
    return {"shape": tuple(held.shape), "data": packed, **dtype}


def _nested(value: Any) -> Value:
    return tuple(_nested(item) for item in value) if isinstance(value, list) else value


def inputs_of(nodes: Iterable[Node]) -> list[Node]:
    """The nodes that a group of nodes reads from outside, in the order of their first use."""
    group = list(nodes)
    inside = set(group)
    found = [read for node in group for read in node.all_input_nodes if read not in inside]
    return list(dict.fromkeys(found))


GETITEM = operator.getitem
