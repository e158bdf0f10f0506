"""Each layer type as Python: the module that it is built as, or the expression that computes it.

Types that ``torch.nn`` has are built by it, under the same name and with the spec's arguments;
``inplace`` is left out, since a value may have other readers. Those that it lacks are ``written``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from net2net_cli.export.code import Expression, Text
from net2net_cli.export.written import FUNCTIONS, HELD, HELPERS, constant
from net2net_cli.layers.table import LAYER_TYPES, Arg, LayerType
from net2net_cli.layout import GraphLayout
from net2net_cli.network import Layer, Value
from net2net_cli.spec import normalise_default

LEADING = (
    "num_embeddings", "embedding_dim", "num_groups", "in_channels", "in_features", "out_channels",
    "out_features", "num_features", "num_channels", "normalized_shape", "output_size", "embed_dim",
    "input_size", "hidden_size",
)  # fmt: skip
"""Arguments that stand in front, without their names, in the order in which torch takes them."""

WIDTHS = frozenset(LEADING) - {"num_embeddings", "num_groups", "output_size"} | {
    "groups", "num_parameters", "channels",
}  # fmt: skip
"""Arguments that count features: where they are equal, one number is meant."""


class Missing:
    """The default of an argument that has none."""


@dataclass(frozen=True)
class Setting:
    """One argument of a constructor."""

    name: str
    value: Value
    default: Value | type[Missing] = Missing
    width: bool = False


@dataclass(frozen=True)
class Construct:
    """A call that makes a module or a tensor. ``form`` says what is no plain call: in a text
    the arguments stand by name."""

    function: str
    settings: tuple[Setting, ...]
    form: Expression | None = None


_AROUND = ("pointwise", "softmax")
"""Rules of layers that stand around the one before: ``relu(norm(conv(x)))``."""


def is_function(layer: Layer) -> bool:
    """Whether a forward says it as an expression, and nothing is built for it."""
    return layer.type in FUNCTIONS


def is_held(layer: Layer) -> bool:
    """Whether it is a tensor of the unit around it, and no module."""
    return layer.type in HELD


def is_source(layer: Layer) -> bool:
    """Whether it gives such a tensor as it is, and reads nothing."""
    return is_held(layer) and not layer.inputs


def fits_chain(layer: Layer) -> bool:
    """Whether there is a module for it that reads one value and gives one."""
    if is_function(layer):
        return layer.type == "Flatten" or layer.type in HELPERS
    kind = LAYER_TYPES[layer.type]
    return not is_held(layer) and kind.fewest == kind.most == 1


def stands_around(layer: Layer) -> bool:
    """Whether a forward may write it around the layer before, on the same line."""
    kind = LAYER_TYPES[layer.type]
    around = kind.rule in _AROUND or "Norm" in kind.name or kind.name == "PReLU"
    return around and not is_function(layer)


def expression_of(layer: Layer, read: Sequence[str]) -> Expression:
    """What a function computes of what it reads."""
    return FUNCTIONS[layer.type](read, layer.args)


def construct_of(layer: Layer, layout: GraphLayout) -> Construct:
    """The call that builds a layer."""
    if is_held(layer):
        return _held(layer, layout)
    kind = LAYER_TYPES[layer.type]
    settings = [_setting(layer, kind, arg, layout) for arg in kind.args if arg.name != "inplace"]
    function = layer.type if layer.type in HELPERS else f"nn.{layer.type}"
    return Construct(function, tuple(sorted(settings, key=_rank)))


def _rank(setting: Setting) -> int:
    return LEADING.index(setting.name) if setting.name in LEADING else len(LEADING)


def _setting(layer: Layer, kind: LayerType, arg: Arg, layout: GraphLayout) -> Setting:
    value = layer.args.get(arg.name)
    if arg.need == "inferred":
        sizes = tuple(layout.size(axis) for axis in layout.arguments[layer.name][arg.name])
        value = sizes if len(sizes) > 1 else sizes[0]
    width = arg.name in WIDTHS and isinstance(value, int)
    if arg.need != "optional":
        return Setting(arg.name, _short(arg, value), width=width)
    return Setting(arg.name, _short(arg, value), _short(arg, normalise_default(kind, arg)), width)


def _short(arg: Arg, value: Value) -> Value:
    """One number where every axis has the same."""
    per_axis = arg.kind in ("size", "padding", "pads", "scale")
    if per_axis and isinstance(value, tuple) and value.count(value[0]) == len(value):
        return value[0]
    return value


def _held(layer: Layer, layout: GraphLayout) -> Construct:
    """The tensor of a layer that is one, with the values that torch would begin with."""
    if layer.type == "Constant":
        return Construct("constant", (), constant(layer.args))
    shape = layout.tensors[layout.aliases.get(layer.name, layer.name)].shape
    if layer.type == "LayerScale":
        ones = ", 1" * (len(shape) - 1) or ","
        settings = (Setting("channels", shape[0], width=True), Setting("init", layer.args["init"]))
        text = f"nn.Parameter(torch.full(({{channels}}{ones}), {{init}}))"
        return Construct("LayerScale", settings, Text(text))
    sizes = Setting("shape", shape)
    if layer.type == "Buffer":
        dtype = layer.args["dtype"]
        return Construct("Buffer", (sizes,), Text(f"torch.zeros({{shape}}, dtype=torch.{dtype})"))
    settings = (sizes, Setting("init", layer.args["init"]))
    return Construct("Parameter", settings, Text("nn.Parameter(torch.randn({shape}) * {init})"))
