"""Layer types without parameters that move, cut, join and sum axes.

``dim`` counts the batch as axis 0, as in torch; lists of all of an example's axes (``dims`` of
Permute, ``shape``, ``sizes``) leave it out. The batch never mixes with the other axes.
"""

from __future__ import annotations

from net2net_cli.layers.kinds import Arg, LayerType, flag, number, whole

_ANY = -(2**62)
"""Below every index."""

_DIM = Arg("dim", "int", "required", low=-9)
_DIM_1 = Arg("dim", "int", default=1, low=-9)
_DIMS = Arg("dims", "ints", "required", low=-9)
_PADDINGS = ("constant", "reflect", "replicate", "circular")

STRUCTURE = (
    LayerType(
        "Flatten",
        "flatten",
        (whole("start_dim", 1, 1), Arg("end_dim", "int", default=-1, low=-9)),
    ),
    LayerType("Permute", "permute", (Arg("dims", "ints", "required", low=0),)),
    LayerType("PixelShuffle", "shuffle", (Arg("upscale_factor", "int", "required"),), 2),
    LayerType("PixelUnshuffle", "unshuffle", (Arg("downscale_factor", "int", "required"),), 2),
    LayerType("ChannelShuffle", "channel_shuffle", (Arg("groups", "int", "required"),)),
    LayerType("Maxout", "maxout", (Arg("pieces", "int", "required"), whole("dim", 1, 1))),
    LayerType(
        "Chunk",
        "chunk",
        (Arg("chunks", "int", "required"), Arg("index", "int", "required", low=0), _DIM_1),
    ),
    LayerType(
        "Slice",
        "slice",
        (
            _DIM,
            Arg("start", "int", default=0, low=_ANY),
            Arg("end", "int", low=_ANY, none=True),
            whole("step", 1, 1),
        ),
        sizes={"start": "", "end": ""},
    ),
    LayerType(
        "Select",
        "select",
        (_DIM, Arg("index", "int", "required", low=_ANY)),
        sizes={"index": ""},
    ),
    LayerType(
        "Unflatten",
        "unflatten",
        (_DIM, Arg("unflattened_size", "ints", "required", low=-1)),
        sizes={"unflattened_size": ""},
    ),
    LayerType(
        "Reshape", "reshape", (Arg("shape", "ints", "required", low=-1),), sizes={"shape": ""}
    ),
    LayerType(
        "Transpose",
        "transpose",
        (Arg("dim0", "int", "required", low=-9), Arg("dim1", "int", "required", low=-9)),
    ),
    LayerType("Squeeze", "squeeze", (_DIM,)),
    LayerType("Unsqueeze", "unsqueeze", (_DIM,)),
    LayerType("Expand", "expand", (Arg("sizes", "ints", "required", low=-1),)),
    LayerType("Flip", "reorder", (_DIMS,)),
    LayerType("Roll", "reorder", (Arg("shifts", "ints", "required", low=_ANY), _DIMS)),
    LayerType(
        "Pad",
        "pad",
        (
            Arg("pad", "ints", "required", low=_ANY),
            Arg("mode", "str", default="constant", choices=_PADDINGS),
            number("value", 0.0),
        ),
    ),
    LayerType(
        "Unfold",
        "unfold",
        (
            Arg("kernel_size", "size", "required"),
            Arg("dilation", "size", default=1),
            Arg("padding", "size", default=0, low=0),
            Arg("stride", "size", default=1),
        ),
        2,
    ),
    *(
        LayerType(name, "reduce", (Arg("dim", "ints", "required", low=-9), flag("keepdim", False)))
        for name in ("Mean", "Sum", "Amax", "Amin")
    ),
    *(
        LayerType(
            name,
            "reduce",
            (
                Arg("dim", "ints", "required", low=-9),
                whole("correction", 1),
                flag("keepdim", False),
            ),
        )
        for name in ("Var", "Std")
    ),
    LayerType("Normalize", "normalize", (number("p", 2.0), _DIM_1, number("eps", 1e-12))),
    LayerType("Add", "add", fewest=2, most=None, zeros="all"),
    LayerType("Subtract", "subtract", fewest=2, most=2, zeros="all"),
    LayerType("Multiply", "multiply", fewest=2, most=None),
    LayerType("Divide", "divide", fewest=2, most=2),
    LayerType("Maximum", "extreme", fewest=2, most=2, zeros="all"),
    LayerType("Minimum", "extreme", fewest=2, most=2, zeros="all"),
    LayerType("Concat", "concat", (_DIM_1,), fewest=1, most=None, zeros="all"),
    LayerType("MatMul", "matmul", fewest=2, most=2),
    LayerType("Einsum", "einsum", (Arg("equation", "text", "required"),), fewest=1, most=9),
)
