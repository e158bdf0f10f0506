"""Every layer type of the table computes what torch's own module computes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from net2net_cli.layers.constants import packed
from net2net_cli.layers.table import LAYER_TYPES
from net2net_cli.network import Input
from net2net_cli.verify.network import as_mode, build
from tests.verify.hand_built import layer, network_spec, randomize, state_of

SIGNAL, IMAGE, VOLUME = (4, 9), (4, 9, 9), (4, 6, 6, 6)
SPACES = {1: SIGNAL, 2: IMAGE, 3: VOLUME}

ACTIVATIONS = {
    name: {} for name, kind in LAYER_TYPES.items()
    if kind.rule == "pointwise" and name != "Threshold" and hasattr(nn, name)
}  # fmt: skip
POSITIVE = ("Log", "Log1p", "Sqrt", "Rsqrt")
FUNCTIONS = {
    name: getattr(torch, "negative" if name == "Negative" else name.lower())
    for name in (
        *POSITIVE, "Abs", "Exp", "Expm1", "Square", "Reciprocal", "Negative", "Sin", "Cos", "Atan",
        "Erf", "Sign",
    )
}  # fmt: skip


class LayerNorm2d(nn.LayerNorm):
    """As torchvision's ConvNeXt has it."""

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        x = functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class Told(nn.Module):
    """A function of torch, as the module that a case compares with."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *values):
        return self.function(*values)


def cases():
    """(type, the spec's arguments, the input's shape, torch's module)."""
    yield "Linear", {"out_features": 5}, (4,), nn.Linear(4, 5)
    yield "Linear", {"out_features": 5, "bias": False}, (3, 4), nn.Linear(4, 5, bias=False)
    yield "Threshold", {"threshold": 0.1, "value": 7.0}, IMAGE, nn.Threshold(0.1, 7.0)
    for name in ACTIVATIONS:
        yield name, {}, (4,) if name.endswith("1d") else IMAGE, getattr(nn, name)()
    yield "ReLU", {"inplace": True}, IMAGE, nn.ReLU()
    yield "PReLU", {}, IMAGE, nn.PReLU()
    yield "PReLU", {"num_parameters": 4}, (4,), nn.PReLU(4)
    for name in ("Softmax", "Softmin", "LogSoftmax"):
        yield name, {"dim": 1}, IMAGE, getattr(nn, name)(dim=1)
    yield "Softmax2d", {}, IMAGE, nn.Softmax2d()
    yield "GLU", {"dim": 1}, IMAGE, nn.GLU(1)
    yield "GroupNorm", {"num_groups": 2}, IMAGE, nn.GroupNorm(2, 4)
    yield "LayerNorm", {}, (3, 4), nn.LayerNorm(4)
    yield (
        "LayerNorm",
        {"normalized_shape": (9, 9), "bias": False},
        IMAGE,
        nn.LayerNorm((9, 9), bias=False),
    )
    yield "LayerNorm2d", {"eps": 1e-3}, IMAGE, LayerNorm2d(4, eps=1e-3)
    yield "RMSNorm", {}, (3, 4), nn.RMSNorm(4)
    yield "RMSNorm", {"normalized_shape": (9, 9), "eps": 1e-3}, IMAGE, nn.RMSNorm((9, 9), eps=1e-3)
    yield "LocalResponseNorm", {"size": 3}, IMAGE, nn.LocalResponseNorm(3)
    yield from recurrent_cases()
    yield "PixelShuffle", {"upscale_factor": 2}, IMAGE, nn.PixelShuffle(2)
    yield "PixelUnshuffle", {"downscale_factor": 3}, IMAGE, nn.PixelUnshuffle(3)
    yield "ChannelShuffle", {"groups": 2}, IMAGE, nn.ChannelShuffle(2)
    yield "Flatten", {}, IMAGE, nn.Flatten()
    yield "Flatten", {"start_dim": 2, "end_dim": 3}, VOLUME, nn.Flatten(2, 3)
    yield "Upsample", {"scale_factor": (2.0, 2.0)}, IMAGE, nn.Upsample(scale_factor=2)
    yield (
        "Upsample",
        {"size": (5,), "mode": "linear", "align_corners": True},
        SIGNAL,
        nn.Upsample(size=5, mode="linear", align_corners=True),
    )
    for rank, shape in SPACES.items():
        yield from spatial_cases(rank, shape)
    for name, args, shape, function in function_cases():
        yield name, args, shape, Told(function)


def recurrent_cases():
    """One value of what torch's modules give."""
    many = {"num_layers": 2, "bidirectional": True}
    for name in ("LSTM", "GRU", "RNN"):
        for args in ({}, many, {"num_layers": 3, "bias": False}):
            module = getattr(nn, name)(4, 5, batch_first=True, **args)
            for returns in ("output", "hidden", "cell")[: 3 if name == "LSTM" else 2]:
                yield (
                    name,
                    {"hidden_size": 5, "returns": returns, **args},
                    (6, 4),
                    OneOf(module, returns),
                )
    yield (
        "RNN",
        {"hidden_size": 5, "nonlinearity": "relu"},
        (6, 4),
        OneOf(nn.RNN(4, 5, nonlinearity="relu", batch_first=True), "output"),
    )


class OneOf(nn.Module):
    """One value of a recurrent module, its states behind the batch."""

    def __init__(self, module, returns):
        super().__init__()
        self.module, self.returns = module, returns

    def state_dict(self, *args, **more):
        return self.module.state_dict(*args, **more)

    def forward(self, x):
        output, state = self.module(x)
        hidden, cell = state if isinstance(state, tuple) else (state, None)
        found = {"hidden": hidden, "cell": cell}
        return output if self.returns == "output" else found[self.returns].transpose(0, 1)


def function_cases():
    """What torch has as a function, or as a method of a tensor."""
    for name, function in FUNCTIONS.items():
        if name not in POSITIVE:
            yield name, {}, IMAGE, function
    yield "Scale", {"value": -1.5}, IMAGE, lambda x: x * -1.5
    yield "Shift", {"value": 0.5}, IMAGE, lambda x: x + 0.5
    yield "Power", {"exponent": 3.0}, IMAGE, lambda x: x**3
    yield "Clamp", {"min": -0.5}, IMAGE, lambda x: x.clamp(min=-0.5)
    yield "Clamp", {"min": -0.5, "max": 0.25}, IMAGE, lambda x: x.clamp(-0.5, 0.25)
    yield "StochasticDepth", {"p": 0.3}, IMAGE, lambda x: x
    yield "Chunk", {"chunks": 2, "index": 1}, IMAGE, lambda x: x.chunk(2, 1)[1]
    yield "Chunk", {"chunks": 3, "index": 0, "dim": -1}, IMAGE, lambda x: x.chunk(3, -1)[0]
    yield "Slice", {"dim": 1, "start": 1, "end": 3}, IMAGE, lambda x: x[:, 1:3]
    yield "Slice", {"dim": 3, "end": -1, "step": 2}, IMAGE, lambda x: x[:, :, :, :-1:2]
    yield "Select", {"dim": 2, "index": -1}, IMAGE, lambda x: x[:, :, -1]
    yield "Unflatten", {"dim": 3, "unflattened_size": (3, -1)}, IMAGE, nn.Unflatten(3, (3, 3))
    yield "Reshape", {"shape": (2, -1, 9)}, IMAGE, lambda x: x.reshape(2, 2, 18, 9)
    yield "Transpose", {"dim0": 1, "dim1": -1}, IMAGE, lambda x: x.transpose(1, 3)
    yield "Permute", {"dims": (2, 3, 1)}, IMAGE, lambda x: x.permute(0, 2, 3, 1)
    yield "Squeeze", {"dim": 2}, (4, 1, 9), lambda x: x.squeeze(2)
    yield "Unsqueeze", {"dim": -1}, IMAGE, lambda x: x.unsqueeze(-1)
    yield "Unsqueeze", {"dim": 1}, IMAGE, lambda x: x.unsqueeze(1)
    yield "Expand", {"sizes": (-1, 5, 9)}, (4, 1, 9), lambda x: x.expand(2, 4, 5, 9)
    yield "Flip", {"dims": (1, 3)}, IMAGE, lambda x: x.flip(1, 3)
    yield "Roll", {"shifts": (-3, 2), "dims": (2, 3)}, IMAGE, lambda x: x.roll((-3, 2), (2, 3))
    for more in ({"value": 0.5}, {"mode": "circular"}):
        yield (
            "Pad",
            {"pad": (1, 2, 0, 3), **more},
            IMAGE,
            lambda x, more=more: functional.pad(x, (1, 2, 0, 3), **more),
        )
    yield (
        "Pad",
        {"pad": (-1, 2, 0, 0, 1, 1)},
        IMAGE,
        lambda x: functional.pad(x, (-1, 2, 0, 0, 1, 1)),
    )
    yield (
        "Unfold",
        {"kernel_size": (2, 3), "stride": (2, 1), "padding": (1, 0)},
        IMAGE,
        nn.Unfold((2, 3), padding=(1, 0), stride=(2, 1)),
    )
    for name in ("Mean", "Sum", "Amax", "Amin"):
        function = getattr(torch, name.lower())
        yield name, {"dim": (2, 3)}, IMAGE, lambda x, f=function: f(x, (2, 3))
        yield (
            name,
            {"dim": (-1,), "keepdim": True},
            IMAGE,
            lambda x, f=function: f(x, (-1,), keepdim=True),
        )
    for name in ("Var", "Std"):
        function = getattr(torch, name.lower())
        yield (
            name,
            {"dim": (1,), "correction": 0},
            IMAGE,
            lambda x, f=function: f(x, (1,), correction=0),
        )
        yield name, {"dim": (2, 3)}, IMAGE, lambda x, f=function: f(x, (2, 3))
    yield "Normalize", {"p": 3.0, "dim": 2}, IMAGE, lambda x: functional.normalize(x, 3.0, 2)
    yield "Maxout", {"pieces": 2}, IMAGE, lambda x: x.unflatten(1, (2, 2)).amax(2)


def spatial_cases(rank, shape):
    """What exists for one, two and three spatial axes; sizes as the spec's reader gives them."""

    def torch_type(name, *args, **more):
        return getattr(nn, f"{name}{rank}d")(*args, **more)

    three, two, one = (3,) * rank, (2,) * rank, (1,) * rank
    grouped = {"padding": 1, "groups": 2, "padding_mode": "reflect"}
    uneven = {"padding": "same", "dilation": 1}
    upward = {"stride": 2, "output_padding": 1}
    conv, transposed = f"Conv{rank}d", f"ConvTranspose{rank}d"
    for kernel, options in ((3, grouped), (2, uneven)):
        args = {"out_channels": 6, "kernel_size": (kernel,) * rank, **options}
        yield conv, args, shape, torch_type("Conv", 4, 6, kernel, **options)
    args = {"out_channels": 6, "kernel_size": three, "stride": two, "output_padding": one}
    yield transposed, args, shape, torch_type("ConvTranspose", 4, 6, 3, **upward)
    for name, options in {
        "BatchNorm": {},
        "InstanceNorm": {"affine": True, "track_running_stats": True},
    }.items():
        yield f"{name}{rank}d", options, shape, torch_type(name, 4, **options)
    yield (
        f"BatchNorm{rank}d",
        {"track_running_stats": False, "affine": False},
        shape,
        torch_type("BatchNorm", 4, track_running_stats=False, affine=False),
    )
    yield f"InstanceNorm{rank}d", {}, shape, torch_type("InstanceNorm", 4)
    yield (
        f"MaxPool{rank}d",
        {"kernel_size": two, "ceil_mode": True},
        shape,
        torch_type("MaxPool", 2, ceil_mode=True),
    )
    yield (
        f"AvgPool{rank}d",
        {"kernel_size": two, "padding": one},
        shape,
        torch_type("AvgPool", 2, padding=1),
    )
    yield (
        f"LPPool{rank}d",
        {"norm_type": 2.0, "kernel_size": two},
        shape,
        torch_type("LPPool", 2.0, 2),
    )
    yield f"AdaptiveAvgPool{rank}d", {"output_size": two}, shape, torch_type("AdaptiveAvgPool", 2)
    yield f"AdaptiveMaxPool{rank}d", {"output_size": two}, shape, torch_type("AdaptiveMaxPool", 2)
    sides = tuple(range(1, 2 * rank + 1)) if rank < 3 else (1,) * 6
    for name in ("ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad"):
        yield f"{name}{rank}d", {"padding": sides}, shape, torch_type(name, sides)
    yield (
        f"ConstantPad{rank}d",
        {"padding": sides, "value": 0.5},
        shape,
        torch_type("ConstantPad", sides, 0.5),
    )


CASES = list(cases())
ELSEWHERE = {
    "Add", "Subtract", "Multiply", "Divide", "Maximum", "Minimum", "Concat", "MatMul", "Einsum",
    "LayerScale",
    "ScaledDotProductAttention", "MultiheadAttention", "WindowAttention", "Embedding",
    "EmbeddingBag", "Parameter", "Buffer", "Constant", "IndexSelect",
    *POSITIVE,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "args", "shape", "torch_module"), CASES, ids=lambda v: v if isinstance(v, str) else ""
)
@pytest.mark.parametrize("mode", ["evaluation", "training"])
def test_layer_computes_what_torch_computes(kind, args, shape, torch_module, mode):
    """Alone in a network, in the mode of its norms; dropout is off in both."""
    expected = randomize(torch_module)
    spec = network_spec(layer("one", kind, **args), shape=shape)
    network = build(spec, {f"one.{name}": value for name, value in state_of(expected).items()})
    batch = torch.randn(2, *shape, dtype=torch.float64)
    expected.train(mode == "training" and "Norm" in kind)
    with as_mode(network, mode):
        (found,) = network(batch)
    torch.testing.assert_close(found, expected(batch), rtol=1e-12, atol=1e-14)


def test_every_layer_type_is_tried():
    assert {kind for kind, *_ in CASES} | ELSEWHERE == set(LAYER_TYPES)


def test_embedding_reads_ids_of_any_shape():
    table = torch.randn(7, 3, dtype=torch.float64)
    spec = network_spec(
        layer("emb", "Embedding", "ids", num_embeddings=7, embedding_dim=3),
        inputs=[Input("ids", (2, 5), "int64")],
    )
    ids = torch.randint(7, (4, 2, 5))
    assert torch.equal(build(spec, {"emb.weight": table})(ids)[0], table[ids])


def test_add_multiply_and_concat_fold_over_all_their_inputs():
    spec = network_spec(
        layer("gate", "AdaptiveAvgPool2d", "input", output_size=(1, 1)),
        layer("sum", "Add", "input", "gate", "input"),
        layer("product", "Multiply", "input", "gate", "sum"),
        layer("end", "Concat", "input", "sum", "product"),
        layer("rows", "Concat", "input", "input", dim=-1),
        outputs=("sum", "product", "end", "rows"),
    )
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    gate = x.mean((2, 3), keepdim=True)
    total, product, end, rows = build(spec, {})(x)
    torch.testing.assert_close(total, x + gate + x)
    torch.testing.assert_close(product, x * gate * total)
    assert torch.equal(end, torch.cat([x, total, product], 1))
    assert torch.equal(rows, torch.cat([x, x], 3))


PAIRS = {
    "Subtract": torch.sub, "Divide": torch.div, "Maximum": torch.maximum, "Minimum": torch.minimum,
    "MatMul": torch.matmul,
}  # fmt: skip


@pytest.mark.parametrize("kind", PAIRS)
def test_pairs_are_joined_in_the_order_in_which_they_are_named(kind):
    x, y = torch.randn(2, 2, 3, 3, 3, dtype=torch.float64)
    inputs = [Input("x", (3, 3, 3)), Input("y", (3, 3, 3))]
    spec = network_spec(layer("one", kind, "y", "x"), inputs=inputs)
    torch.testing.assert_close(build(spec, {})(x, y)[0], PAIRS[kind](y, x))


def test_einsum_takes_torchs_equation():
    x, y = torch.randn(2, 2, 5, 3, dtype=torch.float64)
    inputs = [Input("x", (5, 3)), Input("y", (5, 3))]
    spec = network_spec(layer("one", "Einsum", "x", "y", equation="nij,nkj->nki"), inputs=inputs)
    torch.testing.assert_close(build(spec, {})(x, y)[0], y @ x.transpose(1, 2))


@pytest.mark.parametrize("kind", POSITIVE)
def test_functions_of_positive_numbers(kind):
    x = torch.rand(2, 5, dtype=torch.float64) + 0.1
    spec = network_spec(layer("one", kind), shape=(5,))
    torch.testing.assert_close(build(spec, {})(x)[0], FUNCTIONS[kind](x))


def test_maxout_takes_the_largest_of_adjacent_channels():
    x = torch.tensor([[1.0, 5, 2, 3, -1, -4]], dtype=torch.float64)
    spec = network_spec(layer("m", "Maxout", pieces=2), shape=(6,))
    assert build(spec, {})(x)[0].tolist() == [[5, 3, -1]]


@pytest.mark.parametrize("mode", ["mean", "sum", "max"])
def test_embedding_bag_joins_the_vectors_of_several_ids(mode):
    table = nn.EmbeddingBag(7, 3, mode=mode, padding_idx=2).double()
    args = {"num_embeddings": 7, "embedding_dim": 3, "mode": mode, "padding_idx": 2}
    spec = network_spec(
        layer("bag", "EmbeddingBag", "ids", **args), inputs=[Input("ids", (5,), "int64")]
    )
    ids = torch.randint(7, (4, 5))
    torch.testing.assert_close(build(spec, {"bag.weight": table.weight})(ids)[0], table(ids))


PACKED = {"shape": (2, 3), "data": packed(torch.arange(6.0).numpy().tobytes())}


@pytest.mark.parametrize(
    ("kind", "args", "held"),
    [
        ("Parameter", {"shape": (2, 3)}, torch.randn(2, 3, dtype=torch.float64)),
        ("Parameter", {"shape": (1, 2, 3), "batched": True}, torch.randn(1, 2, 3).double()),
        ("Buffer", {"shape": (2, 3)}, torch.randn(2, 3, dtype=torch.float64)),
        ("Constant", {"value": ((1, 2.5, 3), (4, 5, 6))}, None),
        ("Constant", PACKED, None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_tensors_without_inputs_are_the_same_for_all_examples(kind, args, held):
    """Added, which broadcasts, and laid beside, which needs as many as there are examples."""
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    spec = network_spec(
        layer("block.held", kind, **args),
        layer("sum", "Add", "input", "block.held"),
        layer("end", "Concat", "block.held", "input"),
        shape=(2, 3),
        outputs=("sum", "end"),
    )
    value = torch.tensor([[1, 2.5, 3], [4, 5, 6]]) if "value" in args else torch.arange(6.0)
    value = (value if held is None else held).double().reshape(2, 3)
    total, end = build(spec, {} if held is None else {"block.held": held})(x)
    assert torch.equal(total, x + value)
    assert torch.equal(end, torch.cat([value.expand(4, 2, 3), x], 1))


@pytest.mark.parametrize(("dim", "at"), [(1, 1), (-1, 2)])
def test_index_select_takes_entries_where_a_buffer_says(dim, at):
    x, where = torch.randn(2, 5, 5, dtype=torch.float64), torch.tensor([[4, 0, 0], [1, 2, 3]])
    spec = network_spec(
        layer("index", "Buffer", shape=(2, 3), dtype="int64"),
        layer("taken", "IndexSelect", "input", "index", dim=dim),
        shape=(5, 5),
    )
    expected = x[:, where] if at == 1 else x[:, :, where]
    assert torch.equal(build(spec, {"index": where})(x)[0], expected)


def test_layer_scale_acts_on_the_last_axis_too():
    factor, x = torch.randn(3).double(), torch.randn(2, 4, 5, 3).double()
    spec = network_spec(layer("scale", "LayerScale", dim=-1), shape=(4, 5, 3))
    assert torch.equal(build(spec, {"scale": factor})(x)[0], x * factor)


@pytest.mark.parametrize("shape", [(3, 8, 8), (3,)])
def test_layer_scale_is_stored_under_its_own_name(shape):
    factor = torch.randn(3, *(1,) * (len(shape) - 1), dtype=torch.float64)
    x = torch.randn(2, *shape, dtype=torch.float64)
    spec = network_spec(layer("block.layer_scale", "LayerScale"), shape=shape)
    assert torch.equal(build(spec, {"block.layer_scale": factor})(x)[0], x * factor)
