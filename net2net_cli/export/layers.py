"""Each layer type as Python: the module that it is built as, or the expression that computes it.

Types that ``torch.nn`` has are built by it, under the same name and with the spec's arguments;
``inplace`` is left out, since a value may have other readers. Those that it lacks are written as an
expression where they stand in a ``forward``, and as a small class where they stand in a chain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from net2net_cli.export.code import Expression, Text, call, listed, literal
from net2net_cli.layers.table import LAYER_TYPES, Arg, LayerType
from net2net_cli.layout import GraphLayout
from net2net_cli.network import Layer, Value
from net2net_cli.spec import normalise_default

LEADING = (
    "num_embeddings", "embedding_dim", "num_groups", "in_channels", "in_features", "out_channels",
    "out_features", "num_features", "num_channels", "normalized_shape", "output_size",
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
    """A call that makes a module or a parameter. ``form`` is a template for what is no plain call:
    the arguments stand in it by name."""

    function: str
    settings: tuple[Setting, ...]
    form: str = ""


@dataclass(frozen=True)
class Written:
    """A type that torch.nn lacks: ``expression`` of what it reads and of its arguments' texts;
    ``helper`` is the class that it is in a chain, with ``self.ARGUMENT`` for each argument."""

    expression: Callable[[Sequence[str], Mapping[str, str]], Expression]
    helper: str = ""


def _permuted(read: Sequence[str], args: Mapping[str, str]) -> Expression:
    return Text(f"{read[0]}.permute(0, {args['dims'].strip('(,)')})")


def _largest(read: Sequence[str], args: Mapping[str, str]) -> Expression:
    dim = int(args["dim"])
    return Text(f"{read[0]}.unflatten({dim}, (-1, {args['pieces']})).amax({dim + 1})")


def _flattened(read: Sequence[str], args: Mapping[str, str]) -> Expression:
    ends = [args["start_dim"], *([args["end_dim"]] if args["end_dim"] != "-1" else [])]
    return call("torch.flatten", read[0], *ends)


WRITTEN: Mapping[str, Written] = {
    "Add": Written(lambda read, _: Text(" + ".join(read))),
    "Multiply": Written(lambda read, _: Text(" * ".join(read))),
    "Concat": Written(lambda read, args: call("torch.cat", listed(*read), args["dim"])),
    "Flatten": Written(_flattened),
    "Permute": Written(
        _permuted,
        '''class Permute(nn.Module):
    """Its axes in another order; the first, which counts examples, stays."""

    def __init__(self, dims: tuple[int, ...]) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, *self.dims)
''',
    ),
    "Maxout": Written(
        _largest,
        '''class Maxout(nn.Module):
    """The largest of each few adjacent entries along an axis."""

    def __init__(self, pieces: int, dim: int = 1) -> None:
        super().__init__()
        self.pieces = pieces
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(self.dim, (-1, self.pieces)).amax(self.dim + 1)
''',
    ),
}

PARAMETERS: Mapping[str, Callable[[str, str], Expression]] = {
    "LayerScale": lambda parameter, read: Text(f"{read} * {parameter}"),
}
"""Types that are a parameter under their own name: what is computed of it and of what is read."""

_AROUND = ("pointwise", "softmax")
"""Rules of layers that stand around the one before: ``relu(norm(conv(x)))``."""


def is_function(layer: Layer) -> bool:
    """Whether a forward says it as an expression, and nothing is built for it."""
    return layer.type in WRITTEN


def is_parameter(layer: Layer) -> bool:
    """Whether it is a parameter and no module."""
    return layer.type in PARAMETERS


def fits_chain(layer: Layer) -> bool:
    """Whether there is a module for it that reads one value and gives one."""
    if is_function(layer):
        return layer.type == "Flatten" or bool(WRITTEN[layer.type].helper)
    return not is_parameter(layer) and LAYER_TYPES[layer.type].inputs == "one"


def stands_around(layer: Layer) -> bool:
    """Whether a forward may write it around the layer before, on the same line."""
    kind = LAYER_TYPES[layer.type]
    return kind.rule in _AROUND or "Norm" in kind.name or kind.name == "PReLU"


def expression_of(layer: Layer, read: Sequence[str]) -> Expression:
    """What a function computes of what it reads."""
    args = {name: literal(value) for name, value in layer.args.items()}
    return WRITTEN[layer.type].expression(read, args)


def construct_of(layer: Layer, layout: GraphLayout) -> Construct:
    """The call that builds a layer."""
    if is_parameter(layer):
        return _parameter(layer, layout)
    kind = LAYER_TYPES[layer.type]
    settings = [_setting(layer, kind, arg, layout) for arg in kind.args if arg.name != "inplace"]
    function = layer.type if is_function(layer) and layer.type != "Flatten" else f"nn.{layer.type}"
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


def _parameter(layer: Layer, layout: GraphLayout) -> Construct:
    shape = layout.tensors[layout.aliases.get(layer.name, layer.name)].shape
    ones = ", 1" * (len(shape) - 1) or ","
    return Construct(
        "nn.Parameter",
        (
            Setting("channels", shape[0], width=True),
            Setting("init", layer.args["init"]),
        ),
        f"nn.Parameter(torch.full(({{channels}}{ones}), {{init}}))",
    )
