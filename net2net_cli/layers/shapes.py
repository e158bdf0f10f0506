"""Sizes of spatial axes: what a convolution, pooling, padding or upsampling makes of them.

The formulas are those of torch.nn's reference pages. A ValueError says what does not fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor, prod

from net2net_cli.layers.table import LayerType
from net2net_cli.network import Value

Sizes = tuple[int, ...]


def spatial_sizes(kind: LayerType, args: Mapping[str, Value], sizes: Sizes) -> Sizes:
    """The sizes of the spatial axes after a layer; ValueError where it cannot be applied."""
    found = sizes
    match kind.spatial:
        case "conv":
            found = _conv(args, sizes)
        case "transposed":
            found = _transposed(args, sizes)
        case "pool":
            found = _pool(args, sizes)
        case "adaptive":
            wanted = _per_axis(args["output_size"], len(sizes))
            found = tuple(s if w is None else w for s, w in zip(sizes, wanted, strict=True))
        case "upsample":
            found = _upsample(args, sizes)
        case "pad":
            found = _pad(args, sizes)
    if any(size < 1 for size in found):
        raise ValueError(f"makes nothing of an image of {' x '.join(map(str, sizes))}")
    return found


def before_after(args: Mapping[str, Value], rank: int) -> list[tuple[int, int]]:
    """The zeros that a convolution puts before and after each spatial axis."""
    if args["padding"] == "valid":
        return [(0, 0)] * rank
    kernel, dilation = _ints(args["kernel_size"], rank), _ints(args["dilation"], rank)
    if args["padding"] == "same":
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return [(t // 2, t - t // 2) for t in totals]
    return [(p, p) for p in _ints(args["padding"], rank)]


def pad_pairs(padding: Value, rank: int) -> list[tuple[int, int]]:
    """A flat padding of torch's (last axis first) as (before, after) for each axis in order."""
    flat = padding if isinstance(padding, tuple) else (padding,) * (2 * rank)
    values = [int(str(v)) for v in flat]
    return [(values[2 * i], values[2 * i + 1]) for i in reversed(range(rank))]


def _per_axis(value: Value, rank: int) -> tuple[int | None, ...]:
    found = value if isinstance(value, tuple) else (value,) * rank
    if len(found) != rank:
        raise ValueError(f"gives {len(found)} sizes for {rank} axes")
    return tuple(None if v is None else int(str(v)) for v in found)


def _ints(value: Value, rank: int) -> Sizes:
    return tuple(v or 0 for v in _per_axis(value, rank))


def _conv(args: Mapping[str, Value], sizes: Sizes) -> Sizes:
    rank = len(sizes)
    kernel, dilation = _ints(args["kernel_size"], rank), _ints(args["dilation"], rank)
    stride = _ints(args["stride"], rank)
    if args["padding"] == "same":
        if any(s != 1 for s in stride):
            raise ValueError("cannot have padding `same` with a stride")
        return sizes
    pads = (0,) * rank if args["padding"] == "valid" else _ints(args["padding"], rank)
    return tuple(
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, d, s, p in zip(sizes, kernel, dilation, stride, pads, strict=True)
    )


def _transposed(args: Mapping[str, Value], sizes: Sizes) -> Sizes:
    rank = len(sizes)
    names = ("kernel_size", "dilation", "stride", "padding", "output_padding")
    columns = [_ints(args[name], rank) for name in names]
    return tuple(
        (size - 1) * s - 2 * p + d * (k - 1) + o + 1
        for size, k, d, s, p, o in zip(sizes, *columns, strict=True)
    )


def _pool(args: Mapping[str, Value], sizes: Sizes) -> Sizes:
    rank = len(sizes)
    kernel = _ints(args["kernel_size"], rank)
    stride = kernel if args.get("stride") is None else _ints(args["stride"], rank)
    pads = _ints(args.get("padding", 0), rank)
    dilation = _ints(args.get("dilation", 1), rank)
    if any(2 * p > k for p, k in zip(pads, kernel, strict=True)):
        raise ValueError("pads by more than half its kernel")
    found = []
    for size, k, s, p, d in zip(sizes, kernel, stride, pads, dilation, strict=True):
        steps = (size + 2 * p - d * (k - 1) - 1) / s
        out = (ceil(steps) if args.get("ceil_mode") else floor(steps)) + 1
        if args.get("ceil_mode") and (out - 1) * s >= size + p:
            out -= 1
        found.append(out)
    return tuple(found)


def _upsample(args: Mapping[str, Value], sizes: Sizes) -> Sizes:
    if args.get("size") is not None:
        return _ints(args["size"], len(sizes))
    scale = args.get("scale_factor")
    if scale is None:
        raise ValueError("needs `size` or `scale_factor`")
    factors = scale if isinstance(scale, tuple) else (scale,) * len(sizes)
    return tuple(floor(s * float(str(f))) for s, f in zip(sizes, factors, strict=True))


def _pad(args: Mapping[str, Value], sizes: Sizes) -> Sizes:
    pairs = pad_pairs(args["padding"], len(sizes))
    return tuple(s + before + after for s, (before, after) in zip(sizes, pairs, strict=True))


def unfolded(args: Mapping[str, Value], sizes: Sizes) -> Sizes:
    """The taps of a window of an image, and the number of its windows (torch.nn.Unfold)."""
    steps = _conv(args, sizes)
    if any(step < 1 for step in steps):
        raise ValueError(f"makes nothing of an image of {' x '.join(map(str, sizes))}")
    return prod(_ints(args["kernel_size"], len(sizes))), prod(steps)
