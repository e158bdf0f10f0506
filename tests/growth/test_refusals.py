"""What cannot grow is refused with exit code 3, naming the layer, the reason and the remedy."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from net2net_cli.api import Choices, widen_plan
from net2net_cli.errors import Net2NetError, SpecError, UnreachableError, UsageError
from tests.growth.nets import Teacher, save_spec

MLP = """
  fc1: {type: Linear, out_features: 4}
  act: {type: ReLU}
  fc2: {type: Linear, out_features: 3}
"""
CONV = """
  conv: {type: Conv2d, out_channels: 4, kernel_size: 3, padding: 1}
  bn: {type: BatchNorm2d}
  act: {type: ReLU}
  pool: {type: MaxPool2d, kernel_size: 2}
  last: {type: Conv2d, out_channels: 2, kernel_size: 1}
"""
STREAM = """
  fc: {type: Linear, out_features: 4}
  ln: {type: LayerNorm}
  last: {type: Linear, out_features: 3}
"""


def spec(layers: str, shape: str) -> str:
    return f"net2net: 1\ninput: {shape}\nlayers:{layers}"


@dataclass(frozen=True)
class Refusal:
    """A network, what is changed in its text, and what the refusal must say."""

    name: str
    layers: str
    change: tuple[str, str]
    says: tuple[str, ...]
    shape: str = "[5]"
    choices: Choices = Choices()  # noqa: RUF009  (frozen)


SHAPE = "[3, 8, 8]"
IDS = "{ids: {shape: [2], dtype: int64}}"
REFUSALS = (
    Refusal("uneven under LayerNorm of two axes",
            STREAM.replace("LayerNorm", "LayerNorm, normalized_shape: [6, 4]"),
            ("4", "7"), ("`fc`", "`ln`", "mean and variance", "multiple of 4"), "[6, 5]"),
    Refusal("duplicates under LayerNorm", STREAM, ("features: 4", "features: 7"),
            ("`fc`", "from 4 to 7", "`duplicate`", "`ln`"), choices=Choices("duplicate")),
    Refusal("fresh under LayerNorm", STREAM, ("features: 4", "features: 8"),
            ("`fc`", "`fresh`", "`ln`"), choices=Choices("fresh")),
    Refusal("zero under LayerNorm", STREAM, ("features: 4", "features: 8"),
            ("`fc`", "`zero`", "`ln`"), choices=Choices("zero")),
    Refusal("a norm behind a norm (post-norm)", """
  fc: {type: Linear, out_features: 4}
  ln1: {type: LayerNorm}
  side: {type: Linear, out_features: 4}
  sum: {type: Add, inputs: [ln1, side]}
  ln2: {type: LayerNorm}
  last: {type: Linear, out_features: 3}
""", ("features: 4", "features: 7"), ("`fc`", "`ln2`", "multiple of 4")),
    Refusal("a norm behind a norm and what moves axes", """
  fc: {type: Linear, out_features: 4}
  ln1: {type: LayerNorm}
  act: {type: ReLU}
  swap: {type: Permute, dims: [3, 1, 2]}
  flat: {type: Flatten, start_dim: 2}
  back: {type: Permute, dims: [2, 1]}
  ln2: {type: LayerNorm}
  last: {type: Linear, out_features: 3}
""", ("features: 4", "features: 7"), ("`fc`", "`ln2`", "multiple of 4"), "[2, 3, 5]"),
    Refusal("parts under one LayerNorm that grow unalike", """
  a: {type: Linear, out_features: 4}
  b: {type: Linear, out_features: 6, inputs: input}
  both: {type: Concat, inputs: [a, b]}
  ln: {type: LayerNorm}
  last: {type: Linear, out_features: 3}
""", ("features: 4", "features: 8"), ("`ln`", "same whole factor")),
    Refusal("uneven channels of a GroupNorm", """
  conv: {type: Conv2d, out_channels: 4, kernel_size: 1}
  gn: {type: GroupNorm, num_groups: 2}
  last: {type: Conv2d, out_channels: 2, kernel_size: 1}
""", ("channels: 4", "channels: 6"), ("`conv`", "`gn`", "num_groups", "multiple of 2"), SHAPE),
    Refusal("the output", MLP, ("features: 3", "features: 5"), ("`fc2`", "network's output")),
    Refusal("the output through a head", MLP + "  head: {type: Softmax, dim: 1}\n",
            ("features: 3", "features: 5"), ("`fc2`", "`head`", "normalises over it")),
    Refusal("channels under Softmax2d", """
  conv: {type: Conv2d, out_channels: 4, kernel_size: 1}
  soft: {type: Softmax2d}
  last: {type: Conv2d, out_channels: 2, kernel_size: 1}
""", ("channels: 4", "channels: 6"), ("`conv`", "`soft`", "normalises over it"), SHAPE),
    Refusal("features under Softmax", MLP.replace("ReLU", "Softmax, dim: -1"),
            ("features: 4", "features: 6"), ("`fc1`", "`act`", "normalises over it")),
    Refusal("positions that a pooling runs along", """
  fc: {type: Linear, out_features: 4}
  pool: {type: MaxPool1d, kernel_size: 2}
  last: {type: Conv1d, out_channels: 2, kernel_size: 1}
""", ("features: 4", "features: 6"), ("do not fit", "`last`"), "[3, 5]"),
    Refusal("a table and a head that share it", """
  embed: {type: Embedding, num_embeddings: 9, embedding_dim: 4}
  fc: {type: Linear, out_features: 4}
  head: {type: Linear, out_features: 9, bias: false, share: {weight: embed.weight}}
""", (": 4}", ": 6}"), ("`embed`", "share", "both writes and reads"), IDS),
    Refusal("the ids of an Embedding", """
  embed: {type: Embedding, num_embeddings: 9, embedding_dim: 4}
  head: {type: Linear, out_features: 2}
""", ("embeddings: 9", "embeddings: 12"), ("`embed`", "input ids"), IDS),
    Refusal("a narrower layer", MLP, ("features: 4", "features: 3"),
            ("`out_features` of `fc1` shrinks from 4 to 3", "never smaller")),
    Refusal("fewer groups", """
  conv: {type: Conv2d, out_channels: 4, kernel_size: 1}
  gn: {type: GroupNorm, num_groups: 4}
  last: {type: Conv2d, out_channels: 2, kernel_size: 1}
""", ("num_groups: 4", "num_groups: 2"), ("`num_groups` of `gn` shrinks from 4 to 2",), SHAPE),
    Refusal("another kernel", CONV, ("kernel_size: 3, padding: 1", "kernel_size: 5, padding: 2"),
            ("`kernel_size` of `conv` changes from 3 to 5",), SHAPE),
    Refusal("another stride", CONV, ("padding: 1", "padding: 1, stride: 2"),
            ("`stride` of `conv` changes from 1 to 2",), SHAPE),
    Refusal("another pooling", CONV, ("kernel_size: 2", "kernel_size: 4"),
            ("`kernel_size` of `pool` changes from 2 to 4",), SHAPE),
    Refusal("another activation", CONV, ("ReLU", "SiLU"),
            ("`type` of `act` changes from ReLU to SiLU",), SHAPE),
    Refusal("another eps", CONV, ("BatchNorm2d", "BatchNorm2d, eps: 0.1"),
            ("`eps` of `bn` changes from 1e-05 to 0.1",), SHAPE),
    Refusal("a bias less", MLP, ("features: 4", "features: 4, bias: false"),
            ("`bias` of `fc1` changes from true to false",)),
    Refusal("a layer less", CONV, ("  bn: {type: BatchNorm2d}\n", ""),
            ("no `bn` (BatchNorm2d)", "rename"), SHAPE),
    Refusal("another input", CONV, ("[3, 8, 8]", "[3, 10, 10]"),
            ("input changes from [3, 8, 8] to [3, 10, 10]",), SHAPE),
    Refusal("two outputs for one", CONV, ("layers:", "outputs: [last, pool]\nlayers:"),
            ("outputs changes from last to last, pool",), SHAPE),
    Refusal("layers in another order", """
  fc1: {type: Linear, out_features: 4}
  fc2: {type: Linear, out_features: 4}
  fc3: {type: Linear, out_features: 3}
""", ("fc2: {type: Linear, out_features: 4}",
      "fc2: {type: Linear, out_features: 4, inputs: input}"), ("`fc2`", "reads `fc1`")),
)  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
def test_refused_with_its_reason(case, tmp_path):
    before = spec(case.layers, case.shape)
    after = before.replace(*case.change)
    assert after != before
    teacher = save_spec(tmp_path, before)
    with pytest.raises(Net2NetError) as refused:
        teacher.plan(after, case.choices)
    told = "\n".join(refused.value.lines())
    for words in case.says:
        assert words in told
    assert isinstance(refused.value, UnreachableError), told
    assert refused.value.exit_code == 3


def widening(teacher: Teacher, layer: str, to: int) -> str:
    with pytest.raises(Net2NetError) as refused:
        widen_plan(teacher.model, layer, to)
    return f"{refused.value.exit_code} " + "\n".join(refused.value.lines())


def test_widen_says_which_sizes_a_factored_width_takes(tmp_path):
    """A shuffle into groups, pixels or pieces leaves multiples only."""
    teacher = save_spec(tmp_path, spec("""
  wide: {type: Conv2d, out_channels: 8, kernel_size: 1}
  pixels: {type: PixelShuffle, upscale_factor: 2}
  six: {type: Conv2d, out_channels: 6, kernel_size: 1}
  shuffle: {type: ChannelShuffle, groups: 3}
  last: {type: Conv2d, out_channels: 2, kernel_size: 1}
""", SHAPE))  # fmt: skip
    for layer, to, step, near in (("wide", 10, 4, 12), ("six", 10, 3, 12)):
        told = widening(teacher, layer, to)
        assert told.startswith(f"3 error: `{layer}` cannot be {to} wide: its width is a multiple")
        assert f"multiple of {step}" in told
        assert f"use {near}" in told
    assert widen_plan(teacher.model, "wide", 12).changes
    assert widen_plan(teacher.model, "six", 9).changes


def test_spec_whose_shuffle_does_not_fit_is_no_network(tmp_path):
    """Nothing to preserve: the target itself is wrong, which is exit 2."""
    text = """
  conv: {type: Conv2d, out_channels: 6, kernel_size: 1}
  shuffle: {type: ChannelShuffle, groups: 3}
  last: {type: Conv2d, out_channels: 2, kernel_size: 1}
"""
    teacher = save_spec(tmp_path, spec(text, SHAPE))
    with pytest.raises(SpecError, match="`shuffle` shuffles 3 groups, but gets 8 channels"):
        teacher.plan(spec(text, SHAPE).replace("channels: 6", "channels: 8"))


def test_widen_refuses_ends_and_what_is_no_growth(tmp_path):
    teacher = save_spec(tmp_path, spec(MLP, "[5]"))
    assert "`fc2` is the network's output" in widening(teacher, "fc2", 5)
    assert widening(teacher, "fc1", 3).startswith("3 error: `fc1` shrinks from 4 to 3")
    assert widening(teacher, "fc1", 4).startswith("2 error: `fc1` is 4 wide already")
    assert "did you mean `fc2` or `fc1`?" in widening(teacher, "fcl", 9)


def test_widen_names_what_ties_a_width_to_the_input(tmp_path):
    teacher = save_spec(tmp_path, spec("""
  depth: {type: Conv2d, out_channels: 3, kernel_size: 1, groups: 3}
  conv: {type: Conv2d, out_channels: 3, kernel_size: 1, inputs: input}
  sum: {type: Add, inputs: [depth, conv]}
  mixed: {type: Concat, inputs: [sum, input]}
  last: {type: Conv2d, out_channels: 2, kernel_size: 1}
""", SHAPE))  # fmt: skip
    for layer in ("depth", "conv", "sum"):
        assert "cannot grow: `input` is the network's input" in widening(teacher, layer, 6)


def test_unknown_expansion_and_split_are_wrong_usage(tmp_path):
    teacher = save_spec(tmp_path, spec(MLP, "[5]"))
    for choices in (Choices(expansion="copy"), Choices(split="thirds")):
        with pytest.raises(UsageError):
            widen_plan(teacher.model, "fc1", 6, choices)
