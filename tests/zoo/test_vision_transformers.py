"""torchvision's vision transformers in small: wider streams with more heads, and deeper ones.

The students are loaded into torchvision's own modules of the new sizes.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from net2net_cli.api import Choices, open_student, shrink
from net2net_cli.errors import UnreachableError
from net2net_cli.plan import Widen
from net2net_cli.spec import parse_document, to_spec
from net2net_cli.targets import widened
from tests.growth.nets import EXACT, Teacher, difference, save_teacher
from tests.support.vision import models
from tests.verify.hand_built import randomize

IMAGES = (torch.randn(4, 3, 16, 16, dtype=torch.float64),)

VIT = """net2net: 1
input: [3, 16, 16]
layers:
  conv_proj: {type: Conv2d, out_channels: HIDDEN, kernel_size: 8, stride: 8}
  rows: {type: Flatten, start_dim: 2}
  tokens: {type: Transpose, dim0: 1, dim1: 2}
  class_token: {type: Parameter, shape: [1, 1, HIDDEN], batched: true}
  all: {type: Concat, inputs: [class_token, tokens]}
  encoder.pos_embedding: {type: Parameter, shape: [1, 5, HIDDEN], batched: true}
  start: {type: Add, inputs: [all, encoder.pos_embedding]}
BLOCKS
  encoder.ln: {type: LayerNorm, eps: 1e-6}
  class: {type: Select, dim: 1, index: 0}
  heads.head: {type: Linear, out_features: 5}
"""
VIT_BLOCK = """
  BLOCK.ln_1: {type: LayerNorm, eps: 1e-6, inputs: BEFORE}
  BLOCK.self_attention: {type: MultiheadAttention, num_heads: HEADS}
  BLOCK.middle: {type: Add, inputs: [BEFORE, BLOCK.self_attention]}
  BLOCK.ln_2: {type: LayerNorm, eps: 1e-6}
  BLOCK.mlp.0: {type: Linear, out_features: MLP}
  BLOCK.mlp.1: {type: GELU}
  BLOCK.mlp.3: {type: Linear, out_features: HIDDEN}
  BLOCK.end: {type: Add, inputs: [BLOCK.middle, BLOCK.mlp.3]}"""


def vit_spec(hidden: int, heads: int, mlp: int, blocks: int) -> str:
    names = [f"encoder.layers.encoder_layer_{at}" for at in range(blocks)]
    before = ["start", *(f"{name}.end" for name in names)]
    made = [
        VIT_BLOCK.replace("BLOCK", name).replace("BEFORE", fed)
        for name, fed in zip(names, before, strict=False)
    ]
    text = VIT.replace("BLOCKS", "".join(made)[1:])
    return text.replace("HIDDEN", str(hidden)).replace("HEADS", str(heads)).replace("MLP", str(mlp))


def vit(hidden: int, heads: int, mlp: int, blocks: int) -> nn.Module:
    return models.VisionTransformer(16, 8, blocks, heads, hidden, mlp, num_classes=5)


SMALL = (8, 2, 12, 2)


def vit_teacher(folder: Path) -> Teacher:
    torch.manual_seed(0)
    return save_teacher(folder, vit_spec(*SMALL), randomize(vit(*SMALL)))


@pytest.mark.parametrize(
    ("sizes", "kinds"),
    [
        ((8, 2, 17, 2), {"fresh"}),
        ((20, 5, 12, 2), {"mean", "fresh"}),
        ((16, 4, 24, 2), {"even", "fresh"}),
        ((8, 2, 12, 4), set()),
        ((12, 3, 19, 3), {"mean", "fresh"}),
    ],
    ids=["mlp", "hidden and heads", "twice all", "deeper", "all"],
)
def test_vit_grows(sizes: tuple[int, ...], kinds: set[str], tmp_path: Path) -> None:
    teacher = vit_teacher(tmp_path)
    plan = teacher.plan(vit_spec(*sizes))
    assert {o.expansion for o in plan.operations if isinstance(o, Widen)} == kinds
    student = teacher.apply(plan).into(vit(*sizes))
    assert difference(teacher.module, student, IMAGES) <= EXACT


def test_a_new_block_learns_from_the_first_step(tmp_path: Path) -> None:
    """Its last projections are zero, and nothing else is."""
    teacher = vit_teacher(tmp_path)
    state = teacher.apply(teacher.plan(vit_spec(8, 2, 12, 3))).state
    block = {n: t for n, t in state.items() if ".encoder_layer_2." in n and n.endswith("weight")}
    zero = {name.removeprefix("encoder.layers.encoder_layer_2.") for name in block
            if not block[name].any()}  # fmt: skip
    assert zero == {"self_attention.out_proj.weight", "mlp.3.weight"}


WHOLE_BLOCK = """net2net: 1
extends: source
layers:
  encoder.layers.new:
    after: encoder.layers.encoder_layer_0.end
    attention:
      type: Add
      branches:
        skip: {}
        own:
          ln: {type: LayerNorm, eps: 1e-6}
          att: {type: MultiheadAttention, num_heads: 4}
    mlp:
      type: Add
      branches:
        skip: {}
        own:
          ln: {type: LayerNorm, eps: 1e-6}
          up: {type: Linear, out_features: 20}
          gelu: {type: GELU}
          down: {type: Linear, out_features: 8}
"""


def test_a_spec_inserts_a_whole_block(tmp_path: Path) -> None:
    teacher = vit_teacher(tmp_path)
    student = teacher.apply(teacher.plan(WHOLE_BLOCK))
    assert len(student.state) == len(teacher.module.state_dict()) + 12
    assert difference(teacher.module, student.network, IMAGES) <= EXACT


def test_a_wider_head_is_refused_with_the_rule(tmp_path: Path) -> None:
    teacher = vit_teacher(tmp_path)
    with pytest.raises(UnreachableError, match="let `num_heads` grow with the width"):
        teacher.plan(vit_spec(16, 2, 12, 2))
    with pytest.raises(UnreachableError, match="mean and variance"):
        teacher.plan(vit_spec(12, 3, 12, 2), Choices("fresh"))


def test_heads_follow_the_stream_that_is_widened(tmp_path: Path) -> None:
    model = vit_teacher(tmp_path).model
    wider = widened(model.document, model.layout, "conv_proj", 12)
    wanted = parse_document(vit_spec(12, 3, 12, 2), "wanted.yaml")
    found, expected = ([la.args for la in to_spec(doc).layers] for doc in (wider, wanted))
    assert found == expected


SWIN = """net2net: 1
input: [3, 16, 16]
layers:
  features.0.0: {type: Conv2d, out_channels: A, kernel_size: 2, stride: 2}
  features.0.1: {type: Permute, dims: [2, 3, 1]}
  features.0.2: {type: LayerNorm}
FIRST
  odd_rows: {type: Slice, dim: 1, start: 1, step: 2}
  even_rows: {type: Slice, dim: 1, step: 2, inputs: features.1.1.end}
  x0: {type: Slice, dim: 2, step: 2, inputs: even_rows}
  x1: {type: Slice, dim: 2, step: 2, inputs: odd_rows}
  x2: {type: Slice, dim: 2, start: 1, step: 2, inputs: even_rows}
  x3: {type: Slice, dim: 2, start: 1, step: 2, inputs: odd_rows}
  merged: {type: Concat, dim: -1, inputs: [x0, x1, x2, x3]}
  features.2.norm: {type: LayerNorm}
  features.2.reduction: {type: Linear, out_features: B, bias: false}
SECOND
  norm: {type: LayerNorm}
  pool: {type: Mean, dim: [1, 2]}
  head: {type: Linear, out_features: 5}
"""
SWIN_BLOCK = """
  BLOCK.norm1: {type: LayerNorm, inputs: BEFORE}
  BLOCK.attn: {type: WindowAttention, num_heads: HEADS, window_size: [4, 4], shift_size: SHIFT}
  BLOCK.middle: {type: Add, inputs: [BEFORE, BLOCK.attn]}
  BLOCK.norm2: {type: LayerNorm}
  BLOCK.mlp.0: {type: Linear, out_features: MLP}
  BLOCK.mlp.1: {type: GELU}
  BLOCK.mlp.3: {type: Linear, out_features: WIDTH}
  BLOCK.end: {type: Add, inputs: [BLOCK.middle, BLOCK.mlp.3]}"""


def swin_spec(width: int, heads: tuple[int, int], depths: tuple[int, int]) -> str:
    text = SWIN
    stages = ((0, "features.0.2", "FIRST"), (1, "features.2.reduction", "SECOND"))
    for stage, first, what in stages:
        before = first
        size, blocks = width * (stage + 1), ""
        for at in range(depths[stage]):
            name = f"features.{2 * stage + 1}.{at}"
            made = SWIN_BLOCK.replace("BLOCK", name).replace("BEFORE", before)
            made = made.replace("SHIFT", "[2, 2]" if at % 2 else "[0, 0]")
            made = made.replace("HEADS", str(heads[stage])).replace("MLP", str(2 * size))
            blocks, before = blocks + made.replace("WIDTH", str(size)), f"{name}.end"
        text = text.replace(what, blocks[1:])
    last = f"features.1.{depths[0] - 1}.end"
    text = text.replace("features.1.1.end}\n  x0", f"{last}}}\n  x0")
    return text.replace(": A,", f": {width},").replace(": B,", f": {2 * width},")


def swin(width: int, heads: tuple[int, int], depths: tuple[int, int]) -> nn.Module:
    return models.swin_transformer.SwinTransformer(
        [2, 2], width, list(depths), list(heads), [4, 4], mlp_ratio=2, num_classes=5
    )


def test_swin_grows(tmp_path: Path) -> None:
    """Stages end in norms over what is merged, so that streams grow by whole multiples."""
    torch.manual_seed(0)
    small, large = (8, (2, 4), (2, 2)), (16, (4, 8), (2, 2))
    teacher = save_teacher(tmp_path, swin_spec(*small), randomize(swin(*small)))
    student = teacher.apply(teacher.plan(swin_spec(*large)))
    assert difference(teacher.module, student.into(swin(*large)), IMAGES) <= EXACT
    again = shrink(open_student(str(student.path)), str(tmp_path / "again.safetensors"))
    assert again.same


def test_swin_deepens_by_two_blocks(tmp_path: Path) -> None:
    """What a new window's index holds is what the others' holds."""
    torch.manual_seed(0)
    small, large = (8, (2, 4), (2, 2)), (8, (2, 4), (2, 4))
    teacher = save_teacher(tmp_path, swin_spec(*small), randomize(swin(*small)))
    student = teacher.apply(teacher.plan(swin_spec(*large)))
    assert difference(teacher.module, student.into(swin(*large)), IMAGES) <= EXACT
    again = shrink(open_student(str(student.path)), str(tmp_path / "again.safetensors"))
    assert again.same
