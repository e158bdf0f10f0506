"""The layer types: torch's own names and arguments, and each type's tensors in arrow notation.

A type is a line of data (``kinds`` says what it holds). Those without parameters are in
``pointwise`` and ``structure``.
Sources: the reference of torch.nn for names, defaults, shapes and initialisation.
"""

from __future__ import annotations

from collections.abc import Mapping

from net2net_cli.layers.attention import ATTENTION
from net2net_cli.layers.kinds import (
    Arg,
    Fill,
    LayerType,
    TensorLine,
    flag,
    has_tensor,
    number,
    tensor_name,
)
from net2net_cli.layers.pointwise import ACTIVATIONS, FUNCTIONS
from net2net_cli.layers.recurrent import RECURRENT
from net2net_cli.layers.structure import STRUCTURE

__all__ = ["LAYER_TYPES", "Arg", "Fill", "LayerType", "TensorLine", "has_tensor", "tensor_name"]

_WEIGHT = TensorLine("weight", "(groups out) <- in", "uniform", kernel=True)
_GROUPED_BIAS = TensorLine("bias", "(groups out)", "uniform", when="bias")
_MODES = ("zeros", "reflect", "replicate", "circular")


def _conv(rank: int) -> LayerType:
    return LayerType(
        f"Conv{rank}d",
        "channels",
        (
            Arg("out_channels", "int", "required"),
            Arg("kernel_size", "size", "required"),
            Arg("stride", "size", default=1),
            Arg("padding", "padding", default=0, low=0),
            Arg("dilation", "size", default=1),
            Arg("groups", "int", default=1),
            flag("bias", True),
            Arg("padding_mode", "str", default="zeros", choices=_MODES),
            Arg("in_channels", "int", "inferred"),
        ),
        rank,
        "(groups in) -> (groups out)",
        (_WEIGHT, _GROUPED_BIAS),
        {"out_channels": "(groups out)", "in_channels": "(groups in)", "groups": "groups"},
        spatial="conv",
    )


def _conv_transpose(rank: int) -> LayerType:
    return LayerType(
        f"ConvTranspose{rank}d",
        "channels",
        (
            Arg("out_channels", "int", "required"),
            Arg("kernel_size", "size", "required"),
            Arg("stride", "size", default=1),
            Arg("padding", "size", default=0, low=0),
            Arg("output_padding", "size", default=0, low=0),
            Arg("groups", "int", default=1),
            flag("bias", True),
            Arg("dilation", "size", default=1),
            Arg("padding_mode", "str", default="zeros", choices=("zeros",)),
            Arg("in_channels", "int", "inferred"),
        ),
        rank,
        "(groups in) -> (groups out)",
        (TensorLine("weight", "(groups in) -> out", "uniform", kernel=True), _GROUPED_BIAS),
        {"out_channels": "(groups out)", "in_channels": "(groups in)", "groups": "groups"},
        spatial="transposed",
    )


_AFFINE = (
    TensorLine("weight", "c", "ones", when="affine"),
    TensorLine("bias", "c", "zeros", when="affine"),
)
_RUNNING = (
    TensorLine("running_mean", "c", "zeros", when="track_running_stats", buffer=True),
    TensorLine("running_var", "c", "ones", when="track_running_stats", buffer=True),
    TensorLine("num_batches_tracked", "", "count", when="track_running_stats", buffer=True),
)


def _batch_norm(kind: str, rank: int, affine: bool, track: bool) -> LayerType:
    return LayerType(
        f"{kind}{rank}d",
        "channels",
        (
            Arg("num_features", "int", "inferred"),
            number("eps", 1e-5),
            Arg("momentum", "float", default=0.1, none=True),
            flag("affine", affine),
            flag("track_running_stats", track),
        ),
        rank,
        "c -> c",
        _AFFINE + _RUNNING,
        {"num_features": "c"},
    )


def _pool(name: str, rank: int, extra: tuple[Arg, ...], padding: bool = True) -> LayerType:
    args = (
        Arg("kernel_size", "size", "required"),
        Arg("stride", "size", none=True),
        *((Arg("padding", "size", default=0, low=0),) if padding else ()),
        *extra,
    )
    return LayerType(f"{name}{rank}d", "channels", args, rank, "c -> c", spatial="pool")


def _adaptive(name: str, rank: int) -> LayerType:
    args = (Arg("output_size", "size", "required", none=True),)
    return LayerType(f"{name}{rank}d", "channels", args, rank, "c -> c", spatial="adaptive")


def _pad(name: str, rank: int, *extra: Arg, zero: bool = True) -> LayerType:
    args = (Arg("padding", "pads", "required", low=0), *extra)
    return LayerType(f"{name}{rank}d", "channels", args, rank, "c -> c", spatial="pad", zero=zero)


_LAYER_NORM = (
    Arg("normalized_shape", "ints", "inferred"),
    number("eps", 1e-5),
    flag("elementwise_affine", True),
    flag("bias", True),
)
_NORM_TENSORS = (
    TensorLine("weight", "*", "ones", when="elementwise_affine"),
    TensorLine("bias", "*", "zeros", when="elementwise_affine bias"),
)

_NORMS = (
    *(_batch_norm("BatchNorm", rank, True, True) for rank in (1, 2, 3)),
    *(_batch_norm("InstanceNorm", rank, False, False) for rank in (1, 2, 3)),
    LayerType(
        "GroupNorm",
        "channels",
        (
            Arg("num_groups", "int", "required"),
            Arg("num_channels", "int", "inferred"),
            number("eps", 1e-5),
            flag("affine", True),
        ),
        -1,
        "(groups c) -> (groups c)",
        (
            TensorLine("weight", "(groups c)", "ones", when="affine"),
            TensorLine("bias", "(groups c)", "zeros", when="affine"),
        ),
        {"num_channels": "(groups c)", "num_groups": "groups"},
    ),
    LayerType(
        "LayerNorm",
        "norm",
        _LAYER_NORM,
        tensors=_NORM_TENSORS,
    ),
    LayerType(
        "LayerNorm2d",
        "norm",
        _LAYER_NORM,
        2,
        tensors=_NORM_TENSORS,
    ),
    LayerType(
        "RMSNorm",
        "norm",
        (
            Arg("normalized_shape", "ints", "inferred"),
            Arg("eps", "float", none=True),
            flag("elementwise_affine", True),
        ),
        tensors=_NORM_TENSORS[:1],
    ),
    LayerType(
        "LocalResponseNorm",
        "channels",
        (
            Arg("size", "int", "required"),
            number("alpha", 1e-4),
            number("beta", 0.75),
            number("k", 1.0),
        ),
        -1,
        "c -> c",
    ),
    LayerType(
        "LayerScale",
        "channels",
        (
            Arg("num_features", "int", "inferred"),
            number("init", 1e-6),
            Arg("dim", "int", default=1, low=-1),
        ),
        -1,
        "c -> c",
        (TensorLine("", "c", "init", trailing=-1),),
        {"num_features": "c"},
    ),
)

_DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8",
           "bool")  # fmt: skip

_PARAMETRIC = (
    LayerType(
        "Linear",
        "features",
        (
            Arg("out_features", "int", "required"),
            flag("bias", True),
            Arg("in_features", "int", "inferred"),
        ),
        0,
        "in -> out",
        (
            TensorLine("weight", "out <- in", "uniform"),
            TensorLine("bias", "out", "uniform", when="bias"),
        ),
        {"out_features": "out", "in_features": "in"},
    ),
    LayerType(
        "Embedding",
        "lookup",
        (
            Arg("num_embeddings", "int", "required"),
            Arg("embedding_dim", "int", "required"),
            Arg("padding_idx", "int", low=-(2**62), none=True),
        ),
        0,
        "-> out",
        (TensorLine("weight", "ids -> out", "normal"),),
        {"num_embeddings": "ids", "embedding_dim": "out"},
        ids=0,
    ),
    LayerType(
        "EmbeddingBag",
        "bag",
        (
            Arg("num_embeddings", "int", "required"),
            Arg("embedding_dim", "int", "required"),
            Arg("mode", "str", default="mean", choices=("mean", "sum", "max")),
            Arg("padding_idx", "int", low=-(2**62), none=True),
        ),
        0,
        "-> out",
        (TensorLine("weight", "ids -> out", "normal"),),
        {"num_embeddings": "ids", "embedding_dim": "out"},
        ids=0,
    ),
    LayerType(
        "Parameter",
        "parameter",
        (
            Arg("shape", "shape", "required"),
            flag("batched", False),
            number("init", 0.02),
        ),
        tensors=(TensorLine("", "*", "scaled"),),
        sizes={"shape": ""},
        fewest=0,
        most=0,
    ),
    LayerType(
        "Buffer",
        "parameter",
        (
            Arg("shape", "shape", "required"),
            flag("batched", False),
            Arg("dtype", "str", default="float32", choices=_DTYPES),
        ),
        tensors=(TensorLine("", "*", "kept", buffer=True),),
        sizes={"shape": ""},
        fewest=0,
        most=0,
    ),
    LayerType(
        "Constant",
        "constant",
        (
            Arg("value", "numbers", none=True),
            Arg("shape", "ints", none=True),
            Arg("data", "text", none=True),
            Arg("dtype", "str", default="float32", choices=_DTYPES),
        ),
        fewest=0,
        most=0,
    ),
    LayerType(
        "IndexSelect", "index", (Arg("dim", "int", "required", low=-9),), fewest=2, most=2, ids=1
    ),
    *(_conv(rank) for rank in (1, 2, 3)),
    *(_conv_transpose(rank) for rank in (1, 2, 3)),
)

_CEIL = flag("ceil_mode", False)
_COUNT_PAD = flag("count_include_pad", True)

_SPATIAL = (
    *(_pool("MaxPool", r, (Arg("dilation", "size", default=1), _CEIL)) for r in (1, 2, 3)),
    _pool("AvgPool", 1, (_CEIL, _COUNT_PAD)),
    *(
        _pool("AvgPool", r, (_CEIL, _COUNT_PAD, Arg("divisor_override", "int", none=True)))
        for r in (2, 3)
    ),
    *(
        _pool(
            "LPPool",
            r,
            (Arg("norm_type", "float", "required"), _CEIL),
            padding=False,
        )
        for r in (1, 2, 3)
    ),
    *(_adaptive("AdaptiveAvgPool", r) for r in (1, 2, 3)),
    *(_adaptive("AdaptiveMaxPool", r) for r in (1, 2, 3)),
    LayerType(
        "Upsample",
        "channels",
        (
            Arg("size", "size", none=True),
            Arg("scale_factor", "scale", none=True),
            Arg(
                "mode",
                "str",
                default="nearest",
                choices=(
                    "nearest", "linear", "bilinear", "bicubic", "trilinear", "nearest-exact",
                ),
            ),
            Arg("align_corners", "bool", none=True),
        ),
        -1,
        "c -> c",
        spatial="upsample",
    ),
    *(_pad("ZeroPad", r) for r in (1, 2, 3)),
    *(_pad("ReflectionPad", r) for r in (1, 2, 3)),
    *(_pad("ReplicationPad", r) for r in (1, 2, 3)),
    *(_pad("CircularPad", r) for r in (1, 2, 3)),
    *(_pad("ConstantPad", r, Arg("value", "float", "required"), zero=False) for r in (1, 2, 3)),
)  # fmt: skip

LAYER_TYPES: Mapping[str, LayerType] = {
    kind.name: kind
    for kind in (
        *_PARAMETRIC,
        *_NORMS,
        *ACTIVATIONS,
        *FUNCTIONS,
        *_SPATIAL,
        *STRUCTURE,
        *ATTENTION,
        *RECURRENT,
    )
}
"""Every layer type by name. All are torch.nn's own but these: Add, Multiply and Concat join
several inputs; Permute takes torch.permute's ``dims`` without the batch axis' 0, counted from 1
(``dims: [2, 3, 1]`` is NCHW to NHWC); Maxout takes the largest of ``pieces`` adjacent channels,
``x.unflatten(dim, (-1, pieces)).amax(dim + 1)``; LayerScale multiplies each channel of axis 1 by
a parameter stored under the layer's own name with shape ``[C, 1, 1]`` for images (as torchvision's
ConvNeXt does), or of the last axis by one of shape ``[C]`` (``dim: -1``); LayerNorm2d is
torchvision's. Parameter, Buffer and Constant read nothing: they give a tensor, stored under the
layer's own name or written in the spec, which is the same for all examples; IndexSelect takes its
entries where another of them says. ScaledDotProductAttention is torch's function; WindowAttention
is torchvision's ShiftedWindowAttention."""
