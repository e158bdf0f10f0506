"""One torch.nn module for one layer of a spec, once the shape of what it reads is known.

The verifier judges with torch's own modules: a layer's type is looked up in ``torch.nn`` by its
name and called with the spec's arguments. The types that torch.nn lacks are functions of torch
(functions.py), or written out here. Sizes that a spec leaves out
(``in_channels`` and its kin) are read off the incoming value. Everything is built on the meta
device: parameters have shapes but no memory until a checkpoint's tensors take their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from net2net_cli.errors import SpecError
from net2net_cli.layers.constants import unpacked
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.network import Layer
from net2net_cli.verify.attention import Attention, WindowAttention
from net2net_cli.verify.deferred import ordinary
from net2net_cli.verify.functions import FUNCTIONS, Function
from net2net_cli.verify.recurrent import MODULES

Shape = tuple[int, ...]

_INFERRED_SIZES = {
    "in_channels": 1,
    "num_features": 1,
    "num_channels": 1,
    "in_features": -1,
    "embed_dim": -1,
    "input_size": -1,
    "normalized_shape": 1,
}
"""Which axis of the incoming value an inferred argument is the size of."""


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of images, as torchvision's ConvNeXt has it."""

    def forward(self, value: Tensor) -> Tensor:
        """``[N, C, H, W]`` -> the same shape."""
        return super().forward(value.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Held(nn.Module):
    """A tensor that is there whatever comes in, under a batch of one; ``kind`` is its layer's."""

    def __init__(self, kind: str, args: Mapping[str, Any]) -> None:
        super().__init__()
        self.batched = bool(args.get("batched"))
        dtype = getattr(torch, args.get("dtype", "float32"))
        if kind == "Parameter":
            self.value = nn.Parameter(torch.empty(args["shape"]))
        elif kind == "Buffer":
            self.register_buffer("value", torch.empty(args["shape"], dtype=dtype))
        else:  # is written in the spec, so that no checkpoint brings it in
            self.register_buffer("value", _constant(args, dtype), persistent=False)

    def forward(self) -> Tensor:
        """The tensor as stored, or with an axis for the batch."""
        value = ordinary(self.value)
        return value if self.batched else value[None]


class LayerScale(nn.Module):
    """Each channel of axis 1 times its own factor; ``factor`` has the shape ``[C, 1, ...]``, or
    ``[C]`` for the last axis."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.empty(shape))

    def forward(self, value: Tensor) -> Tensor:
        """``[N, C, ...]`` -> the same shape."""
        return value * self.factor


def make_module(layer: Layer, shapes: tuple[Shape, ...]) -> nn.Module:
    """The module of one layer, in evaluation mode, its parameters on the meta device.

    ``shapes`` are those of the values that it reads, batch included. SpecError where the
    arguments do not fit them.
    """
    if layer.type not in LAYER_TYPES:
        raise SpecError(f"unknown layer type {layer.type}", where=layer.place)
    _check_rank(layer, shapes)
    _check_dim(layer, shapes)
    shape = shapes[0] if shapes else ()
    args = _arguments(layer, shape)
    try:
        with torch.device("meta"):
            return _construct(layer.type, args, shape).eval()
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise SpecError(
            f"torch cannot build {layer.name} ({layer.type}): {first_line(error)}",
            where=layer.place,
        ) from error


def own_key(layer: Layer, name: str) -> str:
    """The key in the state dict of a layer's own tensor; the only one of some types has the
    layer's name."""
    nameless = any(not line.name for line in LAYER_TYPES[layer.type].tensors)
    return layer.name if nameless else f"{layer.name}.{name}"


def _constant(args: Mapping[str, Any], dtype: torch.dtype) -> Tensor:
    """Not on the meta device, which holds no values."""
    if args["value"] is not None:
        return torch.tensor(args["value"], dtype=dtype, device="cpu")
    raw = bytearray(unpacked(args))
    return torch.frombuffer(raw, dtype=dtype).reshape(args["shape"]).clone()


def first_line(error: Exception) -> str:
    """What torch says, without its C++ stack."""
    return str(error).strip().split("\n")[0]


def _construct(kind: str, args: dict[str, Any], shape: Shape) -> nn.Module:
    match kind:
        case kind if kind in FUNCTIONS:
            return Function(kind, args)
        case "LayerScale":
            ones = (1,) * (len(shape) - 2) if args["dim"] == 1 else ()
            return LayerScale((args["num_features"], *ones))
        case "LayerNorm2d":
            return LayerNorm2d(**args)
        case "LSTM" | "GRU" | "RNN":
            return MODULES[kind](**args)
        case "MultiheadAttention":
            return Attention(**args)
        case "WindowAttention":
            return WindowAttention(**_without(args, "attention_dropout", "dropout"))
        case "Parameter" | "Buffer" | "Constant":
            return Held(kind, args)
        case (
            "Embedding" | "EmbeddingBag"
        ):  # given a table it draws none, which on meta loads torch's compiler
            args |= {"_weight": torch.empty(args["num_embeddings"], args["embedding_dim"])}
        case "LPPool1d":  # torch multiplies by the kernel's size: a tuple of one is not a number
            args |= {name: _single(args.get(name)) for name in ("kernel_size", "stride")}
    module: nn.Module = getattr(nn, kind)(**args)
    return module


def _arguments(layer: Layer, shape: Shape) -> dict[str, Any]:
    """The constructor's arguments. ``inplace`` is dropped: a value may have other readers."""
    args: dict[str, Any] = {name: v for name, v in layer.args.items() if name != "inplace"}
    for arg in LAYER_TYPES[layer.type].args:
        if arg.need != "inferred":
            continue
        last = layer.args.get("dim") == -1 or arg.name == "normalized_shape"
        axis = -1 if last and layer.type != "LayerNorm2d" else _INFERRED_SIZES[arg.name]
        size = shape[axis]
        if arg.name == "normalized_shape":  # may span several axes: torch checks it
            args.setdefault(arg.name, (size,))
        elif args.setdefault(arg.name, size) != size:
            raise SpecError(
                f"{layer.name} has {arg.name} {args[arg.name]}, but reads a value of {size}",
                where=layer.arg_places.get(arg.name, layer.place),
                hint=f"remove `{arg.name}`, it is inferred",
            )
    return args


def _check_rank(layer: Layer, shapes: tuple[Shape, ...]) -> None:
    """Torch would take a value of one axis less for one without a batch: never meant here."""
    kind = LAYER_TYPES[layer.type]
    if kind.rank <= 0 or kind.rule == "pointwise":
        wanted = (2, 99) if any(arg.need == "inferred" for arg in kind.args) else (1, 99)
    elif layer.type == "BatchNorm1d":
        wanted = (2, 3)
    else:
        wanted = (kind.rank + 2, kind.rank + 2)
    for shape in shapes:
        if not wanted[0] <= len(shape) <= wanted[1]:
            raise SpecError(
                f"{layer.name} ({layer.type}) reads {wanted[0] - 1} axes without the batch, "
                f"but is fed {list(shape[1:])}",
                where=layer.place,
            )


_COUNTED = ("dim", "dim0", "dim1", "dims")
"""Arguments that count the batch as axis 0, but for Permute's."""


def _check_dim(layer: Layer, shapes: tuple[Shape, ...]) -> None:
    """Across the batch, examples would mix."""
    axes = len(shapes[0]) + (layer.type == "Unsqueeze") if shapes else 0
    for name in _COUNTED:
        said = layer.args.get(name)
        dims = said if isinstance(said, tuple) else (said,)
        for dim in dims if layer.type != "Permute" else ():
            if isinstance(dim, int) and (dim in (0, -axes) or not -axes < dim < axes):
                what = "which is the batch" if dim in (0, -axes) else "beyond the axes that it has"
                raise SpecError(
                    f"{layer.name} ({layer.type}) has {name} {dim}, {what}",
                    where=layer.arg_places.get(name, layer.place),
                    hint="axes are counted with the batch as 0: the first of an example is 1",
                )


def _without(args: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in args.items() if name not in names}


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else value
