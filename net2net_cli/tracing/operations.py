"""What an operation of an exported graph gives: looked up by its name in ATen.

Arithmetic of sizes is carried out, what depends on no input is computed, and the rest becomes
layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from net2net_cli.tracing.drafts import Known
from net2net_cli.tracing.joins import JOINS
from net2net_cli.tracing.op import Handler, Op
from net2net_cli.tracing.parts import PARTS
from net2net_cli.tracing.reader import GETITEM, Reader, Traced, computed, holds_flow, resolved
from net2net_cli.tracing.shapes import SHAPES
from net2net_cli.tracing.unweighted import UNWEIGHTED
from net2net_cli.tracing.weights import WEIGHTED

OPERATIONS: Mapping[str, Handler] = {**WEIGHTED, **UNWEIGHTED, **JOINS, **SHAPES, **PARTS}
"""Every operation that a layer type does."""

_MADE: Mapping[str, float] = {
    "new_zeros": 0, "zeros_like": 0, "new_empty": 0, "empty_like": 0, "new_ones": 1,
    "ones_like": 1, "new_full": 0, "full_like": 0,
}  # fmt: skip
"""Operations that read a value for its dtype and shape alone, and what they fill it with."""


def operate(reader: Reader, node: Node) -> Traced:
    """What one operation gives, with the layers that it takes."""
    if node.target is GETITEM:
        held, index = (resolved(reader, arg) for arg in node.args)
        return held[index]
    args, kwargs = resolved(reader, list(node.args)), _named(reader, node)
    if not isinstance(node.target, torch._ops.OpOverload):  # noqa: SLF001 - arithmetic of sizes
        assert callable(node.target)
        return node.target(*args, **kwargs)
    name = node.target._schema.name.partition("::")[2]  # noqa: SLF001
    bound = _bound(node.target, args, kwargs)
    name = name.removesuffix("_") if node.target._schema.is_mutable else name  # noqa: SLF001
    op = Op(reader, node, name, bound)
    if name in _MADE and not isinstance(bound.get("self"), Known):
        return _filled(op)
    if not holds_flow(args) and not holds_flow(kwargs):
        known = computed(node, args, kwargs)
        if known is not None:
            return known
    if name not in OPERATIONS:
        raise op.unsupported()
    return OPERATIONS[name](op)


def _named(reader: Reader, node: Node) -> dict[str, Any]:
    return {key: resolved(reader, value) for key, value in node.kwargs.items()}


def _bound(target: Any, args: list[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    schema = target._schema.arguments  # noqa: SLF001
    given = {said.name: value for said, value in zip(schema, args, strict=False)} | kwargs
    return {said.name: given.get(said.name, said.default_value) for said in schema}


def _filled(op: Op) -> Known:
    value: float = op.a["fill_value"] if op.name in ("new_full", "full_like") else _MADE[op.name]
    made: Tensor = op.node.meta["val"]
    if made.numel() > 10_000_000:
        raise op.unsupported("it fills a tensor as large as the batch")
    return Known(torch.full(tuple(made.shape), value, dtype=made.dtype))
