"""A small network around every layer type: first writes the width n, last reads it.

Every net is written as torch modules and as a spec; see nets.py. A name is the layer type, with
what is special about it behind a colon.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from net2net_cli.layers.table import LAYER_TYPES
from tests.growth.nets import ALL, COPIES, EACH, ZERO, Net, Told, chain
from tests.growth.vector_nets import VECTOR_NETS

IMAGES = {1: (3, 9), 2: (3, 7, 7), 3: (3, 5, 5, 5)}


def between(
    name: str,
    text: str,
    middle: Any,
    *,
    rank: int = 2,
    bears: frozenset[str] = EACH,
    first: str = "",
    head: int = 1,
    **torch_first: Any,
) -> Net:
    """A layer ``x`` between two convolutions; ``first`` and ``torch_first`` are arguments of the
    first, ``head`` is the last one's kernel. ``middle`` may depend on n."""
    conv = getattr(nn, f"Conv{rank}d")
    wide = torch_first.pop("wide", 1)
    many = "$n" if wide == 1 else f"$n{wide}"
    layers = f"""
        first: {{type: Conv{rank}d, out_channels: {many}, kernel_size: 3{first}}}
        x: {text}
        last: {{type: Conv{rank}d, out_channels: 2, kernel_size: {head}}}
    """
    reads = torch_first.pop("reads", lambda n: n)

    def module(n: int) -> nn.Module:
        x = middle(n) if callable(middle) and not isinstance(middle, nn.Module) else middle
        return chain(first=conv(3, wide * n, 3, **torch_first), x=x, last=conv(reads(n), 2, head))

    return Net(name, layers, module, (IMAGES[rank],), bears)


def activations() -> Iterator[Net]:
    """Whatever acts on each number alone."""
    nothing_at_zero = {"Sigmoid", "Hardsigmoid", "LogSigmoid", "Softplus"}
    plain = {"Identity", "Dropout", "Dropout2d"}
    for name, kind in LAYER_TYPES.items():
        other = name in ("Threshold", "Dropout1d", "Dropout3d") or not hasattr(nn, name)
        if kind.rule != "pointwise" or other:
            continue
        bears = EACH if name in nothing_at_zero else ALL if name in plain else ZERO
        yield between(name, f"{{type: {name}}}", getattr(nn, name)(), bears=bears)
    for rank in (1, 3):
        dropout = getattr(nn, f"Dropout{rank}d")()
        yield between(f"Dropout{rank}d", f"{{type: Dropout{rank}d}}", dropout, rank=rank, bears=ALL)
    for name, text, module, bears in (
        ("Threshold:moves 0", "threshold: 0.1, value: 0.7", nn.Threshold(0.1, 0.7), EACH),
        ("Threshold:keeps 0", "threshold: -0.1, value: 0.7", nn.Threshold(-0.1, 0.7), ZERO),
        ("Hardtanh:above 0", "min_val: 0.5, max_val: 2", nn.Hardtanh(0.5, 2), EACH),
        ("GELU:tanh", "approximate: tanh", nn.GELU("tanh"), ZERO),
        ("LeakyReLU:slope", "negative_slope: 0.3", nn.LeakyReLU(0.3), ZERO),
        ("Softmax:positions", "dim: 2", nn.Softmax(2), EACH),
        ("Softmin:positions", "dim: -1", nn.Softmin(-1), EACH),
        ("LogSoftmax:positions", "dim: 3", nn.LogSoftmax(3), EACH),
    ):
        yield between(name, f"{{type: {name.partition(':')[0]}, {text}}}", module, bears=bears)
    yield between("PReLU:one slope", "{type: PReLU}", lambda _: nn.PReLU(), bears=ZERO)
    yield between("PReLU:a slope each", "{type: PReLU, num_parameters: $n}", nn.PReLU, bears=ZERO)
    yield between("GLU", "{type: GLU, dim: 1}", nn.GLU(1), bears=ZERO, wide=2)


def functions() -> Iterator[Net]:
    """Functions of torch that act on each number alone."""
    for name, text, function, bears in (
        ("Scale", ", value: -1.5", lambda x: x * -1.5, ALL),
        ("Shift", ", value: 0.5", lambda x: x + 0.5, EACH),
        ("Power", ", exponent: 3", lambda x: x**3, ZERO),
        ("Clamp", ", min: -0.5, max: 1", lambda x: x.clamp(-0.5, 1), ZERO),
        ("Clamp:above 0", ", min: 0.1", lambda x: x.clamp(min=0.1), EACH),
        ("Abs", "", torch.abs, ZERO),
        ("Exp", "", torch.exp, EACH),
        ("Expm1", "", torch.expm1, ZERO),
        ("Square", "", torch.square, ZERO),
        ("Reciprocal", "", torch.reciprocal, EACH),
        ("Negative", "", torch.neg, ALL),
        ("Sin", "", torch.sin, ZERO),
        ("Cos", "", torch.cos, EACH),
        ("Atan", "", torch.atan, ZERO),
        ("Erf", "", torch.erf, ZERO),
        ("Sign", "", torch.sign, ZERO),
        ("StochasticDepth", ", p: 0.4, mode: batch", lambda x: x, ALL),
    ):
        kind = name.partition(":")[0]
        yield between(name, f"{{type: {kind}{text}}}", Told(function), bears=bears)
    for name, before, bears in (
        ("Log", nn.Softplus(), EACH),
        ("Log1p", nn.ReLU(), ZERO),
        ("Sqrt", nn.ReLU(), ZERO),
        ("Rsqrt", nn.Softplus(), EACH),
    ):
        function = Told(getattr(torch, name.lower()))
        yield Net(
            name,
            f"""fc: {{type: Linear, out_features: $n}}
               positive: {{type: {type(before).__name__}}}
               x: {{type: {name}}}
               last: {{type: Linear, out_features: 3}}""",
            lambda n, before=before, x=function: chain(
                fc=nn.Linear(5, n), positive=before, x=x, last=nn.Linear(n, 3)
            ),
            ((5,),), bears,
        )  # fmt: skip


def norms() -> Iterator[Net]:
    """Norms over batch and positions, and over groups."""
    for rank in (1, 2, 3):
        batch, instance = (getattr(nn, f"{kind}Norm{rank}d") for kind in ("Batch", "Instance"))
        options = {
            "": "",
            ":no affine": ", affine: false",
            ":no statistics": ", track_running_stats: false",
            ":eps": ", eps: 0.3, momentum: null",
        }
        makers = {
            "": batch,
            ":no affine": lambda n, batch=batch: batch(n, affine=False),
            ":no statistics": lambda n, batch=batch: batch(n, track_running_stats=False),
            ":eps": lambda n, batch=batch: batch(n, eps=0.3, momentum=None),
        }
        for what, text in options.items():
            if rank == 2 or not what:
                name = f"BatchNorm{rank}d"
                yield between(
                    name + what, f"{{type: {name}{text}}}", makers[what], rank=rank, bears=ZERO
                )
        name = f"InstanceNorm{rank}d"
        yield between(name, f"{{type: {name}}}", instance, rank=rank, bears=ZERO)
        yield between(
            f"{name}:affine",
            f"{{type: {name}, affine: true, track_running_stats: true}}",
            lambda n, instance=instance: instance(n, affine=True, track_running_stats=True),
            rank=rank,
            bears=ZERO,
        )
    yield between(
        "LocalResponseNorm",
        "{type: LocalResponseNorm, size: 3, alpha: 0.5}",
        nn.LocalResponseNorm(3, 0.5),
        bears=frozenset({"zero"}),
    )
    yield between(
        "GroupNorm:more groups",
        "{type: GroupNorm, num_groups: $n}",
        lambda n: nn.GroupNorm(n, 3 * n),
        bears=ZERO, wide=3, reads=lambda n: 3 * n,
    )  # fmt: skip
    yield between(
        "GroupNorm:larger groups",
        "{type: GroupNorm, num_groups: 2}",
        lambda n: nn.GroupNorm(2, 2 * n),
        bears=COPIES, wide=2, reads=lambda n: 2 * n,
    )  # fmt: skip
    yield between(
        "GroupNorm:one group",
        "{type: GroupNorm, num_groups: 1, affine: false}",
        lambda n: nn.GroupNorm(1, n, affine=False),
        bears=COPIES,
    )
    yield between(
        "GroupNorm:a group each",
        "{type: GroupNorm, num_groups: $n}",
        lambda n: nn.GroupNorm(n, n),
        bears=ZERO,
    )


def spatial() -> Iterator[Net]:
    """Poolings and paddings of one, two and three spatial axes."""
    for rank in (1, 2, 3):
        sides = ", ".join(str(1 + i % 2) for i in range(2 * rank))
        pads = tuple(1 + i % 2 for i in range(2 * rank))
        for name, text, args, options, bears in (
            ("MaxPool", "kernel_size: 2, stride: 1, padding: 1", (2, 1, 1), {}, ZERO),
            ("AvgPool", "kernel_size: 2, padding: 1, count_include_pad: false", (2, None, 1),
             {"count_include_pad": False}, ZERO),
            ("LPPool", "norm_type: 2, kernel_size: 2", (2, 2), {}, ZERO),
            ("AdaptiveAvgPool", "output_size: 2", (2,), {}, ZERO),
            ("AdaptiveMaxPool", "output_size: 2", (2,), {}, ZERO),
            ("ZeroPad", f"padding: [{sides}]", (pads,), {}, ZERO),
            ("ReflectionPad", f"padding: [{sides}]", (pads,), {}, ZERO),
            ("ReplicationPad", f"padding: [{sides}]", (pads,), {}, ZERO),
            ("CircularPad", f"padding: [{sides}]", (pads,), {}, ZERO),
            ("ConstantPad", f"padding: [{sides}], value: 0.5", (pads, 0.5), {}, EACH),
        ):  # fmt: skip
            kind = f"{name}{rank}d"
            module = getattr(nn, kind)(*args, **options)
            yield between(kind, f"{{type: {kind}, {text}}}", module, rank=rank, bears=bears)
    yield between(
        "Upsample", "{type: Upsample, scale_factor: 2}", nn.Upsample(scale_factor=2), bears=ZERO
    )
    yield between(
        "Upsample:bilinear",
        "{type: Upsample, size: [9, 4], mode: bilinear, align_corners: true}",
        nn.Upsample(size=(9, 4), mode="bilinear", align_corners=True),
        bears=ZERO,
    )
    yield between(
        "PixelShuffle",
        "{type: PixelShuffle, upscale_factor: 2}",
        nn.PixelShuffle(2),
        bears=ALL, wide=4,
    )  # fmt: skip
    yield between(
        "PixelUnshuffle",
        "{type: PixelUnshuffle, downscale_factor: 5}",
        nn.PixelUnshuffle(5),
        bears=ALL, reads=lambda n: 25 * n,
    )  # fmt: skip


def convolutions() -> Iterator[Net]:
    """Readers and writers: every convolution in the middle, n wide on both its sides."""
    for rank in (1, 2, 3):
        conv, transposed = getattr(nn, f"Conv{rank}d"), getattr(nn, f"ConvTranspose{rank}d")
        for turned, make in (("", conv), ("Transpose", transposed)):
            kind = f"Conv{turned}{rank}d"
            yield between(
                kind,
                f"{{type: {kind}, out_channels: $n3, kernel_size: 2, stride: 2}}",
                lambda n, make=make: make(n, 3 * n, 2, stride=2),
                rank=rank, bears=ALL, reads=lambda n: 3 * n,
            )  # fmt: skip
            yield between(
                f"{kind}:depthwise",
                f"{{type: {kind}, out_channels: $n, kernel_size: 3, groups: $n}}",
                lambda n, make=make: make(n, n, 3, groups=n),
                rank=rank, bears=ZERO,
            )  # fmt: skip
    for name, text, module, bears, more in _conv_options():
        kind = name.partition(":")[0]
        yield between(name, f"{{type: {kind}, {text}}}", module, bears=bears, **more)


def _conv_options() -> Iterator[tuple[str, str, Any, frozenset[str], dict[str, Any]]]:
    def grouped(make: type[nn.Module]) -> Any:
        return lambda n: make(2 * n, 2 * n, 3, groups=2)

    text = "out_channels: $n2, kernel_size: 3, groups: 2"
    both = {"wide": 2, "reads": lambda n: 2 * n}
    yield "Conv2d:wider groups", text, grouped(nn.Conv2d), ALL, both
    yield "ConvTranspose2d:wider groups", text, grouped(nn.ConvTranspose2d), ALL, both
    text = "out_channels: $n3, kernel_size: 3, groups: $n"
    more = {"wide": 2, "reads": lambda n: 3 * n}
    for make in (nn.Conv2d, nn.ConvTranspose2d):
        kind = make.__name__
        yield (
            f"{kind}:more groups",
            text,
            lambda n, m=make: m(2 * n, 3 * n, 3, groups=n),
            ZERO,
            more,
        )
    yield (
        "Conv2d:same, dilated", "out_channels: 5, kernel_size: 2, padding: same, dilation: 3",
        lambda n: nn.Conv2d(n, 5, 2, padding="same", dilation=3), ALL, {"reads": lambda _: 5},
    )  # fmt: skip
    for mode in ("reflect", "replicate", "circular"):
        yield (
            f"Conv2d:{mode}",
            f"out_channels: 5, kernel_size: [3, 2], padding: [1, 2], padding_mode: {mode}",
            lambda n, mode=mode: nn.Conv2d(
                n, 5, (3, 2), padding=(1, 2), padding_mode=mode
            ),
            ALL, {"reads": lambda _: 5},
        )  # fmt: skip
    yield (
        "ConvTranspose2d:upward",
        "out_channels: 5, kernel_size: 3, stride: 2, padding: 1, output_padding: 1, bias: false",
        lambda n: nn.ConvTranspose2d(n, 5, 3, 2, 1, 1, bias=False), ALL, {"reads": lambda _: 5},
    )  # fmt: skip


LAYER_NETS = (
    *activations(), *functions(), *norms(), *spatial(), *convolutions(), *VECTOR_NETS,
)  # fmt: skip
