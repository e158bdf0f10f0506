"""The networks that the tests trace and grow, as their users build them: nothing is edited."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from net2net_cli.tracing import Example
from tests.support.vision import models
from tests.tracing import nets


@dataclass(frozen=True)
class Case:
    """One network: how it is made, one batch's shape, and where it deepens: behind a layer, or
    (``layers=+1``) by a block more in a stage of blocks."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    after: str
    dtype: str = "float32"

    @property
    def examples(self) -> list[Example]:
        """What it is traced with."""
        return [Example(None, self.shape, self.dtype)]


def _torchvision(name: str, after: str, size: int = 64, **arguments: Any) -> Case:
    return Case(partial(getattr(models, name), **arguments), (1, 3, size, size), after)


def _transformers(name: str, after: str, size: int = 32, **config: Any) -> Case:
    def make() -> nn.Module:
        import transformers

        kind = getattr(transformers, name)
        return kind(kind.config_class(**config))

    return Case(make, (1, 3, size, size), after)


TORCHVISION: dict[str, Case] = {
    "resnet18": _torchvision("resnet18", "layer1.0.conv1"),
    "resnet50": _torchvision("resnet50", "layer1.0.conv2"),
    "googlenet": _torchvision("googlenet", "inception3a.branch2.1.conv", init_weights=True),
    "inception_v3": _torchvision("inception_v3", "Mixed_5b.branch3x3dbl_2.conv", 96,
                                 init_weights=True),
    "mobilenet_v2": _torchvision("mobilenet_v2", "features.2.conv.0.0"),
    "mobilenet_v3_small": _torchvision("mobilenet_v3_small", "features.1.block.0.0"),
    "densenet121": _torchvision("densenet121", "features.denseblock1.denselayer1.conv1"),
    "efficientnet_b0": _torchvision("efficientnet_b0", "features.2.0.block.3.0"),
    "shufflenet_v2_x1_0": _torchvision("shufflenet_v2_x1_0", "stage2.0.branch2.0"),
    "regnet_y_400mf": _torchvision("regnet_y_400mf", "stem.0"),
    "squeezenet1_1": _torchvision("squeezenet1_1", "features.3.squeeze"),
    "vgg11_bn": _torchvision("vgg11_bn", "features.0"),
    "mnasnet0_5": _torchvision("mnasnet0_5", "layers.0"),
    "convnext_tiny": _torchvision("convnext_tiny", "features.3=+1"),
    "vit_b_16": _torchvision("vit_b_16", "encoder.layers=+1", image_size=64),
    "swin_t": _torchvision("swin_t", "features.1=+1"),
}  # fmt: skip
TRANSFORMERS: dict[str, Case] = {
    "ResNetForImageClassification": _transformers(
        "ResNetForImageClassification", "resnet.encoder.stages.1.layers.1.layer.0.convolution",
        embedding_size=16, hidden_sizes=[16, 32], depths=[1, 2],
    ),
    "RegNetForImageClassification": _transformers(
        "RegNetForImageClassification", "regnet.encoder.stages.1.layers.1.layer.0.convolution",
        embedding_size=16, hidden_sizes=[16, 32], depths=[1, 2], groups_width=8,
    ),
    "MobileNetV2ForImageClassification": _transformers(
        "MobileNetV2ForImageClassification", "mobilenet_v2.layer.2.expand_1x1.convolution",
        size=64, image_size=64,
    ),
    "ConvNextForImageClassification": _transformers(
        "ConvNextForImageClassification", "convnext.encoder.stages.1.layers=+1",
        hidden_sizes=[16, 32], depths=[1, 2], num_stages=2,
    ),
    "ViTForImageClassification": _transformers(
        "ViTForImageClassification", "vit.layers=+1", image_size=32, patch_size=8, hidden_size=32,
        num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
    ),
}  # fmt: skip
OWN: dict[str, Case] = {
    "FaceNet": Case(nets.FaceNet, (1, 3, 16, 16), "conv.2"),
    "Keypoints": Case(nets.Keypoints, (1, 3, 16, 16), "trunk.0"),
    "U-Net": Case(nets.Unet, (1, 1, 16, 16), "bottom.2"),
    "LSTM tagger": Case(nets.Tagger, (1, 7), "tags", "int64"),
    "DCGAN generator": Case(nets.Generator, (1, 10, 1, 1), "main.0"),
    "MLP-Mixer": Case(nets.Mixer, (1, 3, 16, 16), "blocks=+1"),
}
NAMED = TORCHVISION | TRANSFORMERS
"""The 21 of the claim."""
ALL = NAMED | OWN
REFUSED = {
    ("DCGAN generator", "deeper"),  # its kernels are even
}
"""Growths that are refused, with the rule."""
QUICK = ("RegNetForImageClassification", "ViTForImageClassification", *OWN)
"""Those that every run of the tests grows; NET2NET_ALL=1 takes all."""
