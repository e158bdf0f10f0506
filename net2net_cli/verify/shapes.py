"""The shape of what a layer gives, by plain arithmetic where that is all it takes.

Torch tells every shape on the meta device, but for many layers it loads its compiler first, which
takes a second. So these are worked out here, where a layer fits what it reads; where it does not,
torch is asked all the same, for its words.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.network import Layer
from net2net_cli.verify.attention import Attention, WindowAttention
from net2net_cli.verify.functions import Function
from net2net_cli.verify.modules import LayerNorm2d, LayerScale, Shape

_SMOOTH = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5}
"""Modes of Upsample that mix neighbours, and the axes of what each is for."""


_BY_ELEMENTS = ("Add", "Subtract", "Multiply", "Divide", "Maximum", "Minimum")


def shape_after(
    layer: Layer, module: nn.Module, read: Sequence[Tensor], dtype: torch.dtype
) -> Shape | None:
    """The shape that a layer makes of values on the meta device, or None: torch is to be asked.

    ``module`` is as ``make_module`` gives it, which has checked the axes that ``layer`` needs;
    ``dtype`` is that of its parameters. Other values than those floats are torch's business.
    """
    if any(value.dtype != dtype for value in read):
        return None
    shapes = [tuple(value.shape) for value in read]
    if _keeps_shape(layer, module, shapes[0]):
        return shapes[0]
    match module:
        case nn.Linear():
            return (*shapes[0][:-1], module.out_features)
        case Function() if layer.type in _BY_ELEMENTS:
            return _broadcast(shapes)
        case Function() if layer.type == "Concat":
            return _joined(shapes, module.args["dim"])
        case Function() if LAYER_TYPES[layer.type].rule == "reduce":
            return _reduced(shapes[0], module.args["dim"], keep=module.args["keepdim"])
        case nn.LSTM() | nn.GRU() | nn.RNN() if shapes[0][2:] == (module.input_size,):
            return _recurrent(module, shapes[0])
        case Attention() if all(len(shape) == 3 for shape in shapes):
            return (max(shape[0] for shape in shapes), *shapes[0][1:])
        case Function() if layer.type == "ScaledDotProductAttention":
            return _attended(shapes)
        case nn.Unfold():
            return _unfolded(module, shapes[0])
        case nn.GLU():
            return _halved(shapes[0], module.dim)
        case nn.AdaptiveAvgPool1d() | nn.AdaptiveAvgPool2d() | nn.AdaptiveAvgPool3d():
            return _pooled_to(module.output_size, shapes[0])
        case nn.LPPool1d() | nn.LPPool2d() | nn.LPPool3d():
            return _pooled(module, read[0])
        case nn.Upsample() if _SMOOTH.get(module.mode) == len(shapes[0]):
            made = functional.interpolate(read[0], module.size, module.scale_factor, "nearest")
            return tuple(made.shape)
    return None


def _keeps_shape(layer: Layer, module: nn.Module, shape: Shape) -> bool:
    """Whether the layer reads such a value and gives one of the same shape."""
    match module:
        case _BatchNorm() | nn.GroupNorm() | LayerScale() | nn.LocalResponseNorm():
            return True
        case WindowAttention():
            return len(shape) == 4
        case _InstanceNorm():
            return module.track_running_stats or prod(shape[2:]) > 1
        case LayerNorm2d():
            return shape[1:2] == tuple(module.normalized_shape)
        case nn.LayerNorm() | nn.RMSNorm():
            return shape[-len(module.normalized_shape) :] == tuple(module.normalized_shape)
        case nn.PReLU():
            return module.num_parameters == 1 or shape[1:2] == (module.num_parameters,)
        case nn.Dropout1d() | nn.Softmax2d():  # the two of their kinds that mind the axes
            return False
    return LAYER_TYPES[layer.type].rule in ("pointwise", "softmax", "reorder", "normalize")


def _broadcast(shapes: Sequence[Shape]) -> Shape | None:
    try:
        return tuple(torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]
    except RuntimeError:
        return None


def _joined(shapes: Sequence[Shape], dim: int) -> Shape | None:
    first, at = shapes[0], dim % len(shapes[0])
    if len({(*shape[:at], 0, *shape[at + 1 :]) for shape in shapes}) > 1:
        return None
    return (*first[:at], sum(shape[at] for shape in shapes), *first[at + 1 :])


def _reduced(shape: Shape, dims: Sequence[int], *, keep: bool) -> Shape:
    gone = {dim % len(shape) for dim in dims}
    left = ((at, 1 if at in gone else size) for at, size in enumerate(shape))
    return tuple(size for at, size in left if keep or at not in gone)


def _recurrent(module: nn.RNNBase, shape: Shape) -> Shape:
    directions = 2 if module.bidirectional else 1
    if module.returns == "output":
        return (*shape[:2], directions * module.hidden_size)
    return (shape[0], directions * module.num_layers, module.hidden_size)


def _attended(shapes: Sequence[Shape]) -> Shape | None:
    q, k, v = shapes[:3]
    fits = min(map(len, (q, k, v))) >= 3 and q[-1] == k[-1] and k[-2] == v[-2]
    batch = max(q[0], k[0], v[0])
    return (batch, *q[1:-1], v[-1]) if fits else None


def _unfolded(module: nn.Unfold, shape: Shape) -> Shape | None:
    taps, windows = 1, 1
    given = (module.kernel_size, module.dilation, module.padding, module.stride)
    pairs = [value if isinstance(value, tuple) else (value, value) for value in given]
    if len(shape) != 4:
        return None
    for size, kernel, dilation, pad, stride in zip(shape[2:], *pairs, strict=True):
        taps *= kernel
        windows *= max(0, (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1)
    return (shape[0], shape[1] * taps, windows) if windows else None


def _halved(shape: Shape, dim: int) -> Shape | None:
    at, (half, odd) = dim % len(shape), divmod(shape[dim], 2)
    return None if odd else (*shape[:at], half, *shape[at + 1 :])


def _pooled_to(wanted: int | Sequence[int | None] | None, shape: Shape) -> Shape | None:
    """An adaptive pooling gives the sizes that it is asked for; None keeps one."""
    sizes = wanted if isinstance(wanted, Sequence) else (wanted,) * len(shape[2:])
    if len(sizes) != len(shape[2:]):
        return None
    kept = zip(sizes, shape[2:], strict=True)
    return (*shape[:2], *(size if wish is None else wish for wish, size in kept))


def _pooled(module: nn.LPPool1d | nn.LPPool2d | nn.LPPool3d, value: Tensor) -> Shape:
    """A power mean's windows are those of a mean."""
    pool = {3: functional.avg_pool1d, 4: functional.avg_pool2d, 5: functional.avg_pool3d}
    made = pool[value.dim()](value, module.kernel_size, module.stride, 0, module.ceil_mode)
    return tuple(made.shape)
