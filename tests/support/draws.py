"""Layers drawn at random, each fitting the value that it reads.

A function a kind: given the shape of a value (without the batch), it draws a layer as plain data
and says the shape that it gives, or None where the kind does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T")
Shape = tuple[int, ...]
Entry = dict[str, object]
Made = tuple[Entry, Shape]

LARGEST = 300
"""No value holds more numbers than this for one example."""


@dataclass(frozen=True)
class Draws:
    """Hypothesis's ``draw`` with the few things that are drawn here."""

    draw: Callable[..., T]

    def pick(self, options: Sequence[T]) -> T:
        return self.draw(st.sampled_from(options))

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def flag(self) -> bool:
        return self.draw(st.booleans())

    def order(self, items: Sequence[T]) -> list[T]:
        return self.draw(st.permutations(items))


ACTIVATIONS: tuple[Entry, ...] = (
    {"type": "ReLU"}, {"type": "ReLU"}, {"type": "ReLU6"}, {"type": "Tanh"}, {"type": "Sigmoid"},
    {"type": "GELU"}, {"type": "SiLU"}, {"type": "LeakyReLU"}, {"type": "ELU"},
    {"type": "Softplus"}, {"type": "Hardswish"}, {"type": "Hardtanh"}, {"type": "Identity"},
    {"type": "Dropout"}, {"type": "Hardtanh", "min_val": 0.5, "max_val": 2.0},
    {"type": "Threshold", "threshold": 0.1, "value": 0.7}, {"type": "Softshrink"},
    {"type": "Hardsigmoid"}, {"type": "RReLU"},
)  # fmt: skip


def divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def activation(d: Draws, shape: Shape) -> Made | None:
    return dict(d.pick(ACTIVATIONS)), shape


def prelu(d: Draws, shape: Shape) -> Made | None:
    return {"type": "PReLU", "num_parameters": d.pick([1, shape[0]])}, shape


def linear(d: Draws, shape: Shape) -> Made | None:
    out = d.number(1, 6)
    return {"type": "Linear", "out_features": out, "bias": d.flag()}, (*shape[:-1], out)


def conv(d: Draws, shape: Shape) -> Made | None:
    """Plain, grouped and depthwise; kernels of 1 to 3; strides, dilations, even kernels."""
    rank, channels = len(shape) - 1, shape[0]
    if rank not in (1, 2, 3):
        return None
    groups = d.pick(divisors(channels))
    kernel = tuple(d.number(1, min(3, size)) for size in shape[1:])
    entry: Entry = {
        "type": f"Conv{rank}d",
        "out_channels": groups * d.number(1, max(1, 6 // groups)),
        "kernel_size": list(kernel),
        "groups": groups,
        "bias": d.flag(),
    }
    if d.flag():
        entry["padding"] = "same"
        entry["dilation"] = d.number(1, 2)
        return entry, (int(str(entry["out_channels"])), *shape[1:])
    padding = [d.number(0, k // 2) for k in kernel]
    stride = d.number(1, 2)
    entry |= {"padding": padding, "stride": stride}
    spatial = tuple(
        (size + 2 * p - k) // stride + 1
        for size, p, k in zip(shape[1:], padding, kernel, strict=True)
    )
    return entry, (int(str(entry["out_channels"])), *spatial)


def conv_transpose(d: Draws, shape: Shape) -> Made | None:
    rank, channels = len(shape) - 1, shape[0]
    if rank not in (1, 2):
        return None
    groups, kernel, stride = d.pick(divisors(channels)), d.number(1, 3), d.number(1, 2)
    padding = d.number(0, (kernel - 1) // 2)
    out = groups * d.number(1, max(1, 6 // groups))
    spatial = tuple((size - 1) * stride - 2 * padding + kernel for size in shape[1:])
    return {
        "type": f"ConvTranspose{rank}d",
        "out_channels": out,
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "groups": groups,
        "bias": d.flag(),
    }, (out, *spatial)


def batch_norm(d: Draws, shape: Shape) -> Made | None:
    if len(shape) > 4:
        return None
    kind = {"type": f"BatchNorm{max(len(shape) - 1, 1)}d"}
    options: list[Entry] = [{}, {}, {}, {"affine": False}, {"track_running_stats": False}]
    return {**kind, **d.pick(options)}, shape


def instance_norm(d: Draws, shape: Shape) -> Made | None:
    if not 2 <= len(shape) <= 4 or prod(shape[1:]) < 2:
        return None
    return {
        "type": f"InstanceNorm{len(shape) - 1}d",
        "affine": d.flag(),
        "track_running_stats": d.flag(),
    }, shape


def group_norm(d: Draws, shape: Shape) -> Made | None:
    groups = [g for g in divisors(shape[0]) if prod(shape) > g]
    if not groups:
        return None
    return {"type": "GroupNorm", "num_groups": d.pick(groups), "affine": d.flag()}, shape


def layer_norm(d: Draws, shape: Shape) -> Made | None:
    count = d.number(1, len(shape))
    if prod(shape[len(shape) - count :]) < 2:
        return None
    options: list[Entry] = [{}, {}, {"elementwise_affine": False}, {"bias": False}]
    entry: Entry = {"type": "LayerNorm", **d.pick(options)}
    if count > 1:
        entry["normalized_shape"] = list(shape[len(shape) - count :])
    return entry, shape


def layer_scale(d: Draws, shape: Shape) -> Made | None:
    return {"type": "LayerScale"}, shape


def pool(d: Draws, shape: Shape) -> Made | None:
    rank = len(shape) - 1
    if rank not in (1, 2) or min(shape[1:]) < 2:
        return None
    kind = d.pick(["MaxPool", "AvgPool", "LPPool", "AdaptiveAvgPool", "AdaptiveMaxPool"])
    if kind.startswith("Adaptive"):
        to = d.number(1, 2)
        return {"type": f"{kind}{rank}d", "output_size": to}, (shape[0], *[to] * rank)
    entry: Entry = {"type": f"{kind}{rank}d", "kernel_size": 2, "stride": d.number(1, 2)}
    if kind == "LPPool":
        entry["norm_type"] = 2
    padding = d.number(0, 1) if kind != "LPPool" else 0
    if padding:
        entry["padding"] = padding
    step = int(str(entry["stride"]))
    return entry, (shape[0], *((size + 2 * padding - 2) // step + 1 for size in shape[1:]))


def upsample(d: Draws, shape: Shape) -> Made | None:
    if not 2 <= len(shape) <= 3:
        return None
    modes = {2: ["nearest", "linear"], 3: ["nearest", "bilinear", "bicubic"]}[len(shape)]
    entry: Entry = {"type": "Upsample", "scale_factor": 2, "mode": d.pick(modes)}
    return entry, (shape[0], *(2 * size for size in shape[1:]))


def pad(d: Draws, shape: Shape) -> Made | None:
    rank = len(shape) - 1
    if rank not in (1, 2):
        return None
    pads = [d.number(0, 1) for _ in range(2 * rank)]
    kind = d.pick(["ZeroPad", "ReplicationPad", "ConstantPad"])
    entry: Entry = {"type": f"{kind}{rank}d", "padding": pads}
    if kind == "ConstantPad":
        entry["value"] = 0.5
    sizes = (
        size + pads[2 * (rank - 1 - i)] + pads[2 * (rank - 1 - i) + 1]
        for i, size in enumerate(shape[1:])
    )
    return entry, (shape[0], *sizes)


def pixel_shuffle(d: Draws, shape: Shape) -> Made | None:
    if len(shape) != 3 or shape[0] % 4:
        return None
    return {"type": "PixelShuffle", "upscale_factor": 2}, (
        shape[0] // 4, 2 * shape[1], 2 * shape[2],
    )  # fmt: skip


def pixel_unshuffle(d: Draws, shape: Shape) -> Made | None:
    if len(shape) != 3 or shape[1] % 2 or shape[2] % 2:
        return None
    return {"type": "PixelUnshuffle", "downscale_factor": 2}, (
        4 * shape[0], shape[1] // 2, shape[2] // 2,
    )  # fmt: skip


def channel_shuffle(d: Draws, shape: Shape) -> Made | None:
    groups = [n for n in divisors(shape[0]) if 1 < n < shape[0]]
    if len(shape) < 2 or not groups:
        return None
    return {"type": "ChannelShuffle", "groups": d.pick(groups)}, shape


def permute(d: Draws, shape: Shape) -> Made | None:
    if len(shape) < 2:
        return None
    dims = d.order(range(1, len(shape) + 1))
    return {"type": "Permute", "dims": list(dims)}, tuple(shape[i - 1] for i in dims)


def flatten(d: Draws, shape: Shape) -> Made | None:
    if len(shape) < 2:
        return None
    start = d.number(1, len(shape) - 1)
    end = d.number(start + 1, len(shape))
    flat = prod(shape[start - 1 : end])
    entry: Entry = {"type": "Flatten", "start_dim": start, "end_dim": end}
    return entry, (*shape[: start - 1], flat, *shape[end:])


def softmax(d: Draws, shape: Shape) -> Made | None:
    kind = d.pick(["Softmax", "LogSoftmax", "Softmin"])
    return {"type": kind, "dim": d.number(1, len(shape))}, shape


def _halved(d: Draws, shape: Shape, by: int) -> tuple[int, Shape] | None:
    axes = [i for i, size in enumerate(shape) if size % by == 0]
    if not axes:
        return None
    at = d.pick(axes)
    return at + 1, (*shape[:at], shape[at] // by, *shape[at + 1 :])


def glu(d: Draws, shape: Shape) -> Made | None:
    found = _halved(d, shape, 2)
    return found and ({"type": "GLU", "dim": found[0]}, found[1])


def maxout(d: Draws, shape: Shape) -> Made | None:
    pieces = d.number(2, 3)
    found = _halved(d, shape, pieces)
    return found and ({"type": "Maxout", "pieces": pieces, "dim": found[0]}, found[1])


KINDS = (
    conv, conv, conv, linear, linear, activation, activation, batch_norm, batch_norm, prelu,
    group_norm, layer_norm, layer_scale, instance_norm, pool, upsample, pad, conv_transpose,
    pixel_shuffle, pixel_unshuffle, channel_shuffle, permute, flatten, softmax, glu, maxout,
)  # fmt: skip


def layer(d: Draws, shape: Shape) -> Made:
    """A layer of any kind that fits; the value that it gives is of a bounded size."""
    for _ in range(4):
        made = d.pick(KINDS)(d, shape)
        if made is not None and 0 < prod(made[1]) <= LARGEST:
            return made
    return {"type": "ReLU"}, shape


def _same_conv(d: Draws, shape: Shape, channels: int) -> Entry | None:
    """A convolution of stride 1 that keeps the size."""
    rank = len(shape) - 1
    if rank not in (1, 2, 3):
        return None
    groups = d.pick([g for g in divisors(shape[0]) if channels % g == 0])
    entry: Entry = {"out_channels": channels, "groups": groups, "bias": d.flag()}
    if rank < 3 and d.pick([False, False, True]):
        half = d.number(0, 1)
        kernel: Entry = {"kernel_size": 2 * half + 1, "padding": half}
        return {"type": f"ConvTranspose{rank}d", **entry, **kernel}
    kernel = {"kernel_size": d.number(1, 3), "padding": "same", "dilation": d.number(1, 2)}
    mode = d.pick(["zeros", "zeros", "replicate"])
    return {"type": f"Conv{rank}d", **entry, **kernel, "padding_mode": mode}


def _core(d: Draws, shape: Shape, times: int = 1) -> Entry | None:
    if d.flag() or len(shape) == 1:
        return {"type": "Linear", "out_features": times * shape[-1], "bias": d.flag()}
    return _same_conv(d, shape, times * shape[0])


def unit(d: Draws, shape: Shape) -> dict[str, Entry] | None:
    """A convolution or Linear, with a norm and an activation or without."""
    core = _core(d, shape)
    found = {"new": core} if core else {}
    if d.flag():
        found["new_bn"] = {"type": f"BatchNorm{max(len(shape) - 1, 1)}d"}
    if d.flag():
        slopes: Entry = {"type": "PReLU", "num_parameters": d.pick([1, shape[0]])}
        found["new_act"] = d.pick([*ACTIVATIONS[:8], slopes, slopes])
    return found or None


def padded(d: Draws, shape: Shape) -> dict[str, Entry] | None:
    """Unequal zeros around an even or odd kernel."""
    rank = len(shape) - 1
    if rank not in (1, 2):
        return None
    pads = [d.number(0, 1) for _ in range(2 * rank)]
    pairs = [(pads[2 * i], pads[2 * i + 1]) for i in reversed(range(rank))]
    kernel = [1 + before + after for before, after in pairs]
    return {
        "new_pad": {"type": f"ZeroPad{rank}d", "padding": pads},
        "new": {"type": f"Conv{rank}d", "out_channels": shape[0], "kernel_size": kernel},
    }


def maxout_unit(d: Draws, shape: Shape) -> dict[str, Entry] | None:
    pieces = d.number(2, 3)
    core = _core(d, shape, pieces)
    if core is None:
        return None
    dim = len(shape) if core["type"] == "Linear" else 1
    return {"new": core, "new_max": {"type": "Maxout", "pieces": pieces, "dim": dim}}


def branch(d: Draws, shape: Shape) -> dict[str, Entry]:
    """The layers of a new branch that gives the shape that it reads."""
    inner = d.number(1, 5)
    rank = len(shape) - 1
    first: Entry = {"type": "Linear", "out_features": inner}
    last: Entry = {"type": "Linear", "out_features": shape[-1]}
    if rank in (1, 2, 3):
        kind = {"type": f"Conv{rank}d", "kernel_size": d.number(1, 3), "padding": "same"}
        first, last = {**kind, "out_channels": inner}, {**kind, "out_channels": shape[0]}
    found = {"in": first, "act": dict(d.pick(ACTIVATIONS)), "out": last}
    ends: list[dict[str, Entry]] = [
        {}, {"bn": {"type": f"BatchNorm{max(rank, 1)}d"}}, {"relu": {"type": "ReLU"}},
        {"scale": {"type": "LayerScale"}}, {"drop": {"type": "Dropout"}}, {"sig": {"type": "Tanh"}},
        {"bn": {"type": f"BatchNorm{max(rank, 1)}d", "affine": False}},
        {"soft": {"type": "Softplus"}},
    ]  # fmt: skip
    return {**found, **d.pick(ends)}


def residual(d: Draws, shape: Shape) -> dict[str, Entry] | None:
    """A sum of the value itself and a new branch."""
    branches = [branch(d, shape), {}]
    found: dict[str, Entry] = {"new": {"type": "Add", "branches": d.order(branches)}}
    if d.flag():
        found["new_relu"] = {"type": "ReLU"}
    return found


def one_layer(d: Draws, shape: Shape) -> dict[str, Entry] | None:
    return {"new": layer(d, shape)[0]}


INSERTIONS = (unit, unit, unit, padded, maxout_unit, residual, residual, one_layer)
