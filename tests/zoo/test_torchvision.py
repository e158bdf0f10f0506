"""The specs of torchvision's models: the same tensors, and the same function of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from net2net_cli.api import RunOptions, apply_plan, make_plan, open_model
from net2net_cli.laying import layout_of
from net2net_cli.verify.network import build
from tests.support import zoo
from tests.support.vision import models


def googlenet() -> nn.Module:
    return models.googlenet(aux_logits=False, transform_input=False, init_weights=True)


def wider_densenet() -> nn.Module:
    return models.DenseNet(growth_rate=48, block_config=(6, 12, 24, 16), num_init_features=96)


def deeper_convnext() -> nn.Module:
    block = models.convnext.CNBlockConfig
    stages = [block(96, 192, 4), block(192, 384, 4), block(384, 768, 10), block(768, None, 4)]
    return models.ConvNeXt(stages)


TEACHERS: dict[str, Callable[[], nn.Module]] = {
    "vgg11_bn": models.vgg11_bn,
    "resnet18": models.resnet18,
    "resnet50": models.resnet50,
    "googlenet": googlenet,
    "mobilenet_v2": models.mobilenet_v2,
    "densenet121": models.densenet121,
    "convnext_tiny": models.convnext_tiny,
}

STUDENTS: dict[str, Callable[[], nn.Module]] = {
    "vgg11_bn_deeper": models.vgg16_bn,
    "resnet18_deeper": models.resnet34,
    "resnet50_wider": models.wide_resnet50_2,
    "resnet50_deeper": models.resnet101,
    "mobilenet_v2_wider": lambda: models.mobilenet_v2(width_mult=1.4),
    "densenet121_wider": wider_densenet,
    "convnext_tiny_deeper": deeper_convnext,
}
"""Targets that torchvision has as well."""

ALL = TEACHERS | STUDENTS


def on_meta(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return make()


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name", ALL)
def test_spec_has_torchvisions_tensors(name: str) -> None:
    laid = layout_of(zoo.network(name, image=224))
    assert {t.name: t.shape for t in laid.tensors.values()} == shapes(on_meta(ALL[name]))


@pytest.mark.parametrize("name", TEACHERS)
def test_spec_computes_what_torchvision_does(name: str) -> None:
    model = zoo.randomise(on_meta(TEACHERS[name]))
    spec = zoo.network(name)
    images = zoo.random_inputs(2, *spec.inputs[0].shape)
    with torch.no_grad():
        expected = model(images)
        (found,) = build(spec, model.state_dict())(images)
    assert float((found - expected).abs().max()) <= 1e-12 * float(expected.abs().max())


@pytest.mark.parametrize(
    ("teacher", "target"),
    [("resnet18", "resnet18_deeper"), ("mobilenet_v2", "mobilenet_v2_wider")],
)
def test_torchvision_opens_the_student(teacher: str, target: str, tmp_path: Path) -> None:
    checkpoint, output = tmp_path / f"{teacher}.pth", tmp_path / "student.safetensors"
    small = zoo.randomise(on_meta(TEACHERS[teacher]))
    torch.save(small.state_dict(), checkpoint)
    model = open_model(str(checkpoint), str(zoo.SPECS / f"{teacher}.yaml"))
    plan = make_plan(model, zoo.SPECS / f"{target}.yaml")
    apply_plan(plan, model, str(output), RunOptions(verify=False))
    big = on_meta(STUDENTS[target])
    big.load_state_dict(load_file(output), assign=True)
    images = zoo.random_inputs(2, 3, 64, 64)
    with torch.no_grad():
        expected, found = small(images), big.eval()(images)
    assert float((found - expected).abs().max()) <= 1e-10 * float(expected.abs().max())
