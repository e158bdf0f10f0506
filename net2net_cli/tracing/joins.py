"""Sums, products, concats, attention: operations that join several values, or a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from net2net_cli.network import Value
from net2net_cli.tracing.broadcasting import aligned, joined, unfolded, with_axes, with_new_axis
from net2net_cli.tracing.drafts import Flow, Known, Length, Stored
from net2net_cli.tracing.op import Handler, Op, own_axis, own_dim, unless
from net2net_cli.tracing.reader import Traced
from net2net_cli.tracing.unweighted import UNWEIGHTED


def _sum_of(op: Op) -> Traced:
    a, b, alpha = op.a["self"], op.a["other"], op.a.get("alpha", 1)
    if isinstance(b, (int, float)):
        return _shifted(op, "self", b * alpha)
    if alpha != 1:
        raise op.unsupported(f"it adds {alpha} times its second value")
    return joined(op, "Add", a, b)


def _difference(op: Op) -> Traced:
    a, b, alpha = op.a["self"], op.a["other"], op.a.get("alpha", 1)
    if isinstance(b, (int, float)):
        return _shifted(op, "self", -b * alpha)
    if alpha != 1:
        raise op.unsupported(f"it takes away {alpha} times its second value")
    return joined(op, "Subtract", a, b)


def _from_number(op: Op) -> Traced:
    """``number - x``."""
    if not isinstance(op.a["other"], (int, float)) or op.a.get("alpha", 1) != 1:
        raise op.unsupported()
    x = op.flow("self")
    turned = op.add("Negative", {}, x, shape=x.source.shape, axes=x.axes)
    shape = turned.source.shape
    return op.add("Shift", {"value": op.a["other"]}, turned, shape=shape, axes=x.axes)


def _shifted(op: Op, argument: str, value: float) -> Traced:
    if value == 0:
        return op.a[argument]
    x = op.flow(argument)
    return op.add("Shift", {"value": value}, x, shape=x.source.shape, axes=x.axes)


def _product_of(op: Op) -> Traced:
    a, b = op.a["self"], op.a["other"]
    if isinstance(b, (int, float)):
        return _scaled(op, "self", b)
    scale = _layer_scale(op, a, b) or _layer_scale(op, b, a)
    return scale or joined(op, "Multiply", a, b)


def _scaled(op: Op, argument: str, value: float) -> Traced:
    if value == 1:
        return op.a[argument]
    x = op.flow(argument)
    return op.add("Scale", {"value": value}, x, shape=x.source.shape, axes=x.axes)


def _quotient(op: Op) -> Traced:
    if op.a.get("rounding_mode") is not None:
        raise op.unsupported("it rounds")
    a, b = op.a["self"], op.a["other"]
    if isinstance(b, Length):
        return _normalized(op, a, b)
    return _scaled(op, "self", 1 / b) if isinstance(b, (int, float)) else joined(op, "Divide", a, b)


def _length(op: Op) -> Length:
    """The first step of ``F.normalize``; the others keep it until the division."""
    dims: list[int] = op.a["dim"] or []
    if len(dims) != 1 or not op.a["keepdim"]:
        raise op.unsupported("only F.normalize along one axis is known")
    x = op.flow("self")
    return Length(x, float(op.a["ord"]), own_dim(op, x, dims[0]))


def _at_least(op: Op) -> Traced:
    if isinstance(op.a["self"], Length):
        return replace(op.a["self"], eps=float(op.a["min"]))
    return UNWEIGHTED["clamp"](op)


def _as_large(op: Op) -> Traced:
    if isinstance(op.a["self"], Length):
        return op.a["self"]
    raise op.unsupported()


def _normalized(op: Op, value: Traced, length: Length) -> Flow:
    if value != length.flow:
        raise op.unsupported("it divides by the length of another value")
    x = length.flow
    args: dict[str, Value] = {}
    unless(args, "p", length.p, 2.0)
    unless(args, "dim", length.dim, 1)
    unless(args, "eps", length.eps, 1e-12)
    return op.add("Normalize", args, x, shape=x.source.shape, axes=x.axes)


def _layer_scale(op: Op, factor: Traced, value: Traced) -> Flow | None:
    """ConvNeXt's: a parameter ``[C, 1, 1]`` times an image."""
    if not (isinstance(factor, Stored) and factor.parameter and isinstance(value, Flow)):
        return None
    x = op.reader.natural(value, op.origin)
    shape = tuple(factor.tensor.shape)
    wanted = (x.source.shape[1], *(1,) * (len(x.source.shape) - 2))
    if shape != wanted or x.axes != tuple((i,) for i in range(len(x.source.shape))):
        return None
    return op.add("LayerScale", {}, x, tensors={"": factor.key})


def _concat(op: Op) -> Flow:
    parts = [unfolded(op, value) for value in op.a["tensors"]]
    if len(parts) == 1:
        return parts[0]
    widest = max(parts, key=lambda part: len(part.source.shape))
    if any(len(part.source.shape) != len(widest.source.shape) for part in parts):
        counts = [len(group) for group in widest.axes]
        parts = [with_axes(op, part, counts) for part in parts]
    at = own_axis(op, widest, op.a["dim"])
    shape = list(widest.source.shape)
    shape[at] = sum(part.source.shape[at] for part in parts)
    shape[0] = max(part.source.shape[0] for part in parts)
    args: dict[str, Value] = {}
    unless(args, "dim", at, 1)
    return op.add("Concat", args, *parts, shape=tuple(shape), axes=widest.axes)


def _stack(op: Op) -> Flow:
    """``stack`` as a Concat of values with one axis more."""
    parts = [unfolded(op, value) for value in op.a["tensors"]]
    rank = len(parts[0].axes)
    dim = op.a["dim"] % (rank + 1)
    made = [with_new_axis(op, part, dim) for part in parts]
    at = own_axis(op, made[0], dim)
    shape = list(made[0].source.shape)
    shape[at] = len(made)
    return op.add("Concat", {"dim": at} if at != 1 else {}, *made, shape=tuple(shape),
                  axes=made[0].axes)  # fmt: skip


def _matmul(op: Op) -> Flow:
    a, b = (unfolded(op, op.a[name]) for name in ("self", "other" if "other" in op.a else "mat2"))
    if min(len(a.axes), len(b.axes)) < 2:
        raise op.unsupported("it multiplies a vector")
    a, b = aligned(op, a, b)
    lead = tuple(max(p) for p in zip(a.source.shape[:-2], b.source.shape[:-2], strict=True))
    shape = (*lead, a.source.shape[-2], b.source.shape[-1])
    return op.add("MatMul", {}, a, b, shape=shape, axes=a.axes)


def _einsum(op: Op) -> Flow:
    """Letters only, the batch first; what has no batch gets one of size 1."""
    given, _, result = op.a["equation"].replace(" ", "").partition("->")
    terms = given.split(",")
    values = [unfolded(op, value) for value in op.a["tensors"]]
    batch = result[:1]
    if not (batch and f"{given}{result}".replace(",", "").isalpha()):
        raise op.unsupported("its equation does not say its result in letters")
    said = []
    for term, value in zip(terms, values, strict=True):
        if any(len(group) != 1 for group in value.axes):
            raise op.unsupported("the batch is merged with another axis")
        said.append(term if 0 in value.order else f"{batch}{term}")
    if any(term[:1] != batch or batch in term[1:] for term in said):
        raise op.unsupported("the batch is not the first letter of all of it")
    return op.add("Einsum", {"equation": f"{','.join(said)}->{result}"}, *values)


def _attention(op: Op) -> Flow:
    q, k, v = (unfolded(op, op.a[name]) for name in ("query", "key", "value"))
    args: dict[str, Value] = {}
    unless(args, "is_causal", op.a["is_causal"], False)
    scale = op.a["scale"]
    unless(args, "scale", None if _is_usual(scale, q.source.shape[-1]) else scale, None)
    unless(args, "enable_gqa", op.a["enable_gqa"], False)
    unless(args, "dropout_p", op.a["dropout_p"], 0.0)
    reads = [q, k, v]
    mask = op.a["attn_mask"]
    if mask is not None and not _lets_all_through(mask):
        reads.append(aligned(op, q, unfolded(op, mask))[1])
    shape = (*q.source.shape[:-1], v.source.shape[-1])
    return op.add("ScaledDotProductAttention", args, *reads, shape=shape, axes=q.axes)


def _is_usual(scale: float | None, width: int) -> bool:
    """Whether a scale is torch's own, 1 / sqrt(width), which a spec leaves out."""
    return scale is None or abs(scale * width**0.5 - 1) < 1e-12


def _lets_all_through(mask: Traced) -> bool:
    if not isinstance(mask, Known):
        return False
    if mask.tensor.dtype == torch.bool:
        return bool(mask.tensor.all())
    return not bool(mask.tensor.any())


JOINS: Mapping[str, Handler] = {
    "add": _sum_of, "sub": _difference, "rsub": _from_number, "mul": _product_of, "div": _quotient,
    "linalg_vector_norm": _length, "clamp_min": _at_least, "expand_as": _as_large,
    "maximum": lambda op: joined(op, "Maximum", op.a["self"], op.a["other"]),
    "minimum": lambda op: joined(op, "Minimum", op.a["self"], op.a["other"]),
    "einsum": _einsum, "cat": _concat, "concat": _concat, "stack": _stack, "matmul": _matmul,
    "bmm": _matmul,
    "scaled_dot_product_attention": _attention,
}  # fmt: skip
"""By the name of the operation."""
