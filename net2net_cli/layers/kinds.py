"""What a layer type is: its arguments, its tensors in arrow notation, and what it does, as data.

A type is a line of data. ``signature`` says how its channel axis is read and written
(``(groups in) -> (groups out)``), ``tensors`` what each parameter's axes are, ``sizes`` which
argument holds which axis, so that arguments can be inferred before growth and rewritten after it.
A kernel's own axes never grow and are left out of the notation (``kernel=True`` appends them).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from net2net_cli.network import Value

Kind = Literal[
    "int", "float", "bool", "str", "size", "padding", "pads", "ints", "shape", "scale", "text",
    "numbers",
]  # fmt: skip
"""What an argument may hold:

int      a whole number (positive unless ``low`` says otherwise)
float    a number
bool     true or false
str      one of ``choices``
size     a whole number, or one per spatial axis; normalised to a tuple with one per axis
padding  as size (0 allowed), or ``same`` / ``valid`` (kept as text)
pads     a whole number for every side, or two per axis, last axis first, as torch.nn.ZeroPad2d
shape    as ints, or an empty list: that of a single number
ints     a list of whole numbers, or one number (normalised to a tuple)
scale    a positive number, or one per spatial axis (normalised to a tuple)
text     any text
numbers  a number, true or false, or a list of such or of lists (normalised to tuples)
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


Fill = Literal["uniform", "normal", "scaled", "ones", "zeros", "init", "count", "kept"]
"""How an entry is initialised: uniform in +-1/sqrt(fan-in), N(0, 1), N(0, the square of a family's
own standard deviation, or of argument ``init``), 1, 0, argument ``init``; ``count`` is the int64 0
of ``num_batches_tracked``; ``kept`` tensors are of any dtype and never change."""


@dataclass(frozen=True)
class TensorLine:
    """One tensor of a layer type: ``name`` (``""``: the layer's own name), axes, initialisation.

    It exists where every argument named in ``when`` is true (``!name``: is not).
    ``trailing=-1`` appends an axis of
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
    "subtract", "divide", "extreme", "chunk", "slice", "select", "unflatten", "reshape",
    "transpose", "squeeze", "unsqueeze", "expand", "reorder", "pad", "unfold", "reduce",
    "normalize", "matmul", "einsum", "parameter", "constant", "index", "bag",
    "dot_product", "attention", "recurrent",
]  # fmt: skip
"""Which axes a layer acts on (``laying`` has one function for each):

channels   the first axis holds channels, ``rank`` spatial axes follow
features   the last axis, whatever stands before it
norm       statistics over the last axes; lookup: ids become a new last axis
"""

MOVES: frozenset[Rule] = frozenset({
    "flatten", "permute", "shuffle", "unshuffle", "channel_shuffle", "maxout", "chunk", "slice",
    "select", "unflatten", "reshape", "transpose", "squeeze", "unsqueeze", "expand", "reorder",
})  # fmt: skip
"""Rules whose values are all among those that come in."""

Spatial = Literal["none", "conv", "transposed", "pool", "adaptive", "upsample", "pad"]


@dataclass(frozen=True)
class LayerType:
    """One layer type. ``low``/``high`` bound its outputs whatever comes in; ``fixes`` is the
    interval of values that it leaves as they are; ``zero`` says whether it maps 0 to 0. It reads
    at least ``fewest`` values and at most ``most`` (None: any number, which may be branches); it
    gives zeros where all of them are zero, or where that one at place ``zeros`` is. That at place
    ``ids`` holds whole numbers. The tensors whose names begin with ``last`` make its output: where
    they are zero, it is. Recurrent types have ``gates``, and tensors for each of their layers:
    ``tensors`` holds those of the first."""

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
    fewest: int = 1
    most: int | None = 1
    zeros: Literal["all"] | int = 0
    ids: int | None = None
    last: str = ""
    gates: int = 0

    def arg(self, name: str) -> Arg | None:
        """The argument of that name, or None."""
        return next((a for a in self.args if a.name == name), None)


def whole(name: str, default: Value, low: int = 0) -> Arg:
    """A whole number that may be left out."""
    return Arg(name, "int", default=default, low=low)


def flag(name: str, default: Value) -> Arg:
    """True or false; may be left out."""
    return Arg(name, "bool", default=default)


def number(name: str, default: float) -> Arg:
    """A number that may be left out."""
    return Arg(name, "float", default=default)


def recurrent_lines(gates: int, layer: int, directions: int) -> tuple[TensorLine, ...]:
    """The tensors of one layer of a recurrent module; later ones read what the one before gives."""
    given = "in" if layer == 0 else "h" if directions == 1 else "(2 h)"
    found: list[TensorLine] = []
    for end in ("", "_reverse")[:directions]:
        name = f"l{layer}{end}"
        found += (
            TensorLine(f"weight_ih_{name}", f"({gates} h) <- {given}", "uniform"),
            TensorLine(f"weight_hh_{name}", f"({gates} h) <- h", "uniform"),
            TensorLine(f"bias_ih_{name}", f"({gates} h)", "uniform", when="bias"),
            TensorLine(f"bias_hh_{name}", f"({gates} h)", "uniform", when="bias"),
        )
    return tuple(found)


def lines_of(kind: LayerType, args: Mapping[str, Value]) -> tuple[TensorLine, ...]:
    """The tensors that a layer with these arguments holds."""
    lines = kind.tensors
    if kind.gates:
        directions = 2 if args["bidirectional"] else 1
        count = int(str(args["num_layers"]))
        layers = (recurrent_lines(kind.gates, layer, directions) for layer in range(count))
        lines = tuple(line for own in layers for line in own)
    return tuple(line for line in lines if has_tensor(line, args))


def has_tensor(line: TensorLine, args: Mapping[str, Value]) -> bool:
    """Whether a layer with these arguments holds that tensor."""
    return all(
        bool(args.get(name.removeprefix("!"))) != name.startswith("!") for name in line.when.split()
    )


def tensor_name(layer: str, line: TensorLine) -> str:
    """The tensor's name in the state dict."""
    return f"{layer}.{line.name}" if line.name else layer
