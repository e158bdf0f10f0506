"""One operation of an exported graph, its arguments by the names of its ATen schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.fx import Node

from net2net_cli.errors import TraceError
from net2net_cli.network import Value
from net2net_cli.tracing.drafts import Flow, Shape, Stored
from net2net_cli.tracing.modules import compact
from net2net_cli.tracing.origins import origin_of
from net2net_cli.tracing.reader import Reader, Traced

_WORDS = {
    "cat": "concat", "mul": "multiply", "max_pool": "pool", "avg_pool": "pool",
    "adaptive_avg_pool": "pool", "upsample_nearest": "upsample", "upsample_bilinear": "upsample",
    "upsample_linear": "upsample", "upsample_bicubic": "upsample", "upsample_trilinear": "upsample",
}  # fmt: skip
"""What layers are called by, where the operation's own name would not read well."""


class Op:
    """One operation as read: ``a`` holds its arguments by their names in the schema."""

    def __init__(self, reader: Reader, node: Node, name: str, a: Mapping[str, Any]) -> None:
        self.reader, self.node, self.name, self.a = reader, node, name, a
        self.origin = origin_of(node)

    @property
    def made(self) -> Tensor:
        """What it gave when it was traced, the first where it gives several: without values."""
        held = self.node.meta["val"]
        found: Tensor = held[0] if isinstance(held, (list, tuple)) else held
        return found

    @property
    def shape(self) -> Shape:
        """The traced value's shape, the batch as it was traced."""
        return tuple(self.made.shape)

    def unsupported(self, why: str = "") -> TraceError:
        """The error for what no layer type does."""
        because = f": {why}" if why else ""
        return TraceError(
            f"torch's `{self.name}` in {self.origin} has no layer type{because}",
            where=self.origin.line or None,
        )

    def flow(self, argument: str) -> Flow:
        """An argument as a value that flows."""
        return self.reader.flow(self.a[argument], self.origin)

    def natural(self, argument: str) -> Flow:
        """An argument that flows, its axes in the layer's order."""
        return self.reader.natural(self.flow(argument), self.origin)

    def whole(self, argument: str) -> Flow:
        """As ``natural``, each axis one of the layer's own: nothing merged, the batch first."""
        flow = self.natural(argument)
        if any(len(group) != 1 for group in flow.axes) or flow.axes[0] != (0,):
            raise self.unsupported("the batch is merged with another axis")
        return flow

    def add(
        self,
        kind: str,
        args: Mapping[str, Value] | None = None,
        *reads: Flow,
        shape: Shape | None = None,
        axes: tuple[tuple[int, ...], ...] | None = None,
        tensors: Mapping[str, str] | None = None,
    ) -> Flow:
        """The layer of this operation; its shape is the traced one where none is given."""
        return self.reader.layer(
            kind, args or {}, reads, shape or self.shape, self.origin,
            word=word_of(self.name, kind), axes=axes, tensors=tensors,
        )  # fmt: skip

    def stored(self, **arguments: str) -> dict[str, str]:
        """Tensors of the layer by their own names, from arguments that must be parameters."""
        found = {}
        for name, argument in arguments.items():
            value = self.a[argument]
            if isinstance(value, Stored):
                if value.key.rpartition(".")[2] != name:
                    raise self.unsupported(
                        f"its {argument} is `{value.key}`, but a layer's is called `{name}`"
                    )
                found[name] = value.key
            elif value is not None:
                raise self.unsupported(f"its {argument} is computed, not a parameter")
        return found


Handler = Callable[[Op], Traced]
"""What one operation gives, with the layers that it takes."""


_BY_TYPE = ("Scale", "Shift", "Normalize", "LayerScale", "Flatten", "Unflatten")
"""Types that are called by their own name: of a product with a number, ``multiply`` says less."""


def word_of(name: str, kind: str) -> str:
    """What a layer of an operation is called: its name without the number of axes."""
    if kind in _BY_TYPE:
        return kind.lower()
    base = re.sub(r"[123]d$", "", name)
    return _WORDS.get(base, base)


def unless(args: dict[str, Value], name: str, value: Value, default: Value) -> None:
    """Sets an argument that is not its default."""
    if value != default:
        args[name] = value


def sizes_of(value: Any) -> Value:
    """Sizes for each axis as a spec says them: one number where all are alike."""
    if isinstance(value, (list, tuple)):
        return compact(tuple(value)) if len(value) > 1 else value[0]
    return int(value)


def own_axis(op: Op, flow: Flow, dim: int) -> int:
    """The layer's own axis that a traced one is; an error where it is several."""
    group = flow.axes[dim % len(flow.axes)]
    if len(group) != 1:
        raise op.unsupported("it acts on an axis that the batch is merged with")
    return group[0]


def own_dim(op: Op, flow: Flow, dim: int) -> int:
    """As ``own_axis``, the last axis as -1, as torch's users write it."""
    at = own_axis(op, flow, dim)
    if at == 0:
        raise op.unsupported("it goes over the batch")
    return -1 if dim == -1 and at == len(flow.source.shape) - 1 else at


def with_last(op: Op, flow: Flow, count: int) -> Flow:
    """The value with its last ``count`` axes as the layer's last ones, in order."""
    own = len(flow.source.shape)
    wanted = tuple((own - count + i,) for i in range(count))
    return flow if flow.axes[-count:] == wanted else op.reader.natural(flow, op.origin)
