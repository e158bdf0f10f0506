"""Operations with weights as layers: convolutions, Linear, norms, Embedding."""

from __future__ import annotations

from collections.abc import Mapping

from net2net_cli.network import Value
from net2net_cli.tracing.drafts import Flow
from net2net_cli.tracing.modules import compact
from net2net_cli.tracing.op import Handler, Op, sizes_of, unless, with_last


def _convolution(rank: int) -> Handler:
    def convolve(op: Op) -> Flow:
        a, x = op.a, op.whole("input")
        weight = a["weight"]
        tensors = op.stored(weight="weight", bias="bias")
        args: dict[str, Value] = {
            "out_channels": weight.tensor.shape[0],
            "kernel_size": compact(tuple(weight.tensor.shape[2:])),
        }
        unless(args, "stride", sizes_of(a["stride"]), 1)
        padding = a["padding"]
        unless(args, "padding", padding if isinstance(padding, str) else sizes_of(padding), 0)
        unless(args, "dilation", sizes_of(a["dilation"]), 1)
        unless(args, "groups", a["groups"], 1)
        unless(args, "bias", a["bias"] is not None, True)
        return op.add(f"Conv{rank}d", args, x, tensors=tensors)

    return convolve


def _transposed_convolution(rank: int) -> Handler:
    def convolve(op: Op) -> Flow:
        a, x = op.a, op.whole("input")
        weight = a["weight"]
        tensors = op.stored(weight="weight", bias="bias")
        args: dict[str, Value] = {
            "out_channels": weight.tensor.shape[1] * a["groups"],
            "kernel_size": compact(tuple(weight.tensor.shape[2:])),
        }
        unless(args, "stride", sizes_of(a["stride"]), 1)
        unless(args, "padding", sizes_of(a["padding"]), 0)
        unless(args, "output_padding", sizes_of(a["output_padding"]), 0)
        unless(args, "groups", a["groups"], 1)
        unless(args, "bias", a["bias"] is not None, True)
        unless(args, "dilation", sizes_of(a["dilation"]), 1)
        return op.add(f"ConvTranspose{rank}d", args, x, tensors=tensors)

    return convolve


def _linear(op: Op) -> Flow:
    x = with_last(op, op.flow("input"), 1)
    tensors = op.stored(weight="weight", bias="bias")
    features = op.a["weight"].tensor.shape[0]
    args: dict[str, Value] = {"out_features": features}
    unless(args, "bias", op.a["bias"] is not None, True)
    shape = (*x.source.shape[:-1], features)
    return op.add("Linear", args, x, shape=shape, axes=x.axes, tensors=tensors)


def _layer_norm(op: Op) -> Flow:
    given = tuple(op.a["normalized_shape"])
    x = with_last(op, op.flow("input"), len(given))
    tensors = op.stored(weight="weight", bias="bias")
    args: dict[str, Value] = {} if len(given) == 1 else {"normalized_shape": given}
    unless(args, "eps", op.a["eps"], 1e-5)
    unless(args, "elementwise_affine", op.a["weight"] is not None, True)
    unless(args, "bias", op.a["bias"] is not None or op.a["weight"] is None, True)
    return op.add("LayerNorm", args, x, shape=x.source.shape, axes=x.axes, tensors=tensors)


def _rms_norm(op: Op) -> Flow:
    given = tuple(op.a["normalized_shape"])
    x = with_last(op, op.flow("input"), len(given))
    tensors = op.stored(weight="weight")
    args: dict[str, Value] = {} if len(given) == 1 else {"normalized_shape": given}
    unless(args, "eps", op.a["eps"], None)
    unless(args, "elementwise_affine", op.a["weight"] is not None, True)
    return op.add("RMSNorm", args, x, shape=x.source.shape, axes=x.axes, tensors=tensors)


def _group_norm(op: Op) -> Flow:
    x = op.whole("input")
    args: dict[str, Value] = {"num_groups": op.a["num_groups"]}
    unless(args, "eps", op.a["eps"], 1e-5)
    unless(args, "affine", op.a["weight"] is not None, True)
    return op.add("GroupNorm", args, x, tensors=op.stored(weight="weight", bias="bias"))


def _batch_norm(op: Op) -> Flow:
    x = op.whole("input")
    tensors = op.stored(
        weight="weight", bias="bias", running_mean="running_mean", running_var="running_var"
    )
    args: dict[str, Value] = {}
    unless(args, "eps", op.a["eps"], 1e-5)
    unless(args, "momentum", op.a["momentum"], 0.1)
    unless(args, "affine", op.a["weight"] is not None, True)
    unless(args, "track_running_stats", op.a["running_mean"] is not None, True)
    return op.add(f"BatchNorm{max(1, len(op.shape) - 2)}d", args, x, tensors=tensors)


def _embedding(op: Op) -> Flow:
    ids = op.natural("indices")
    weight = op.a["weight"].tensor
    args: dict[str, Value] = {"num_embeddings": weight.shape[0], "embedding_dim": weight.shape[1]}
    unless(args, "padding_idx", op.a["padding_idx"], -1)
    shape = (*ids.source.shape, weight.shape[1])
    axes = (*ids.axes, (len(shape) - 1,))
    tensors = op.stored(weight="weight")
    return op.add("Embedding", args, ids, shape=shape, axes=axes, tensors=tensors)


def _prelu(op: Op) -> Flow:
    x = op.whole("self")
    tensors = op.stored(weight="weight")
    return op.add("PReLU", {"num_parameters": op.a["weight"].tensor.numel()}, x, tensors=tensors)


WEIGHTED: Mapping[str, Handler] = {
    **{f"conv{rank}d": _convolution(rank) for rank in (1, 2, 3)},
    "conv_transpose1d": _transposed_convolution(1), "conv_transpose2d": _transposed_convolution(2),
    "conv_transpose3d": _transposed_convolution(3), "linear": _linear, "layer_norm": _layer_norm,
    "rms_norm": _rms_norm, "group_norm": _group_norm, "batch_norm": _batch_norm,
    "embedding": _embedding, "prelu": _prelu,
}  # fmt: skip
"""By the name of the operation."""
