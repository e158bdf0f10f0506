"""Layers, blocks and branches that a target spec adds: the function stays, and they can learn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from net2net_cli.api import Choices, deepen_plan
from tests.growth.deeper import (
    CONV,
    IMAGE,
    MLP,
    VECTOR,
    VERIFIED,
    Deeper,
    Modules,
    conv_net,
    mlp,
)
from tests.growth.nets import EXACT, chain, difference, save_spec, save_teacher, worst
from tests.growth.vector_nets import TorchMaxout
from tests.verify.hand_built import randomize


class Block(nn.Module):
    """A residual block."""

    def __init__(self, *branch: tuple[str, nn.Module]) -> None:
        super().__init__()
        for name, module in branch:
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for module in self.children():
            y = module(y)
        return x + y


def by_spec() -> list[Deeper]:
    """Insertions that a target spec describes."""
    wider = "  new: {type: Linear, out_features: 9, after: act}\n  new_act: {type: ReLU}\n"
    block = """  block:
    type: Add
    after: act
    branches:
      - conv1: {type: Conv2d, out_channels: 5, kernel_size: 3, padding: 1}
        bn1: {type: BatchNorm2d}
        act: {type: SiLU}
        conv2: {type: Conv2d, out_channels: 4, kernel_size: 1}
END      - {}
  block_act: {type: ReLU}
"""

    def blocks(*end: tuple[str, nn.Module]) -> Modules:
        inner = [("conv1", nn.Conv2d(4, 5, 3, padding=1)), ("bn1", nn.BatchNorm2d(5)),
                 ("act", nn.SiLU()), ("conv2", nn.Conv2d(5, 4, 1)), *end]  # fmt: skip
        return {"block": Block(*inner), "block_act": nn.ReLU()}

    return [
        Deeper("wider than its input", VECTOR, MLP,
               lambda: {**mlp(), "last": nn.Linear(9, 3)},
               lambda: {"new": nn.Linear(4, 9), "new_act": nn.ReLU()}, "act", extends=wider),
        Deeper("wider, in a net that widens too", VECTOR, MLP,
               lambda: {"fc": nn.Linear(5, 7), "act": nn.ReLU(), "last": nn.Linear(9, 3)},
               lambda: {"new": nn.Linear(7, 9), "new_act": nn.ReLU()}, "act",
               extends="  fc: {out_features: 7}\n" + wider),
        Deeper("convolution wider than its input", IMAGE, CONV,
               lambda: conv_net(6, 9),
               lambda: {"new": nn.Conv2d(6, 9, 5, padding=2), "new_act": nn.ReLU()}, "act",
               extends="""  conv: {out_channels: 6}
  new: {type: Conv2d, out_channels: 9, kernel_size: 5, padding: 2, after: act}
  new_act: {type: ReLU}
"""),
        Deeper("grouped, with more channels a group", IMAGE, CONV,
               lambda: conv_net(4, 12),
               lambda: {"new": nn.Conv2d(4, 12, 3, padding=1, groups=2)}, "act",
               extends="  new: {type: Conv2d, out_channels: 12, kernel_size: 3, padding: 1,"
                       " groups: 2, after: act}\n"),
        Deeper("a padding and the convolution that uses it", IMAGE, CONV, conv_net,
               lambda: {"pad": nn.ZeroPad2d((0, 3, 1, 2)), "new": nn.Conv2d(4, 4, 4)}, "act",
               extends="""  pad: {type: ZeroPad2d, padding: [0, 3, 1, 2], after: act}
  new: {type: Conv2d, out_channels: 4, kernel_size: 4}
"""),
        Deeper("Linear and Maxout", VECTOR, MLP, mlp,
               lambda: {"new": nn.Linear(4, 8), "max": TorchMaxout(2, 1)}, "fc",
               extends="""  new: {type: Linear, out_features: 8, after: fc}
  max: {type: Maxout, pieces: 2}
"""),
        Deeper("wider Linear and Maxout", VECTOR, MLP,
               lambda: {**mlp(), "last": nn.Linear(7, 3)},
               lambda: {"new": nn.Linear(4, 21), "max": TorchMaxout(3, 1)}, "fc",
               extends="""  new: {type: Linear, out_features: 21, after: fc}
  max: {type: Maxout, pieces: 3}
"""),
        Deeper("PReLU anywhere, Dropout, LayerScale's kin", VECTOR, MLP, mlp,
               lambda: {"new": nn.Linear(4, 4), "slope": nn.PReLU(), "drop": nn.Dropout()}, "fc",
               extends="""  new: {type: Linear, out_features: 4, after: fc}
  slope: {type: PReLU}
  drop: {type: Dropout}
"""),
        Deeper("in front of everything", IMAGE, CONV,
               lambda: {"new": nn.Conv2d(3, 5, 3, padding=1), **conv_net(),
                        "conv": nn.Conv2d(5, 4, 3)},
               dict, "", extends="""  new:
    type: Conv2d
    out_channels: 5
    kernel_size: 3
    padding: 1
    after: input
"""),
        Deeper("a block that ends in a convolution", IMAGE, CONV, conv_net, blocks, "act",
               extends=block.replace("END", "")),
        Deeper("a block that ends in BatchNorm", IMAGE, CONV, conv_net,
               lambda: blocks(("bn2", nn.BatchNorm2d(4))), "act",
               extends=block.replace("END", "        bn2: {type: BatchNorm2d}\n")),
        Deeper("a block that ends in what keeps zeros", IMAGE, CONV, conv_net,
               lambda: blocks(("end", nn.GELU()), ("drop", nn.Dropout())), "act",
               extends=block.replace(
                   "END", "        end: {type: GELU}\n        drop: {type: Dropout}\n")),
        Deeper("a block on a stream that widens", IMAGE, CONV, lambda: conv_net(7, 7),
               lambda: {"block": Block(("conv1", nn.Conv2d(7, 5, 3, padding=1)),
                                       ("act", nn.Sigmoid()), ("conv2", nn.Conv2d(5, 7, 1)))},
               "act", extends="""  conv: {out_channels: 7}
  block:
    type: Add
    after: act
    branches:
      - conv1: {type: Conv2d, out_channels: 5, kernel_size: 3, padding: 1}
        act: {type: Sigmoid}
        conv2: {type: Conv2d, out_channels: 7, kernel_size: 1}
      - {}
"""),
    ]  # fmt: skip


BY_SPEC = by_spec()


@pytest.mark.parametrize("case", BY_SPEC, ids=lambda case: case.name)
@pytest.mark.parametrize("expansion", ["auto", "duplicate"])
def test_insertion_by_spec_preserves(case, expansion, tmp_path):
    net = chain(**(mlp() if case.shape == VECTOR else conv_net()))
    teacher = save_teacher(tmp_path, case.spec(), randomize(net))
    target = f"net2net: 1\nextends: source\nlayers:\n{case.extends}"
    plan = teacher.plan(target, Choices(expansion, "signed"))
    student = teacher.apply(plan, options=VERIFIED)
    assert worst(teacher.module, student.into(case.student()), case.batch()) <= EXACT


def test_new_block_learns(tmp_path):
    """Only what ends the branch is zero: the gradient reaches it at once, the rest a step later."""
    case = next(c for c in BY_SPEC if c.name == "a block that ends in a convolution")
    teacher = save_teacher(tmp_path, case.spec(), randomize(chain(**conv_net())))
    plan = teacher.plan(f"net2net: 1\nextends: source\nlayers:\n{case.extends}")
    student = teacher.apply(plan).into(case.student())
    student(*case.batch()).square().sum().backward()
    for name, parameter in student.named_parameters():
        zero = name.startswith("block.conv2")
        assert bool(parameter.any()) != (zero or name == "block.bn1.bias"), name
        inside = name.startswith("block.") and not zero
        assert bool(parameter.grad.any()) != inside, name


class Mixed(nn.Module):
    """Two branches laid end to end."""

    def __init__(self, b1: nn.Sequential, b2: nn.Sequential) -> None:
        super().__init__()
        self.b1, self.b2 = b1, b2

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.children()], 1)


INCEPTION = """  mixed:
    type: Concat
    branches:
      b1: {conv: {type: Conv2d, out_channels: 4, kernel_size: 3, padding: 1}, act: {type: ReLU}}
      b2: {conv: {type: Conv2d, out_channels: 5, kernel_size: 1}}
  last: {type: Conv2d, out_channels: 3, kernel_size: 1}
"""


def test_layers_go_into_a_branch(tmp_path):
    def net(*new: tuple[str, nn.Module]) -> nn.Module:
        b1 = chain(conv=nn.Conv2d(3, 4, 3, padding=1), act=nn.ReLU(), **dict(new))
        return chain(mixed=Mixed(b1, chain(conv=nn.Conv2d(3, 5, 1))), last=nn.Conv2d(9, 3, 1))

    spec = f"net2net: 1\ninput: [3, 7, 7]\nlayers:\n{INCEPTION}"
    teacher = save_teacher(tmp_path, spec, randomize(net()))
    student = teacher.apply(deepen_plan(teacher.model, "mixed.b1.conv"), options=VERIFIED)
    new = (("conv_deeper", nn.Conv2d(4, 4, 3, padding=1)), ("conv_deeper_relu", nn.ReLU()))
    batch = (torch.randn(4, 3, 7, 7, dtype=torch.float64),)
    assert worst(teacher.module, student.into(net(*new)), batch) <= EXACT


def test_new_branch_of_a_concat_and_of_a_sum_add_nothing(tmp_path):
    spec = f"""net2net: 1
input: [3, 7, 7]
layers:
{
        INCEPTION.replace(
            "  last",
            '''  sum:
    type: Add
    branches: {a: {conv: {type: Conv2d, out_channels: 9, kernel_size: 1}}, b: {}}
  last''',
        )
    }"""
    teacher = save_spec(tmp_path, spec)
    target = """net2net: 1
extends: source
layers:
  mixed: {branches: {b3: {conv: {type: Conv2d, out_channels: 2, kernel_size: 1}, act: {type: ELU}}}}
  sum.a.conv: {out_channels: 11}
  sum: {branches: {c: {conv: {type: Conv2d, out_channels: 11, kernel_size: 3, padding: 1}}}}
"""
    batch = (torch.randn(4, 3, 7, 7, dtype=torch.float64),)
    for choices in (Choices(), Choices("duplicate", "random")):  # a new branch copies nothing
        student = teacher.apply(teacher.plan(target, choices), options=VERIFIED)
        assert difference(teacher.module, student.network, batch) <= EXACT
        assert not student.state["sum.c.conv.weight"][:9].any()
        assert student.state["mixed.b3.conv.weight"].any()
