"""A network built from a spec: its graph, its memory, its modes, and what it refuses."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import nn

from net2net_cli.errors import CheckpointError, SpecError
from net2net_cli.network import Input
from net2net_cli.verify.network import as_mode, build
from tests.verify.hand_built import layer, network_spec, randomize, state_of


class Residual(nn.Module):
    """What a user's own module looks like: an in-place ReLU, a shortcut, two outputs."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        a = torch.relu(self.bn1(self.conv1(x)))
        b = torch.relu(self.conv2(a)) + a
        return self.fc(b.mean((2, 3))), a


RESIDUAL = network_spec(
    layer("conv1", "Conv2d", out_channels=4, kernel_size=(3, 3), padding=(1, 1)),
    layer("bn1", "BatchNorm2d"),
    layer("relu1", "ReLU", inplace=True),
    layer("conv2", "Conv2d", out_channels=4, kernel_size=(3, 3), padding=(1, 1)),
    layer("relu2", "ReLU", inplace=True),
    layer("add", "Add", "relu2", "relu1"),
    layer("pool", "AdaptiveAvgPool2d", output_size=(1, 1)),
    layer("flat", "Flatten"),
    layer("drop", "Dropout", inplace=True),
    layer("fc", "Linear", out_features=5),
    outputs=("fc", "relu1"),
)


@pytest.fixture
def residual():
    return randomize(Residual())


@pytest.mark.parametrize("mode", ["evaluation", "training"])
def test_graph_computes_what_the_users_module_computes(residual, mode):
    batch = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    network = build(RESIDUAL, state_of(residual))
    with as_mode(network, mode):
        found = network(batch)
    for mine, theirs in zip(found, residual.train(mode == "training")(batch), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-13, atol=1e-14)


def test_inplace_layers_leave_the_values_of_other_branches_alone():
    spec = network_spec(
        layer("act", "ReLU", "input", inplace=True), layer("sum", "Add", "act", "input")
    )
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(build(spec, {}, torch.float32)(x)[0], x.relu() + x)


def test_training_mode_leaves_statistics_and_the_callers_state_as_they_were(residual):
    state = state_of(residual)
    before = {name: value.clone() for name, value in state.items()}
    network = build(RESIDUAL, state)
    batch = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    expected = network(batch)[0]
    with as_mode(network, "training"):
        network(batch)
    assert torch.equal(network(batch)[0], expected)
    assert all(torch.equal(state[name], before[name]) for name in state)
    assert int(network.steps[1].module.num_batches_tracked) == 0


def test_values_come_by_the_names_of_layers_and_inputs(residual):
    batch = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    values = build(RESIDUAL, state_of(residual)).forward_values(batch)
    assert values.keys() == {"input", *(one.name for one in RESIDUAL.layers)}
    assert torch.equal(values["add"], values["relu2"] + values["relu1"])


def test_a_value_is_freed_after_its_last_reader():
    names = [f"conv{i}" for i in range(6)]
    feeds = ("input", *names[:-1])
    args = {"out_channels": 3, "kernel_size": (1, 1)}
    chain = [
        layer(name, "Conv2d", source, **args) for name, source in zip(names, feeds, strict=True)
    ]
    spec = network_spec(layer("unread", "ReLU"), *chain)
    state = state_of(randomize(nn.ModuleDict({name: nn.Conv2d(3, 3, 1) for name in names})))
    seen, alive = [], []

    def watch(name, value):
        seen.append(weakref.ref(value))
        alive.append(sum(ref() is not None for ref in seen))

    with torch.no_grad():
        build(spec, state).watched((torch.randn(2, 3, 8, 8, dtype=torch.float64),), watch)
    assert max(alive) <= 3  # the caller's input, a layer's input and its output


def test_large_convolutions_run_in_parts_with_the_same_result(monkeypatch, residual):
    batch = torch.randn(5, 3, 8, 8, dtype=torch.float64)
    network = build(RESIDUAL, state_of(residual))
    expected = network(batch)
    monkeypatch.setattr("net2net_cli.verify.network.CONV_BYTES", 50_000)
    for found, whole in zip(network(batch), expected, strict=True):
        torch.testing.assert_close(found, whole, rtol=1e-13, atol=1e-14)


def test_a_shared_tensor_is_one_parameter():
    spec = network_spec(
        layer("a", "Linear", out_features=4),
        layer("b", "Linear", out_features=4, share={"weight": "a.weight"}),
        shape=(4,),
    )
    linear = randomize(nn.Linear(4, 4))
    state = {"a.weight": linear.weight, "a.bias": linear.bias, "b.bias": torch.zeros(4)}
    network = build(spec, state)
    x = torch.randn(2, 4, dtype=torch.float64)
    torch.testing.assert_close(network(x)[0], linear(x) @ linear.weight.T)
    assert len(list(network.parameters())) == 3

    build(spec, {**state, "b.weight": linear.weight})  # as torch's own state dict lists it
    with pytest.raises(CheckpointError, match=r"b\.weight and a\.weight are one tensor"):
        build(spec, {**state, "b.weight": linear.weight + 1})  # a cloner untied it


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_weights_of_any_float_are_cast(residual, dtype):
    state = {name: value.to(dtype) if value.is_floating_point() else value
             for name, value in state_of(residual).items()}  # fmt: skip
    assert build(RESIDUAL, state)(torch.randn(2, 3, 8, 8).double())[0].dtype == torch.float64


def test_num_batches_tracked_may_be_missing_as_in_torch(residual):
    state = state_of(residual)
    del state["bn1.num_batches_tracked"]
    build(RESIDUAL, state)


def broken(**changes):
    state = state_of(randomize(Residual()))
    for name, value in changes.items():
        key = name.replace("_weight", ".weight").replace("_bias", ".bias")
        if value is None:
            del state[key]
        else:
            state[key] = value
    return state


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fc_weight": None}, r"needs fc\.weight, which the checkpoint lacks"),
        ({"fc_weight": None, "fd_weight": torch.ones(5, 4)}, r"needs fc\.weight"),
        ({"extra_weight": torch.ones(2)}, r"holds extra\.weight, which no layer"),
        (
            {"conv2_weight": torch.ones(6, 4, 3, 3)},
            r"conv2\.weight has the shape \[6, 4, 3, 3\], but .* needs \[4, 4, 3, 3\]",
        ),
        ({"conv2_bias": torch.ones(4, dtype=torch.int8)}, r"conv2\.bias holds int8"),
        ({"conv2_bias": torch.ones(4, dtype=torch.complex64)}, r"conv2\.bias holds complex64"),
    ],
)
def test_state_that_does_not_fit_is_refused(changes, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        build(RESIDUAL, broken(**changes), label="teacher.pt")
    assert caught.value.where == "teacher.pt"


def test_a_misspelt_tensor_is_pointed_out():
    state = broken(fc_weight=None, fd_weight=torch.ones(5, 4))
    with pytest.raises(CheckpointError) as caught:
        build(RESIDUAL, state)
    assert caught.value.hint == "the checkpoint has fd.weight, which the spec does not use"


def test_many_missing_tensors_are_counted():
    with pytest.raises(CheckpointError, match="and 7 more"):
        build(RESIDUAL, {})


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        ([layer("c", "Conv2d", out_channels=4, kernel_size=(3, 3), in_channels=5)], (3, 8, 8),
         r"c has in_channels 5, but reads a value of 3"),
        ([layer("c", "Conv2d", out_channels=4, kernel_size=(3, 3))], (8, 8),
         r"c \(Conv2d\) reads 3 axes without the batch, but is fed \[8, 8\]"),
        ([layer("c", "Conv2d", out_channels=4, kernel_size=(9, 9))], (3, 8, 8),
         r"c \(Conv2d\) cannot read \[3, 8, 8\]"),
        ([layer("c", "Conv2d", out_channels=4, kernel_size=(1, 1), groups=2)], (3, 8, 8),
         r"torch cannot build c \(Conv2d\)"),
        ([layer("s", "Softmax", dim=0)], (3,), "dim 0, which is the batch"),
        ([layer("s", "Softmax", dim=-2)], (3,), "dim -2, which is the batch"),
        ([layer("s", "Softmax", dim=3)], (3,), "dim 3, beyond the axes"),
        ([layer("a", "Add", "input", "later"), layer("later", "ReLU")], (3,), "reads later"),
        ([layer("e", "Embedding", num_embeddings=3, embedding_dim=2)], (3,), "cannot read"),
    ],
)  # fmt: skip
def test_spec_whose_shapes_do_not_fit_is_refused(layers, shape, message):
    with pytest.raises(SpecError, match=message):
        build(network_spec(*layers, shape=shape), {})


def test_output_that_is_no_layer_is_refused():
    with pytest.raises(SpecError, match="output nowhere is not a layer"):
        build(network_spec(layer("r", "ReLU"), outputs=("nowhere",)), {})


def test_several_inputs_are_taken_in_order():
    spec = network_spec(
        layer("emb", "Embedding", "ids", num_embeddings=9, embedding_dim=4),
        layer("sum", "Add", "emb", "x"),
        inputs=[Input("x", (4,)), Input("ids", (), "int64")],
    )
    table, x = torch.randn(9, 4).double(), torch.randn(3, 4).double()
    ids = torch.tensor([0, 8, 3])
    assert torch.equal(build(spec, {"emb.weight": table})(x, ids)[0], table[ids] + x)
