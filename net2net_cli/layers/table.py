"""The layer types: torch's own names and arguments, and each type's tensors in arrow notation.

A type is a line of data. ``signature`` says how its channel axis is read and written
(``(groups in) -> (groups out)``), ``tensors`` what each parameter's axes are, ``sizes`` which
argument holds which axis, so that arguments can be inferred before growth and rewritten after it.
A kernel's own axes never grow and are left out of the notation (``kernel=True`` appends them).
Sources: the reference of torch.nn for names, defaults, shapes and initialisation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from net2net_cli.network import Value

Kind = Literal["int", "float", "bool", "str", "size", "padding", "pads", "ints", "scale"]
"""What an argument may hold:

int      a whole number (positive unless ``low`` says otherwise)
float    a number
bool     true or false
str      one of ``choices``
size     a whole number, or one per spatial axis; normalised to a tuple with one per axis
padding  as size (0 allowed), or ``same`` / ``valid`` (kept as text)
pads     a whole number for every side, or two per axis, last axis first, as torch.nn.ZeroPad2d
ints     a list of whole numbers, or one number (normalised to a tuple)
scale    a positive number, or one per spatial axis (normalised to a tuple)
"""

REQUIRED = "required"
INFERRED = "inferred"


@dataclass(frozen=True)
class Arg:
    """One argument of a layer type.

    ``need`` is ``required``, ``inferred`` (may be left out: it follows from the layers before) or
    ``optional``, with ``default``.
    """

    name: str
    kind: Kind
    need: Literal["required", "inferred", "optional"] = "optional"
    default: Value = None
    low: int = 1
    choices: tuple[str, ...] = ()
    none: bool = False


Fill = Literal["uniform", "normal", "scaled", "ones", "zeros", "init", "count"]
"""How an entry is initialised: uniform in +-1/sqrt(fan-in), N(0, 1), N(0, a family's own standard
deviation squared), 1, 0, argument ``init``; ``count`` is the int64 0 of ``num_batches_tracked``."""


@dataclass(frozen=True)
class TensorLine:
    """One tensor of a layer type: ``name`` (``""``: the layer's own name), axes, initialisation.

    It exists where every argument named in ``when`` is true. ``trailing=-1`` appends an axis of
    size 1 for each axis of the data that follows the channels.
    """

    name: str
    axes: str
    fill: Fill
    when: str = ""
    kernel: bool = False
    trailing: int = 0
    buffer: bool = False


Rule = Literal[
    "channels", "features", "norm", "lookup", "pointwise", "softmax", "flatten", "permute",
    "unshuffle", "shuffle", "channel_shuffle", "maxout", "glu", "add", "multiply", "concat",
]  # fmt: skip
"""Which axes a layer acts on (layout.py has one function for each):

channels   the first axis holds channels, ``rank`` spatial axes follow
features   the last axis, whatever stands before it
norm       statistics over the last axes; lookup: ids become a new last axis
"""

Spatial = Literal["none", "conv", "transposed", "pool", "adaptive", "upsample", "pad"]


@dataclass(frozen=True)
class LayerType:
    """One layer type. ``low``/``high`` bound its outputs whatever comes in; ``fixes`` is the
    interval of values that it leaves as they are; ``zero`` says whether it maps 0 to 0."""

    name: str
    rule: Rule
    args: tuple[Arg, ...] = ()
    rank: int = 0
    signature: str = ""
    tensors: tuple[TensorLine, ...] = ()
    sizes: Mapping[str, str] = field(default_factory=dict)
    spatial: Spatial = "none"
    zero: bool = True
    low: float = -inf
    high: float = inf
    fixes: tuple[float, float] | None = None
    inputs: Literal["one", "many"] = "one"
    torch_name: str = ""

    def arg(self, name: str) -> Arg | None:
        """The argument of that name, or None."""
        return next((a for a in self.args if a.name == name), None)


def _int(name: str, default: Value, low: int = 0) -> Arg:
    return Arg(name, "int", default=default, low=low)


def _flag(name: str, default: bool) -> Arg:
    return Arg(name, "bool", default=default)


def _number(name: str, default: float) -> Arg:
    return Arg(name, "float", default=default)


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
            _flag("bias", True),
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
            _flag("bias", True),
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
            _number("eps", 1e-5),
            Arg("momentum", "float", default=0.1, none=True),
            _flag("affine", affine),
            _flag("track_running_stats", track),
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


def _activation(
    name: str,
    *args: Arg,
    zero: bool = True,
    low: float = -inf,
    high: float = inf,
    fixes: tuple[float, float] | None = None,
) -> LayerType:
    return LayerType(name, "pointwise", args, zero=zero, low=low, high=high, fixes=fixes)


_POSITIVE = (0.0, inf)
_INPLACE = _flag("inplace", False)

_ACTIVATIONS = (
    _activation("ReLU", _INPLACE, low=0, fixes=_POSITIVE),
    _activation("ReLU6", _INPLACE, low=0, high=6, fixes=(0.0, 6.0)),
    _activation(
        "Hardtanh", _number("min_val", -1.0), _number("max_val", 1.0), _INPLACE, fixes=(-1.0, 1.0)
    ),
    _activation("LeakyReLU", _number("negative_slope", 0.01), _INPLACE, fixes=_POSITIVE),
    _activation("RReLU", _number("lower", 1 / 8), _number("upper", 1 / 3), _INPLACE,
                fixes=_POSITIVE),
    _activation("ELU", _number("alpha", 1.0), _INPLACE, fixes=_POSITIVE),
    _activation("CELU", _number("alpha", 1.0), _INPLACE, fixes=_POSITIVE),
    _activation("SELU", _INPLACE),
    _activation(
        "GELU",
        Arg("approximate", "str", default="none", choices=("none", "tanh")),
        low=-0.17,
    ),
    _activation("SiLU", _INPLACE, low=-0.2785),
    _activation("Mish", _INPLACE, low=-0.3089),
    _activation("Hardswish", _INPLACE, low=-0.375, fixes=(3.0, inf)),
    _activation("Sigmoid", zero=False, low=0, high=1),
    _activation("Hardsigmoid", _INPLACE, zero=False, low=0, high=1),
    _activation("LogSigmoid", zero=False, high=0),
    _activation("Tanh", low=-1, high=1),
    _activation("Softsign", low=-1, high=1),
    _activation("Softplus", _number("beta", 1.0), _number("threshold", 20.0), zero=False, low=0),
    _activation("Hardshrink", _number("lambd", 0.5)),
    _activation("Softshrink", _number("lambd", 0.5)),
    _activation("Tanhshrink"),
    _activation(
        "Threshold",
        Arg("threshold", "float", "required"),
        Arg("value", "float", "required"),
        _INPLACE,
        zero=False,
    ),
    _activation("Identity", fixes=(-inf, inf)),
    _activation("Dropout", _number("p", 0.5), _INPLACE, fixes=(-inf, inf)),
    _activation("Dropout1d", _number("p", 0.5), _INPLACE, fixes=(-inf, inf)),
    _activation("Dropout2d", _number("p", 0.5), _INPLACE, fixes=(-inf, inf)),
    _activation("Dropout3d", _number("p", 0.5), _INPLACE, fixes=(-inf, inf)),
    _activation("AlphaDropout", _number("p", 0.5), _INPLACE, fixes=(-inf, inf)),
    _activation("FeatureAlphaDropout", _number("p", 0.5), _INPLACE, fixes=(-inf, inf)),
    LayerType(
        "PReLU",
        "channels",
        (Arg("num_parameters", "int", default=1), Arg("init", "float", default=0.25)),
        -1,
        "c -> c",
        (TensorLine("weight", "c", "init"),),
        {"num_parameters": "c"},
    ),
    *(
        LayerType(
            name,
            "softmax",
            (Arg("dim", "int", "required", low=-9),),
            zero=False,
            low=low,
            high=high,
        )
        for name, low, high in (
            ("Softmax", 0.0, 1.0), ("Softmin", 0.0, 1.0), ("LogSoftmax", -inf, 0.0),
        )
    ),
    LayerType("Softmax2d", "softmax", zero=False, low=0, high=1),
    LayerType("GLU", "glu", (Arg("dim", "int", default=-1, low=-9),)),
)  # fmt: skip

_NORMS = (
    *(_batch_norm("BatchNorm", rank, True, True) for rank in (1, 2, 3)),
    *(_batch_norm("InstanceNorm", rank, False, False) for rank in (1, 2, 3)),
    LayerType(
        "GroupNorm",
        "channels",
        (
            Arg("num_groups", "int", "required"),
            Arg("num_channels", "int", "inferred"),
            _number("eps", 1e-5),
            _flag("affine", True),
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
        (
            Arg("normalized_shape", "ints", "inferred"),
            _number("eps", 1e-5),
            _flag("elementwise_affine", True),
            _flag("bias", True),
        ),
        tensors=(
            TensorLine("weight", "*", "ones", when="elementwise_affine"),
            TensorLine("bias", "*", "zeros", when="elementwise_affine bias"),
        ),
    ),
    LayerType(
        "LayerScale",
        "channels",
        (Arg("num_features", "int", "inferred"), _number("init", 1e-6)),
        -1,
        "c -> c",
        (TensorLine("", "c", "init", trailing=-1),),
        {"num_features": "c"},
    ),
)

_PARAMETRIC = (
    LayerType(
        "Linear",
        "features",
        (
            Arg("out_features", "int", "required"),
            _flag("bias", True),
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
    ),
    *(_conv(rank) for rank in (1, 2, 3)),
    *(_conv_transpose(rank) for rank in (1, 2, 3)),
)

_CEIL = _flag("ceil_mode", False)
_COUNT_PAD = _flag("count_include_pad", True)

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

_STRUCTURE = (
    LayerType(
        "Flatten",
        "flatten",
        (_int("start_dim", 1, 1), Arg("end_dim", "int", default=-1, low=-9)),
    ),
    LayerType("Permute", "permute", (Arg("dims", "ints", "required", low=0),)),
    LayerType("PixelShuffle", "shuffle", (Arg("upscale_factor", "int", "required"),), 2),
    LayerType("PixelUnshuffle", "unshuffle", (Arg("downscale_factor", "int", "required"),), 2),
    LayerType("ChannelShuffle", "channel_shuffle", (Arg("groups", "int", "required"),)),
    LayerType("Maxout", "maxout", (Arg("pieces", "int", "required"), _int("dim", 1, 1))),
    LayerType("Add", "add", inputs="many"),
    LayerType("Multiply", "multiply", inputs="many"),
    LayerType("Concat", "concat", (Arg("dim", "int", default=1, low=-9),), inputs="many"),
)

LAYER_TYPES: Mapping[str, LayerType] = {
    kind.name: kind for kind in (*_PARAMETRIC, *_NORMS, *_ACTIVATIONS, *_SPATIAL, *_STRUCTURE)
}
"""Every layer type by name. All are torch.nn's own but these: Add, Multiply and Concat join
several inputs; Permute takes torch.permute's ``dims`` without the batch axis' 0, counted from 1
(``dims: [2, 3, 1]`` is NCHW to NHWC); Maxout takes the largest of ``pieces`` adjacent channels,
``x.unflatten(dim, (-1, pieces)).amax(dim + 1)``; LayerScale multiplies each channel of axis 1 by
a parameter stored under the layer's own name with shape ``[C, 1, 1]`` for images (as torchvision's
ConvNeXt does)."""


def has_tensor(line: TensorLine, args: Mapping[str, Value]) -> bool:
    """Whether a layer with these arguments holds that tensor."""
    return all(bool(args.get(flag)) for flag in line.when.split())


def tensor_name(layer: str, line: TensorLine) -> str:
    """The tensor's name in the state dict."""
    return f"{layer}.{line.name}" if line.name else layer
