"""Arguments: defaults, sizes one per axis, and values of the wrong kind."""

from __future__ import annotations

import pytest

from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.spec import Value
from tests.spec.texts import FIRST_LAYER_LINE, layer_refusal, spec


def args(layer: str) -> dict[str, Value]:
    (found,) = spec(f"a: {{{layer}}}").layers
    return dict(found.args)


def test_defaults_are_filled_in_and_sizes_are_one_per_axis() -> None:
    assert args("type: Conv2d, out_channels: 8, kernel_size: [3, 5]") == {
        "out_channels": 8,
        "kernel_size": (3, 5),
        "stride": (1, 1),
        "padding": (0, 0),
        "dilation": (1, 1),
        "groups": 1,
        "bias": True,
        "padding_mode": "zeros",
    }


def test_what_is_inferred_is_absent_unless_given() -> None:
    assert "in_features" not in args("type: Linear, out_features: 3")
    assert args("type: Linear, out_features: 3, in_features: 4")["in_features"] == 4


@pytest.mark.parametrize(
    ("layer", "arg", "value"),
    [
        ("type: Conv1d, out_channels: 1, kernel_size: 3", "kernel_size", (3,)),
        ("type: Conv3d, out_channels: 1, kernel_size: 3", "kernel_size", (3, 3, 3)),
        ("type: Conv2d, out_channels: 1, kernel_size: 3, padding: same", "padding", "same"),
        ("type: Conv2d, out_channels: 1, kernel_size: 3, padding: [0, 1]", "padding", (0, 1)),
        ("type: MaxPool2d, kernel_size: 2", "stride", None),
        ("type: MaxPool2d, kernel_size: 2, stride: null", "stride", None),
        ("type: MaxPool2d, kernel_size: 2, stride: 1", "stride", (1, 1)),
        ("type: AdaptiveAvgPool2d, output_size: 1", "output_size", (1, 1)),
        ("type: AdaptiveAvgPool2d, output_size: [null, 7]", "output_size", (None, 7)),
        ("type: AdaptiveAvgPool2d, output_size: null", "output_size", None),
        ("type: ZeroPad2d, padding: 1", "padding", (1, 1, 1, 1)),
        ("type: ZeroPad2d, padding: [0, 1, 2, 3]", "padding", (0, 1, 2, 3)),
        ("type: ZeroPad1d, padding: [31, 32]", "padding", (31, 32)),
        ("type: Permute, dims: [2, 3, 1]", "dims", (2, 3, 1)),
        ("type: LayerNorm, normalized_shape: 5", "normalized_shape", (5,)),
        ("type: LayerNorm, normalized_shape: [5, 6]", "normalized_shape", (5, 6)),
        ("type: Upsample, scale_factor: 2", "scale_factor", 2.0),
        ("type: Upsample, scale_factor: [2, 1.5]", "scale_factor", (2.0, 1.5)),
        ("type: Upsample, size: 7", "size", 7),
        ("type: Upsample, size: [7, 8]", "size", (7, 8)),
        ("type: BatchNorm2d, eps: 1e-3", "eps", 0.001),
        ("type: BatchNorm2d, eps: 1", "eps", 1.0),
        ("type: BatchNorm2d, momentum: null", "momentum", None),
        ("type: ELU", "alpha", 1.0),
        ("type: GELU, approximate: tanh", "approximate", "tanh"),
        ("type: GELU, approximate: none", "approximate", "none"),
        ("type: ConstantPad2d, padding: 1, value: -.inf", "value", float("-inf")),
        ("type: Softmax, dim: -1", "dim", -1),
        (
            "type: Embedding, num_embeddings: 9, embedding_dim: 2, padding_idx: -1",
            "padding_idx",
            -1,
        ),
    ],
)
def test_values_are_normalised(layer: str, arg: str, value: Value) -> None:
    found = args(layer)[arg]
    assert found == value
    assert type(found) is type(value)


CONV = "type: Conv2d, out_channels: 8, kernel_size: 3"


@pytest.mark.parametrize(
    ("layer", "message", "hint"),
    [
        ("type: Conv2d, out_channels: 8", "`kernel_size`", "list of 2"),
        ("type: Linear", "`out_features`", "above 0"),
        ("type: Linear, out_feature: 8", "`out_feature`", "`out_features`"),
        ("type: ReLU, slope: 3", "`slope`", "inplace"),
        ("type: Tanh, slope: 3", "`slope`", "no arguments"),
        ("type: Linear, out_features: true", "`true`", "out_features"),
        ("type: Linear, out_features: 8.0", "`8.0`", "out_features"),
        ("type: Linear, out_features: '8'", '"8"', "out_features"),
        ("type: Linear, out_features: eight", '"eight"', "out_features"),
        ("type: Linear, out_features: 0", "`0`", "out_features"),
        ("type: Linear, out_features: -8", "`-8`", "out_features"),
        ("type: Linear, out_features: [8]", "`[8]`", "out_features"),
        ("type: Linear, out_features: {a: 1}", "a mapping", "out_features"),
        ("type: Linear, out_features: ", "nothing", "out_features"),
        ("type: Linear, out_features: 8, bias: 1", "`1`", "bias: true"),
        ("type: Linear, out_features: 8, bias: 0", "`0`", "bias: false"),
        ("type: Linear, out_features: 8, bias: no", '"no"', "bias: false"),
        ("type: Linear, out_features: 8, bias: 'On'", '"On"', "bias: true"),
        ("type: Linear, out_features: 8, bias: null", "`null`", "bias: true"),
        (f"{CONV}, kernel_size: 3", "second time", "remove"),
        (f"{CONV}, stride: [1, 1, 1]", "`[1, 1, 1]`", "stride: 3"),
        (f"{CONV}, stride: []", "`[]`", "stride: 3"),
        (f"{CONV}, stride: [1, true]", "`[1, true]`", "stride: 3"),
        (f"{CONV}, stride: [1, [1]]", "a list", "stride: 3"),
        (f"{CONV}, stride: 0", "`0`", "stride: 3"),
        (f"{CONV}, stride: null", "`null`", "stride: 3"),
        (f"{CONV}, padding: -1", "`-1`", "padding: 1"),
        (f"{CONV}, padding: sane", '"sane"', "padding: 1"),
        (f"{CONV}, padding_mode: reflekt", '"reflekt"', "`reflect`"),
        (f"{CONV}, padding_mode: 3", "`3`", "padding_mode: zeros"),
        ("type: MaxPool2d, kernel_size: 2, stride: None", '"None"', "stride: null"),
        ("type: MaxPool2d, kernel_size: 2, stride: [null, 2]", "`[null, 2]`", "stride: 3"),
        ("type: ZeroPad2d, padding: [1, 1]", "list of 4", "padding: 1"),
        ("type: BatchNorm2d, eps: small", '"small"', "eps: 0.1"),
        ("type: BatchNorm2d, eps: false", "`false`", "eps: 0.1"),
        ("type: BatchNorm2d, eps: .nan", "`.nan`", "eps: 0.1"),
        ("type: Upsample, scale_factor: 0", "`0`", "scale_factor: 2.0"),
        ("type: Upsample, scale_factor: .inf", "`.inf`", "scale_factor: 2.0"),
        ("type: Permute, dims: []", "`[]`", "dims: [2, 3]"),
        ("type: GELU, approximate: None", '"None"', "none"),
    ],
)
def test_a_wrong_argument_says_where_and_what_to_do(layer: str, message: str, hint: str) -> None:
    error = layer_refusal(f"a: {{{layer}}}")
    assert message in error.message
    assert hint in str(error.hint)
    assert error.where == f"net.yaml:{FIRST_LAYER_LINE}"


@pytest.mark.parametrize(
    ("layer", "arg", "hint"),
    [
        ("type: Dropout, p: 1.5", "p", "probability"),
        ("type: BatchNorm2d, eps: -1e-5", "eps", "1e-5"),
        ("type: Hardtanh, min_val: 2", "max_val", "min_val"),
        ("type: RReLU, lower: 0.5", "upper", "lower"),
        ("type: Upsample", "scale_factor", "scale_factor: 2"),
        ("type: Upsample, size: 3, scale_factor: 2", "scale_factor", "scale_factor"),
        ("type: Upsample, size: 3, align_corners: true", "align_corners", "remove"),
        (f"{CONV}, padding: same, stride: 2", "padding", "padding: 1"),
        ("type: MaxPool2d, kernel_size: 3, padding: 2", "padding", "ZeroPad"),
        ("type: AvgPool1d, kernel_size: 1, padding: 1", "padding", "ZeroPad"),
        (
            "type: ConvTranspose2d, out_channels: 3, kernel_size: 3, output_padding: 1",
            "output_padding",
            "smaller",
        ),
        ("type: Permute, dims: [0, 1]", "dims", "batch"),
        ("type: Permute, dims: [1, 1]", "dims", "batch"),
        ("type: Embedding, num_embeddings: 3, embedding_dim: 2, padding_idx: 3", "padding_idx", ""),
        ("type: Clamp", "max", "min: 0.0"),
        ("type: Clamp, min: 2, max: 1", "max", "min"),
        ("type: StochasticDepth, p: -0.5", "p", "probability"),
        ("type: Unflatten, dim: 1, unflattened_size: [-1, -1]", "unflattened_size", "-1"),
        ("type: Reshape, shape: [0, 2]", "shape", "-1"),
        ("type: Expand, sizes: [0]", "sizes", "-1"),
        ("type: WindowAttention, num_heads: 2, window_size: 7", "window_size", "[7, 7]"),
        ("type: MultiheadAttention, num_heads: 2, kdim: 3", "vdim", "both"),
        ("type: MultiheadAttention, num_heads: 2, dropout: 2", "dropout", "probability"),
        ("type: Constant", "value", "value: [0.5, 1.0]"),
        ("type: Constant, value: 1, data: abc", "data", "remove it"),
        ("type: Chunk, chunks: 2, index: 2", "index", "first chunk is 0"),
        ("type: Roll, shifts: [1, 2], dims: [1]", "shifts", "how far"),
        ("type: Flip, dims: [1, 1]", "dims", "once"),
        ("type: Mean, dim: [2, 2]", "dim", "once"),
        ("type: Pad, pad: [1]", "pad", "before and after"),
        ("type: Einsum, inputs: [input, input], equation: 'nii->ni'", "equation", "nij,njk"),
        ("type: Einsum, inputs: [input, input], equation: 'n...,n...->n'", "equation", "nij,njk"),
        ("type: Einsum, inputs: [input, input], equation: 'ni,mi->nm'", "equation", "nij,njk"),
        ("type: Einsum, inputs: [input, input], equation: 'ni,ni->nj'", "equation", "nij,njk"),
    ],
)
def test_arguments_that_torch_refuses_together_are_refused(layer: str, arg: str, hint: str) -> None:
    error = layer_refusal(f"a: {{{layer}}}")
    assert error.message.startswith(f"`{arg}` of a")
    assert hint in str(error.hint)


@pytest.mark.parametrize(
    "layer",
    [
        "type: MaxPool2d, kernel_size: 3, padding: 1",
        "type: MaxPool2d, kernel_size: 3, padding: 2, dilation: 2",
        f"{CONV}, padding: same",
        "type: ConvTranspose1d, out_channels: 3, kernel_size: 3, stride: 2, output_padding: 1",
        "type: Upsample, scale_factor: 2, mode: bilinear, align_corners: false",
    ],
)
def test_arguments_that_go_together_are_taken(layer: str) -> None:
    assert args(layer)


def test_an_error_points_to_the_argument_and_not_only_to_the_layer() -> None:
    error = layer_refusal("a:\n  type: Linear\n  out_features: x\n")
    assert error.where == f"net.yaml:{FIRST_LAYER_LINE + 2}"


def test_a_missing_argument_points_to_the_type() -> None:
    error = layer_refusal("a:\n  bias: true\n  type: Linear\n")
    assert error.where == f"net.yaml:{FIRST_LAYER_LINE + 2}"


REQUIRED = {
    "int": "2", "size": "2", "pads": "1", "float": "1.0", "ints": "[1]", "text": "nij->ni",
    "numbers": "[1, 2.5]", "shape": "[]",
}  # fmt: skip
ALSO = {"Upsample": "scale_factor: 2", "Clamp": "min: 0.5", "Constant": "value: [[1, 2.5]]"}
INSTEAD = {
    "Pad": "pad: [1, 2]",
    "Chunk": "chunks: 3, index: 2",
    "WindowAttention": "num_heads: 2, window_size: [7, 7]",
}


@pytest.mark.parametrize("name", LAYER_TYPES)
def test_every_layer_type_can_be_written(name: str) -> None:
    kind = LAYER_TYPES[name]
    said = [f"{arg.name}: {REQUIRED[arg.kind]}" for arg in kind.args if arg.need == "required"]
    said = [INSTEAD[name]] if name in INSTEAD else [*said, ALSO.get(name, "")]
    count = kind.fewest if kind.most is not None else 2
    if count > 1:
        said.append(f"inputs: [{', '.join(['input'] * count)}]")
    found = args(", ".join([f"type: {name}", *filter(None, said)]))
    assert set(found) == {arg.name for arg in kind.args if arg.need != "inferred"}
