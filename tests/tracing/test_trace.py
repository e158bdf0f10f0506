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
FOUR = Example(None, (1, 4))


def image(size: int = 64) -> Example:
    return Example(None, (1, 3, size, size))


def small_resnet() -> nn.Module:
    resnet = models.resnet
    return resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=4)


def test_a_residual_block_has_branches_under_its_own_name() -> None:
    text = dump(trace(small_resnet(), [image(32)]).document)
    block = text[text.index("  layer2:") : text.index("  layer3:")]
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


def test_heads_that_only_training_runs_are_layers_without_output() -> None:
    traced = trace(nets.WithHead(), [image(8)])
    assert traced.spec.outputs == ("fc",)
    assert traced.spec.layer("head").inputs == ("mean",)
    assert traced.warnings == ("only training runs `head`: kept as layers that lead to no output",)


def test_weights_that_nothing_reads_are_kept() -> None:
    traced = trace(nets.Unread(), [FOUR])
    assert traced.spec.layer("old.weight").type == "Buffer"
    assert traced.spec.outputs == ("fc",)
    assert "nothing reads the weights of `old`" in traced.warnings[0]


def test_what_training_computes_otherwise_is_told() -> None:
    (warning,) = trace(nets.Switches(), [FOUR]).warnings
    assert warning == "training computes something else in `act`: the spec is evaluation's"


def test_a_function_with_its_own_gradient_is_what_its_forward_does() -> None:
    traced = trace(nets.WithFunction(), [FOUR])
    assert traced.spec.layer("scale").args["value"] == 2
    assert traced.agreement.error <= EXACT


def test_tables_as_long_as_a_width_are_kept_and_hold_the_width() -> None:
    traced = trace(nets.WithTable(), [FOUR])
    assert traced.agreement.error <= EXACT
    assert traced.spec.layer("scale").args["shape"] == (6,)
    assert traced.spec.layer("constant").type == "Constant"


def test_a_batch_that_is_merged_with_windows_is_told_apart() -> None:
    traced = trace(nets.Windows(), [image(8)])
    assert traced.agreement.error <= EXACT
    assert traced.spec.layer("fc").inputs == ("flatten_2",)


def test_a_batch_behind_another_axis_is_refused() -> None:
    with pytest.raises(TraceError, match="moves the batch behind another axis"):
        trace(nets.TimeFirst(), [Example(None, (1, 5, 4))])


def test_a_recurrent_layer_gives_its_sequence_and_its_last_states() -> None:
    traced = trace(nets.Recurrent(), [Example(None, (1, 5, 4))])
    assert traced.agreement.error <= EXACT
    kinds = {layer.name: layer.args.get("returns") for layer in traced.spec.layers}
    assert (kinds["gru"], kinds["gru_2"]) == ("output", "hidden")
    assert set(traced.spec.layer("gru_2").share) == {
        "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0",
    }  # fmt: skip


def test_operations_become_the_types_that_do_them() -> None:
    traced = trace(nets.Functions(), [image(8)])
    assert traced.agreement.error <= EXACT
    kinds = {layer.type for layer in traced.spec.layers}
    assert kinds >= {"GLU", "Einsum", "Parameter", "AdaptiveMaxPool2d", "Upsample", "Subtract",
                     "Amax", "CELU"}  # fmt: skip


def test_torchs_own_transformer_blocks_are_traced() -> None:
    block = nn.TransformerEncoderLayer(12, 3, 20, batch_first=True)
    traced = trace(nn.Sequential(block), [Example(None, (1, 5, 12))])
    assert traced.agreement.error <= EXACT
    assert traced.spec.layer("0.self_attn").type == "MultiheadAttention"


def test_a_long_constant_is_packed() -> None:
    traced = trace(nets.WithTable(50), [FOUR])
    assert "data" in dump(traced.document)
    assert traced.agreement.error <= EXACT


def test_a_channel_shuffle_is_one_layer() -> None:
    traced = trace(models.ShuffleNetV2([2, 1, 1], [8, 16, 16, 16, 16], num_classes=4), [image(32)])
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
