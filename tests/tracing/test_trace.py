"""Modules traced: the spec computes what the module does, and reads as a person would write it."""

from __future__ import annotations

import pytest
from torch import nn

from net2net_cli.errors import Net2NetError, TraceError
from net2net_cli.spec import dump
from net2net_cli.tracing import Example, trace
from tests.support.vision import models
from tests.tracing import nets

EXACT = 1e-12


def image(size: int = 64) -> Example:
    return Example(None, (1, 3, size, size))


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "regnet_y_400mf"])
def test_torchvisions_models_are_rebuilt(name: str) -> None:
    traced = trace(getattr(models, name)(num_classes=10), [image()])
    assert traced.agreement.error <= EXACT
    assert traced.agreement.dtype == "float64"


def test_a_residual_block_has_branches_under_its_own_name() -> None:
    text = dump(trace(models.resnet18(num_classes=10), [image()]).document)
    block = text[text.index("  layer2:") : text.index("\n    1:", text.index("  layer2:")) + 1]
    assert block == (
        "  layer2:\n"
        "    0:\n"
        "      type: Add\n"
        "      branches:\n"
        "        - conv1: {type: Conv2d, out_channels: 128, kernel_size: 3, stride: 2, padding: 1,"
        " bias: false}\n"
        "          bn1: {type: BatchNorm2d}\n"
        "          relu: {type: ReLU}\n"
        "          conv2: {type: Conv2d, out_channels: 128, kernel_size: 3, padding: 1,"
        " bias: false}\n"
        "          bn2: {type: BatchNorm2d}\n"
        "        - downsample:\n"
        "            0: {type: Conv2d, out_channels: 128, kernel_size: 1, stride: 2,"
        " bias: false}\n"
        "            1: {type: BatchNorm2d}\n"
        "    relu0: {type: ReLU}\n"
    )


def test_a_number_that_stands_for_widths_becomes_a_flatten() -> None:
    text = dump(trace(nets.LeNet(), [Example(None, (1, 1, 28, 28))]).document)
    assert text == (
        "net2net: 1\n"
        "input: [1, 28, 28]\n"
        "layers:\n"
        "  conv1: {type: Conv2d, out_channels: 6, kernel_size: 5}\n"
        "  relu: {type: ReLU}\n"
        "  pool: {type: MaxPool2d, kernel_size: 2}\n"
        "  conv2: {type: Conv2d, out_channels: 16, kernel_size: 5}\n"
        "  relu_2: {type: ReLU}\n"
        "  pool_2: {type: MaxPool2d, kernel_size: 2}\n"
        "  flatten: {type: Flatten}\n"
        "  fc1: {type: Linear, out_features: 120}\n"
        "  relu_3: {type: ReLU}\n"
        "  fc2: {type: Linear, out_features: 10}\n"
    )


def test_what_was_changed_in_place_is_read_changed() -> None:
    traced = trace(nets.PreActivation(), [image(8)])
    assert traced.agreement.error <= EXACT
    assert traced.spec.layer("add").inputs == ("relu", "conv")
    assert traced.spec.layer("conv").args["padding_mode"] == "reflect"


def test_outputs_are_named_and_a_module_called_twice_shares() -> None:
    traced = trace(nets.TwoHeads(), [Example(None, (1, 5))])
    assert traced.spec.outputs == ("points", "sigmoid")
    shared = [layer for layer in traced.spec.layers if layer.share]
    assert [layer.name for layer in shared] == ["again_2"]
    assert shared[0].share == {"weight": "again.weight", "bias": "again.bias"}


SMALL: dict[str, tuple[nn.Module, Example]] = {
    "unet": (nets.Unet(), Example(None, (1, 1, 16, 16))),
    "generator": (nets.Generator(), Example(None, (1, 10, 1, 1))),
    "mixer": (nets.Mixer(), image(16)),
    "facenet": (nets.FaceNet(), image(16)),
    "keypoints": (nets.Keypoints(), image(16)),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_are_rebuilt(name: str) -> None:
    module, example = SMALL[name]
    traced = trace(module, [example])
    assert traced.agreement.error <= EXACT
    assert traced.agreement.dtype == "float64"
    assert not traced.warnings


def test_heads_that_only_training_runs_are_layers_without_output() -> None:
    traced = trace(nets.WithHead(), [image(8)])
    assert traced.spec.outputs == ("fc",)
    assert traced.spec.layer("head").inputs == ("mean",)
    assert traced.warnings == ("only training runs `head`: kept as layers that lead to no output",)


def test_a_channel_shuffle_is_one_layer() -> None:
    traced = trace(models.shufflenet_v2_x1_0(num_classes=4), [image(32)])
    kinds = {layer.type for layer in traced.spec.layers}
    assert "ChannelShuffle" in kinds
    assert not kinds & {"Unflatten", "Permute", "Reshape"}
    assert traced.spec.layer("stage2.1").inputs == ("stage2.1.chunk", "stage2.1.branch2.7")


def test_functions_are_folded_into_their_type() -> None:
    traced = trace(nets.FaceNet(), [image(16)])
    assert traced.spec.layer("normalize").type == "Normalize"
    assert traced.spec.layer("blocks.0.scale").args["value"] == 0.17


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (nets.Chooses(), "chooses its way by the values"),
        (nets.Sorts(), "torch's `sort` in the module, at `return torch.sort(self.fc(x)).values`"),
        (nets.InPlaceView(), "changes a view of a value in place"),
    ],
)
def test_what_no_spec_can_say_is_named_with_its_line(module: nn.Module, said: str) -> None:
    with pytest.raises(Net2NetError) as caught:
        trace(module, [Example(None, (1, 4))])
    assert isinstance(caught.value, TraceError)
    assert said in caught.value.message
    assert caught.value.where is not None
    assert "nets.py:" in caught.value.where
