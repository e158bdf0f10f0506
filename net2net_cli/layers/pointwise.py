"""Layer types that act on each number alone, or nearly so: activations, softmax, functions.

Activations are torch.nn's; functions are called as in torch (``Exp`` is ``torch.exp``), and where
they take a number, that is an argument: ``Scale`` is ``x * value``, ``Shift`` ``x + value``.
"""

from __future__ import annotations

from math import inf, pi

from net2net_cli.layers.kinds import Arg, LayerType, TensorLine, flag, number


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
_INPLACE = flag("inplace", False)

ACTIVATIONS = (
    _activation("ReLU", _INPLACE, low=0, fixes=_POSITIVE),
    _activation("ReLU6", _INPLACE, low=0, high=6, fixes=(0.0, 6.0)),
    _activation(
        "Hardtanh", number("min_val", -1.0), number("max_val", 1.0), _INPLACE, fixes=(-1.0, 1.0)
    ),
    _activation("LeakyReLU", number("negative_slope", 0.01), _INPLACE, fixes=_POSITIVE),
    _activation("RReLU", number("lower", 1 / 8), number("upper", 1 / 3), _INPLACE,
                fixes=_POSITIVE),
    _activation("ELU", number("alpha", 1.0), _INPLACE, fixes=_POSITIVE),
    _activation("CELU", number("alpha", 1.0), _INPLACE, fixes=_POSITIVE),
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
    _activation("Softplus", number("beta", 1.0), number("threshold", 20.0), zero=False, low=0),
    _activation("Hardshrink", number("lambd", 0.5)),
    _activation("Softshrink", number("lambd", 0.5)),
    _activation("Tanhshrink"),
    _activation(
        "Threshold",
        Arg("threshold", "float", "required"),
        Arg("value", "float", "required"),
        _INPLACE,
        zero=False,
    ),
    _activation("Identity", fixes=(-inf, inf)),
    _activation("Dropout", number("p", 0.5), _INPLACE, fixes=(-inf, inf)),
    _activation("Dropout1d", number("p", 0.5), _INPLACE, fixes=(-inf, inf)),
    _activation("Dropout2d", number("p", 0.5), _INPLACE, fixes=(-inf, inf)),
    _activation("Dropout3d", number("p", 0.5), _INPLACE, fixes=(-inf, inf)),
    _activation("AlphaDropout", number("p", 0.5), _INPLACE, fixes=(-inf, inf)),
    _activation("FeatureAlphaDropout", number("p", 0.5), _INPLACE, fixes=(-inf, inf)),
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

FUNCTIONS = (
    _activation("Scale", Arg("value", "float", "required")),
    _activation("Shift", Arg("value", "float", "required"), zero=False),
    _activation("Power", Arg("exponent", "float", "required")),
    _activation("Clamp", Arg("min", "float", none=True), Arg("max", "float", none=True)),
    _activation("Abs", low=0, fixes=_POSITIVE),
    _activation("Exp", zero=False, low=0),
    _activation("Expm1", low=-1),
    _activation("Log", zero=False),
    _activation("Log1p"),
    _activation("Sqrt", low=0),
    _activation("Rsqrt", zero=False, low=0),
    _activation("Square", low=0),
    _activation("Reciprocal", zero=False),
    _activation("Negative"),
    _activation("Sin", low=-1, high=1),
    _activation("Cos", zero=False, low=-1, high=1),
    _activation("Atan", low=-pi / 2, high=pi / 2),
    _activation("Erf", low=-1, high=1),
    _activation("Sign", low=-1, high=1),
    _activation(
        "StochasticDepth",
        number("p", 0.0),
        Arg("mode", "str", default="row", choices=("row", "batch")),
        fixes=(-inf, inf),
    ),
)
