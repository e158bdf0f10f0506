"""Modules of others, traced and exported: the file computes what the module does."""

from __future__ import annotations

import os
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from net2net_cli.export import source_of
from net2net_cli.laying import layout_of
from net2net_cli.tracing import Example, random_state, trace
from tests.export.modules import dtypes_of, module_of
from tests.support.vision import models
from tests.tracing.zoo import ALL, Case


def _densenet() -> nn.Module:
    return models.DenseNet(8, (4, 3), num_init_features=8, bn_size=2, num_classes=5)


CASES = {"U-Net": ALL["U-Net"], "LSTM tagger": ALL["LSTM tagger"]}
if os.environ.get("NET2NET_ALL") == "1":
    CASES = ALL
CASES = {"DenseNet": Case(_densenet, (1, 3, 32, 32), ""), **CASES}


@cache
def exported(name: str) -> tuple[nn.Module, str]:
    """The module with random tensors in float64, and its file."""
    case = CASES[name]
    module = case.make()
    spec = trace(module, case.examples).spec
    module = module.double()
    drawn = random_state(module, torch.float64)
    for name, tensor in module.state_dict().items():  # load_state_dict has rules of its own in some
        tensor.copy_(drawn[name])
    layout = layout_of(spec)
    listed = {*layout.tensors, *layout.aliases}
    dtypes = {n: d for n, d in dtypes_of(module.state_dict()).items() if n in listed}
    return module.eval(), source_of(layout, dtypes, "Network", "A network.")


def values(example: Example) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (3, *example.shape[1:])
    if example.dtype == "int64":
        return torch.randint(0, 10, shape, generator=generator)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def outputs(module: nn.Module, batch: Tensor) -> list[Tensor]:
    with torch.no_grad():
        leaves = torch.utils._pytree.tree_leaves(module(batch))
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]


@pytest.mark.parametrize("name", CASES)
def test_a_traced_module_computes_the_same(name: str) -> None:
    module, text = exported(name)
    student = module_of(text)
    own = student.state_dict()
    student.load_state_dict({n: v for n, v in module.state_dict().items() if n in own})
    batch = values(CASES[name].examples[0])
    found = outputs(student.eval(), batch)
    expected = outputs(module, batch)
    assert len(found) == len(expected) > 0
    for ours, theirs in zip(expected, found, strict=True):
        assert float((ours - ours.mean()).abs().max()) > 1e-6, "the inputs tell nothing apart"
        assert float((ours - theirs).abs().max()) <= 1e-12 * float(ours.abs().max())


def test_dense_layers_are_one_class_and_grow_one_value() -> None:
    _, text = exported("DenseNet")
    assert text.count("class Denselayer") == 1
    assert "return torch.cat([x, denselayer4], 1)" in text
    assert "x, denselayer1, denselayer2" not in text
