"""Layer types of attention: the heads are a width, and each head's own width never grows.

Scores are scaled by the root of a head's width, so that a wider head computes something else. The
tensors' names and shapes are those of torch.nn.MultiheadAttention and of torchvision's
ShiftedWindowAttention (Swin).
"""

from __future__ import annotations

from net2net_cli.layers.kinds import Arg, LayerType, TensorLine, flag, number

_HEADS = Arg("num_heads", "int", "required")
_OUT = (
    TensorLine("out_proj.weight", "out <- (heads head_dim)", "uniform"),
    TensorLine("out_proj.bias", "out", "scaled", when="bias"),
)

ATTENTION = (
    LayerType(
        "ScaledDotProductAttention",
        "dot_product",
        (
            number("dropout_p", 0.0),
            flag("is_causal", False),
            Arg("scale", "float", none=True),
            flag("enable_gqa", False),
        ),
        fewest=3,
        most=4,
        zeros=2,
    ),
    LayerType(
        "MultiheadAttention",
        "attention",
        (
            _HEADS,
            number("dropout", 0.0),
            flag("bias", True),
            Arg("kdim", "int", none=True),
            Arg("vdim", "int", none=True),
            flag("is_causal", False),
            Arg("embed_dim", "int", "inferred"),
        ),
        1,
        "in -> out",
        (
            TensorLine("in_proj_weight", "(3 heads head_dim) <- in", "uniform", when="!kdim"),
            TensorLine("q_proj_weight", "(heads head_dim) <- in", "uniform", when="kdim"),
            TensorLine("k_proj_weight", "(heads head_dim) <- k", "uniform", when="kdim"),
            TensorLine("v_proj_weight", "(heads head_dim) <- v", "uniform", when="kdim"),
            TensorLine("in_proj_bias", "(3 heads head_dim)", "scaled", when="bias"),
            *_OUT,
        ),
        {"num_heads": "heads", "embed_dim": "in", "kdim": "k", "vdim": "v"},
        fewest=1,
        most=3,
        last="out_proj",
    ),
    LayerType(
        "WindowAttention",
        "attention",
        (
            _HEADS,
            Arg("window_size", "ints", "required"),
            Arg("shift_size", "ints", default=(0, 0), low=0),
            flag("qkv_bias", True),
            flag("proj_bias", True),
            number("attention_dropout", 0.0),
            number("dropout", 0.0),
            Arg("embed_dim", "int", "inferred"),
        ),
        2,
        "in -> out",
        (
            TensorLine("relative_position_bias_table", "offsets heads", "scaled"),
            TensorLine("relative_position_index", "pairs", "kept", buffer=True),
            TensorLine("qkv.weight", "(3 heads head_dim) <- in", "uniform"),
            TensorLine("qkv.bias", "(3 heads head_dim)", "scaled", when="qkv_bias"),
            TensorLine("proj.weight", "out <- (heads head_dim)", "uniform"),
            TensorLine("proj.bias", "out", "scaled", when="proj_bias"),
        ),
        {"num_heads": "heads", "embed_dim": "in"},
        last="proj",
    ),
)
