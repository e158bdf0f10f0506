"""Shapes worked out by arithmetic: those that torch's modules give, and torch's own errors."""

from __future__ import annotations

import subprocess
import sys
from math import prod

import pytest
import torch

from net2net_cli.errors import SpecError
from net2net_cli.network import Input, Spec
from net2net_cli.verify.network import Network, build
from tests.support.command import environment
from tests.verify.hand_built import layer, network_spec
from tests.verify.test_layer_types import CASES

IMAGE = (4, 9, 9)
MODES = {"nearest": IMAGE, "nearest-exact": IMAGE, "linear": (4, 9), "bilinear": IMAGE,
         "bicubic": IMAGE, "trilinear": (4, 6, 6, 6)}  # fmt: skip
MORE = [
    ("Add", {}, IMAGE), ("Multiply", {}, IMAGE), ("Concat", {}, IMAGE),
    ("Concat", {"dim": -1}, IMAGE),
    ("Permute", {"dims": (2, 3, 1)}, IMAGE), ("Maxout", {"pieces": 2}, IMAGE),
    ("LayerScale", {}, IMAGE), ("GLU", {"dim": -3}, IMAGE), ("Softmax", {"dim": -1}, IMAGE),
    ("AdaptiveAvgPool2d", {"output_size": (1, 1)}, IMAGE),
    ("AdaptiveAvgPool2d", {"output_size": (None, 3)}, IMAGE),
    ("LPPool2d", {"norm_type": 2.0, "kernel_size": (2, 3), "stride": (2, 2), "ceil_mode": True},
     IMAGE),
    ("LPPool1d", {"norm_type": 1.0, "kernel_size": (4,), "ceil_mode": True}, (4, 9)),
    *(("Upsample", {"scale_factor": (1.7,) * (len(shape) - 1), "mode": mode}, shape)
      for mode, shape in MODES.items()),
    ("Upsample", {"size": (3, 20), "mode": "bilinear", "align_corners": True}, IMAGE),
]  # fmt: skip
ALL = [(kind, args, shape) for kind, args, shape, _ in CASES] + MORE


def alone(kind: str, args: dict, shape: tuple[int, ...]) -> Spec:
    """A network of that layer; those that join values read the input twice."""
    twice = ("input", "input") if kind in ("Add", "Multiply", "Concat") else ()
    return network_spec(layer("one", kind, *twice, **args), shape=shape)


def worked_out(spec: Spec) -> tuple[int, int]:
    """What the pass of shapes says of an example, all values together."""
    network = Network(spec, torch.float64)
    return network.example_bytes // 8, sum(step.columns for step in network.steps)


@pytest.mark.parametrize(
    ("kind", "args", "shape"), ALL, ids=lambda v: v if isinstance(v, str) else ""
)
def test_shapes_are_those_that_torch_gives(kind, args, shape):
    spec = alone(kind, args, shape)
    entries, columns = worked_out(spec)
    network = Network(spec, torch.float64).to_empty(device="cpu")
    made = network(torch.ones(2, *shape, dtype=torch.float64))[0]
    assert entries == prod(shape) + prod(made.shape[1:]) + columns


def build_and_run_everything() -> None:
    """Every layer type there is, in every mode that a probe uses."""
    for kind, args, shape in ALL:
        spec = alone(kind, args, shape)
        network = Network(spec, torch.float64).to_empty(device="cpu")
        network(torch.ones(2, *shape, dtype=torch.float64))
    ids = network_spec(
        layer("emb", "Embedding", "ids", num_embeddings=7, embedding_dim=3),
        inputs=[Input("ids", (5,), "int64")],
    )
    build(ids, {"emb.weight": torch.ones(7, 3)})(torch.zeros(2, 5, dtype=torch.int64))


def test_no_network_loads_torchs_compiler():
    """It takes longer to load than all else that a probe of a small network does."""
    code = (
        "import sys; from tests.verify.test_shapes import build_and_run_everything as run; run();"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True)


JOINED = "input", "other"


@pytest.mark.parametrize(
    ("kind", "args", "shapes", "says"),
    [
        ("Add", {}, [(3, 4), (3, 5)], "4"),
        ("Multiply", {}, [(3, 4), (2, 4)], "3"),
        ("Concat", {}, [(3, 4), (3, 5)], "Sizes of tensors must match"),
        ("Concat", {}, [(3, 4), (3,)], "[Nn]umber of dimensions"),
        ("GLU", {"dim": 1}, [(3, 4)], "must be even"),
        ("PReLU", {"num_parameters": 5}, [(3, 4)], "channel size"),
        ("LayerNorm", {"normalized_shape": (3, 5)}, [(3, 4)], "normalized_shape"),
        ("InstanceNorm1d", {}, [(3, 1)], "more than 1 spatial element"),
        ("LPPool1d", {"norm_type": 2.0, "kernel_size": (9,)}, [(3, 4)], "too small"),
        ("Upsample", {"scale_factor": (2.0,), "mode": "bilinear"}, [(3, 4)], "bilinear"),
        ("Upsample", {"mode": "linear"}, [(3, 4)], "size or scale_factor"),
        ("Upsample", {"size": (2, 2), "mode": "linear"}, [(3, 4)], "spatial dimensions"),
        ("Dropout1d", {}, [(3, 4, 4)], "dropout1d"),
    ],
)
def test_what_does_not_fit_is_told_in_torchs_words(kind, args, shapes, says):
    inputs = [Input(name, shape) for name, shape in zip(JOINED, shapes, strict=False)]
    reads = JOINED[: len(shapes)]
    with pytest.raises(SpecError, match=rf"one \({kind}\) cannot read .*{says}"):
        Network(network_spec(layer("one", kind, *reads, **args), inputs=inputs), torch.float64)


def test_whole_numbers_are_refused_where_floats_are_needed():
    spec = network_spec(
        layer("one", "Linear", "ids", out_features=2), inputs=[Input("ids", (3,), "int64")]
    )
    with pytest.raises(SpecError, match=r"one \(Linear\) reads whole numbers"):
        Network(spec, torch.float64)
