"""The networks of `specs/`, exported: tidy, and the same where net2net is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from syrupy.assertion import SnapshotAssertion

from net2net_cli.export.names import RESERVED
from net2net_cli.laying import layout_of
from net2net_cli.spec import parse_document, to_spec
from net2net_cli.verify.inputs import draw_inputs
from net2net_cli.verify.network import as_mode, build
from tests.export.modules import check, module_of, state_of, text_of
from tests.support import zoo
from tests.support.command import environment

FEW = ("mlp", "lenet_deeper", "digits_bigger", "crepe_tiny")
SPECS = zoo.NAMES if os.environ.get("NET2NET_ALL") == "1" else FEW

ALONE = """
import importlib.util, sys
sys.modules["net2net_cli"] = None
import torch
from safetensors.torch import load_file

file, weights, values = sys.argv[1:]
spec = importlib.util.spec_from_file_location("student", file)
student = importlib.util.module_from_spec(spec)
spec.loader.exec_module(student)
network = student.Network()
network.load_state_dict(load_file(weights), strict=True)
assert network.training
given = load_file(values)
with torch.no_grad():
    trained = network(given["input"])
    network.load_state_dict(load_file(weights), strict=True)
    found = network.eval()(given["input"])
torch.testing.assert_close(found, given["evaluation"], rtol=0, atol=0)
torch.testing.assert_close(trained, given["training"], rtol=0, atol=0)
"""


@pytest.mark.parametrize("name", SPECS)
def test_a_spec_computes_the_same(name: str) -> None:
    check(zoo.network(name, 32 if name.startswith(("resnet", "mobilenet")) else 64), probes=2)


@pytest.mark.parametrize("name", ["None", "true", "tensor", "ordered_dict", "class", "network"])
def test_names_that_are_no_names_of_classes(name: str) -> None:
    """A class is called after the units that it is of, where Python and the file let it."""
    unit = "{conv: {type: Conv2d, out_channels: 3, kernel_size: 1}, act: {type: ReLU}}"
    text = f"""net2net: 1
input: [3, 5, 5]
layers:
  {name!r}: {{type: Concat, branches: {{a: {unit}, b: {unit}}}}}
  pool: {{type: AdaptiveAvgPool2d, output_size: 1}}
"""
    check(to_spec(parse_document(text, "spec.yaml")), probes=2)


def test_the_file_needs_nothing_but_torch(tmp_path: Path) -> None:
    """A process of its own, in which net2net cannot be imported, in both modes."""
    spec = zoo.network("digits_bigger", 32)
    state = state_of(layout_of(spec))
    (tmp_path / "student.py").write_text(text_of(spec, state))
    save_file(state, tmp_path / "student.safetensors")
    (batch,) = draw_inputs(spec, 3, 1).values()
    network, values = build(spec, state), {"input": batch}
    for mode in ("evaluation", "training"):
        with torch.no_grad(), as_mode(network, mode):
            values[mode] = network(batch)[0]
    save_file(values, tmp_path / "values.safetensors")
    subprocess.run(
        [sys.executable, "-c", ALONE, "student.py", "student.safetensors", "values.safetensors"],
        cwd=tmp_path, env=environment(), check=True,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["resnet50", "googlenet", "convnext_tiny"])
def test_the_text(name: str, snapshot: SnapshotAssertion) -> None:
    spec = zoo.network(name, 224)
    dtypes = {n: "int64" if t.line.fill == "count" else "float32"
              for n, t in layout_of(spec).tensors.items()}  # fmt: skip
    from net2net_cli.export import source_of

    assert source_of(layout_of(spec), dtypes, "Network", "A network.") == snapshot


DTYPES = """
net2net: 1
input: [4]
layers:
  a: {type: Linear, out_features: 3}
  norm: {type: LayerNorm}
  b: {type: Linear, out_features: 2}
  deep.in.a_group.of_groups.that_has_a_rather_long_name: {type: LayerNorm}
  end: {type: LayerNorm, elementwise_affine: true}
"""


def test_each_tensor_keeps_its_dtype() -> None:
    spec = to_spec(parse_document(DTYPES, "dtypes.yaml"))
    state = state_of(layout_of(spec))
    kinds = {name: torch.float32 for name in state if ".weight" in name and "norm" in name}
    kinds |= {name: torch.float64 for name in state if name.startswith(("deep", "end", "b."))}
    kinds |= {"norm.bias": torch.float64, "end.bias": torch.float32}
    state = {name: value.to(kinds.get(name, torch.float64)) for name, value in state.items()}
    text = text_of(spec, state)
    own = module_of(text).state_dict()
    assert {n: v.dtype for n, v in own.items()} == {n: v.dtype for n, v in state.items()}
    assert len(set(kinds.values())) == 2


def test_norms_of_another_dtype_take_one_line_each() -> None:
    spec = zoo.network("digits_bigger")
    state = state_of(layout_of(spec))
    norms = {name.rpartition(".")[0] for name in state if name.endswith("running_mean")}
    state = {
        name: value.to(torch.float32 if name.rpartition(".")[0] in norms else torch.bfloat16)
        if value.is_floating_point() else value
        for name, value in state.items()
    }  # fmt: skip
    text = text_of(spec, state)
    assert text.count(".data") == 0
    own = module_of(text).state_dict()
    assert {n: v.dtype for n, v in own.items()} == {n: v.dtype for n, v in state.items()}


def test_names_that_torch_takes_are_known() -> None:
    nn = torch.nn
    made = (nn.Sequential(), nn.ModuleDict(), nn.ModuleList(), nn.Module())
    own = {name for container in made for name in (*dir(container), *vars(container))}
    own -= {"smart_apply"}  # which transformers adds where it was imported
    assert {name for name in own if not name.startswith("__")} <= RESERVED
