"""Operations without weights as layers: activations, poolings, paddings, resizing."""

from __future__ import annotations

from collections.abc import Mapping

from net2net_cli.network import Value
from net2net_cli.tracing.drafts import Flow
from net2net_cli.tracing.modules import compact
from net2net_cli.tracing.op import Handler, Op, own_axis, own_dim, sizes_of, unless, with_last
from net2net_cli.tracing.reader import Traced


def _pointwise(kind: str, *arguments: tuple[str, str, Value]) -> Handler:
    """Acts on each entry alone: (argument of the layer, of the operation, its default)."""

    def apply(op: Op) -> Flow:
        x = op.reader.flow(next(iter(op.a.values())), op.origin)
        args: dict[str, Value] = {}
        for ours, theirs, default in arguments:
            unless(args, ours, op.a[theirs], default)
        return op.add(kind, args, x, shape=x.source.shape, axes=x.axes)

    return apply


def _hardtanh(op: Op) -> Flow:
    x = op.flow("self")
    low, high = float(op.a["min_val"]), float(op.a["max_val"])
    if (low, high) == (0.0, 6.0):
        return op.add("ReLU6", {}, x, shape=x.source.shape, axes=x.axes)
    args: dict[str, Value] = {}
    unless(args, "min_val", low, -1.0)
    unless(args, "max_val", high, 1.0)
    return op.add("Hardtanh", args, x, shape=x.source.shape, axes=x.axes)


def _clamp(op: Op) -> Flow:
    x = op.flow("self")
    args: dict[str, Value] = {}
    for name in ("min", "max"):
        unless(args, name, op.a.get(name), None)
    return op.add("Clamp", args, x, shape=x.source.shape, axes=x.axes)


def _glu(op: Op) -> Flow:
    x = op.flow("self")
    at = own_axis(op, x, op.a["dim"])
    args: dict[str, Value] = {}
    unless(args, "dim", own_dim(op, x, op.a["dim"]), -1)
    shape = list(x.source.shape)
    shape[at] //= 2
    return op.add("GLU", args, x, shape=tuple(shape), axes=x.axes)


def _dropout(op: Op) -> Traced:
    if op.a["p"] == 0:
        return op.a["input"]
    x = op.flow("input")
    return op.add("Dropout", {"p": op.a["p"]}, x, shape=x.source.shape, axes=x.axes)


def _softmax(kind: str) -> Handler:
    def apply(op: Op) -> Flow:
        x = op.flow("self")
        args: dict[str, Value] = {"dim": own_dim(op, x, op.a["dim"])}
        return op.add(kind, args, x, shape=x.source.shape, axes=x.axes)

    return apply


def _pool(kind: str, rank: int) -> Handler:
    def apply(op: Op) -> Flow:
        a, x = op.a, op.whole("self")
        args: dict[str, Value] = {"kernel_size": sizes_of(a["kernel_size"])}
        stride = sizes_of(a["stride"]) if a["stride"] else args["kernel_size"]
        unless(args, "stride", stride, args["kernel_size"])
        unless(args, "padding", sizes_of(a["padding"]), 0)
        if kind == "MaxPool":
            unless(args, "dilation", sizes_of(a["dilation"]), 1)
        unless(args, "ceil_mode", a["ceil_mode"], False)
        if kind == "AvgPool":
            unless(args, "count_include_pad", a["count_include_pad"], True)
            unless(args, "divisor_override", a.get("divisor_override"), None)
        return op.add(f"{kind}{rank}d", args, x)

    return apply


def _adaptive(kind: str, rank: int) -> Handler:
    def apply(op: Op) -> Flow:
        x = op.whole("self")
        args: dict[str, Value] = {"output_size": sizes_of(op.a["output_size"])}
        return op.add(f"{kind}{rank}d", args, x)

    return apply


def _with_places(handler: Handler) -> Handler:
    """A pooling that gives the places of the largest, too, which no layer does."""

    def apply(op: Op) -> list[Traced]:
        return [handler(op), None]

    return apply


def _upsample(mode: str) -> Handler:
    def apply(op: Op) -> Flow:
        x = op.whole("input")
        scale, size = op.a.get("scale_factors"), op.a.get("output_size") or ()
        args: dict[str, Value] = {}
        if scale:
            args["scale_factor"] = compact(tuple(float(s) for s in scale))
        else:
            args["size"] = compact(tuple(size))
        unless(args, "mode", mode, "nearest")
        if op.a.get("align_corners"):
            args["align_corners"] = True
        return op.add("Upsample", args, x)

    return apply


def _pad(op: Op) -> Traced:
    flat, x = tuple(op.a["pad"]), op.natural("self")
    if not any(flat):
        return op.a["self"]
    mode, value = op.a["mode"], op.a["value"] or 0.0
    args: dict[str, Value] = {"pad": flat}
    unless(args, "mode", mode, "constant")
    unless(args, "value", float(value), 0.0)
    rank = len(op.shape) - 2
    if mode == "constant" and not value and min(flat) >= 0 and len(flat) == 2 * rank <= 6:
        return op.add(f"ZeroPad{rank}d", {"padding": compact(flat)}, op.whole("self"))
    count, own = len(flat) // 2, len(x.source.shape)
    with_last(op, x, count)
    shape = (*x.source.shape[: own - count], *op.shape[len(op.shape) - count :])
    return op.add("Pad", args, x, shape=shape, axes=x.axes)


def _power(op: Op) -> Traced:
    if not isinstance(op.a["exponent"], (int, float)):
        raise op.unsupported("its exponent is a tensor")
    return _pointwise("Power", ("exponent", "exponent", None))(op)


def _channel_shuffle(op: Op) -> Flow:
    return op.add("ChannelShuffle", {"groups": op.a["groups"]}, op.whole("self"))


def _pixel_shuffle(op: Op) -> Flow:
    return op.add("PixelShuffle", {"upscale_factor": op.a["upscale_factor"]}, op.whole("self"))


def _pixel_unshuffle(op: Op) -> Flow:
    args: dict[str, Value] = {"downscale_factor": op.a["downscale_factor"]}
    return op.add("PixelUnshuffle", args, op.whole("self"))


_PLAIN = {
    "relu": "ReLU", "relu6": "ReLU6", "selu": "SELU", "silu": "SiLU", "mish": "Mish",
    "hardswish": "Hardswish", "hardsigmoid": "Hardsigmoid", "sigmoid": "Sigmoid", "tanh": "Tanh",
    "log_sigmoid": "LogSigmoid", "softsign": "Softsign", "abs": "Abs", "exp": "Exp",
    "expm1": "Expm1", "log": "Log", "log1p": "Log1p", "sqrt": "Sqrt", "rsqrt": "Rsqrt",
    "square": "Square", "reciprocal": "Reciprocal", "neg": "Negative", "sin": "Sin", "cos": "Cos",
    "erf": "Erf", "sign": "Sign",
}  # fmt: skip

UNWEIGHTED: Mapping[str, Handler] = {
    **{name: _pointwise(kind) for name, kind in _PLAIN.items()},
    **{f"max_pool{rank}d": _pool("MaxPool", rank) for rank in (1, 2, 3)},
    **{f"avg_pool{rank}d": _pool("AvgPool", rank) for rank in (1, 2, 3)},
    **{f"adaptive_avg_pool{rank}d": _adaptive("AdaptiveAvgPool", rank) for rank in (1, 2, 3)},
    **{
        f"max_pool{rank}d_with_indices": _with_places(_pool("MaxPool", rank)) for rank in (2, 3)
    },
    **{
        f"adaptive_max_pool{rank}d": _with_places(_adaptive("AdaptiveMaxPool", rank))
        for rank in (1, 2, 3)
    },
    **{f"upsample_nearest{rank}d": _upsample("nearest") for rank in (1, 2, 3)},
    "upsample_linear1d": _upsample("linear"), "upsample_bilinear2d": _upsample("bilinear"),
    "upsample_bicubic2d": _upsample("bicubic"), "upsample_trilinear3d": _upsample("trilinear"),
    "hardtanh": _hardtanh, "gelu": _pointwise("GELU", ("approximate", "approximate", "none")),
    "leaky_relu": _pointwise("LeakyReLU", ("negative_slope", "negative_slope", 0.01)),
    "elu": _pointwise("ELU", ("alpha", "alpha", 1)),
    "celu": _pointwise("CELU", ("alpha", "alpha", 1)), "glu": _glu,
    "softplus": _pointwise("Softplus", ("beta", "beta", 1), ("threshold", "threshold", 20)),
    "clamp": _clamp,
    "pow": _power,
    "dropout": _dropout, "feature_dropout": _dropout, "alpha_dropout": _dropout,
    "softmax": _softmax("Softmax"), "log_softmax": _softmax("LogSoftmax"), "pad": _pad,
    "channel_shuffle": _channel_shuffle, "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
}  # fmt: skip
"""By the name of the operation."""
