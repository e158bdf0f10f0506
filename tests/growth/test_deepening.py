"""Inserted layers compute the identity where they stand, or are refused naming what works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from net2net_cli.api import Choices, RunOptions, deepen_plan
from net2net_cli.errors import Net2NetError, UnreachableError
from net2net_cli.plan import Insert
from tests.growth.layer_nets import IMAGES, TorchMaxout
from tests.growth.nets import EXACT, chain, difference, save_spec, save_teacher, worst
from tests.verify.hand_built import randomize

Modules = dict[str, nn.Module]
VERIFIED = RunOptions(overwrite=True)
IMAGE, VECTOR = IMAGES[2], (5,)


@dataclass(frozen=True)
class Deeper:
    """A chain, the layer named to ``deepen``, what goes in, and behind which layer it must go.

    ``extends`` is used where the insertion is written as a target spec.
    """

    name: str
    shape: tuple[int, ...]
    layers: str
    modules: Callable[[], Modules]
    new: Callable[[], Modules]
    behind: str
    after: str = ""
    extends: str = ""

    def spec(self) -> str:
        return f"net2net: 1\ninput: {list(self.shape)}\nlayers:\n{self.layers}"

    def student(self) -> nn.Module:
        modules: Modules = {}
        for name, module in self.modules().items():
            modules[name] = module
            if name == self.behind:
                modules.update(self.new())
        return chain(**modules)

    def batch(self) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(1)
        return (torch.randn((6, *self.shape), generator=generator, dtype=torch.float64),)


def by_name() -> list[Deeper]:
    """Copies of a layer and what stands right behind it."""
    found = []
    for act, module in (("ReLU", nn.ReLU), ("ReLU6", nn.ReLU6), ("Hardtanh", nn.Hardtanh)):
        found.append(Deeper(
            f"Linear, {act}", VECTOR,
            f"""  fc: {{type: Linear, out_features: 4}}
  act: {{type: {act}}}
  last: {{type: Linear, out_features: 3}}
""",
            lambda m=module: {"fc": nn.Linear(5, 4), "act": m(), "last": nn.Linear(4, 3)},
            lambda m=module, a=act: {"new": nn.Linear(4, 4), f"new_{a.lower()}": m()},
            "act", "fc",
        ))  # fmt: skip
    found.append(Deeper(
        "Linear at the end", VECTOR,
        """  fc: {type: Linear, out_features: 4, bias: false}
  act: {type: Tanh}
  last: {type: Linear, out_features: 3}
""",
        lambda: {"fc": nn.Linear(5, 4, bias=False), "act": nn.Tanh(), "last": nn.Linear(4, 3)},
        lambda: {"new": nn.Linear(3, 3)},
        "last", "last",
    ))  # fmt: skip
    found.append(Deeper(
        "Linear before a Maxout", VECTOR,
        """  fc: {type: Linear, out_features: 6}
  max: {type: Maxout, pieces: 3}
  last: {type: Linear, out_features: 3}
""",
        lambda: {"fc": nn.Linear(5, 6), "max": TorchMaxout(3, 1), "last": nn.Linear(2, 3)},
        lambda: {"new": nn.Linear(6, 6)},
        "fc", "fc",
    ))  # fmt: skip
    for slopes in (1, 4):
        text = f", num_parameters: {slopes}" if slopes > 1 else ""
        found.append(Deeper(
            f"PReLU with {slopes} slopes", IMAGE,
            f"""  conv: {{type: Conv2d, out_channels: 4, kernel_size: 3}}
  act: {{type: PReLU{text}}}
  last: {{type: Conv2d, out_channels: 3, kernel_size: 1}}
""",
            lambda n=slopes: {"conv": nn.Conv2d(3, 4, 3), "act": nn.PReLU(n),
                              "last": nn.Conv2d(4, 3, 1)},
            lambda n=slopes: {"new": nn.Conv2d(4, 4, 3, padding=1), "new_prelu": nn.PReLU(n)},
            "act", "conv",
        ))  # fmt: skip
    return found + convolutions()


def convolutions() -> list[Deeper]:
    """Kernels of every kind, copied with the padding that keeps the size."""
    found = []
    for name, shape, text, first, new in (
        ("Conv1d", IMAGES[1], "Conv1d, out_channels: 4, kernel_size: 3, stride: 2",
         lambda: nn.Conv1d(3, 4, 3, 2), lambda: nn.Conv1d(4, 4, 3, padding=1)),
        ("Conv3d", IMAGES[3], "Conv3d, out_channels: 4, kernel_size: 3",
         lambda: nn.Conv3d(3, 4, 3), lambda: nn.Conv3d(4, 4, 3, padding=1)),
        ("Conv2d", IMAGE, "Conv2d, out_channels: 4, kernel_size: [3, 5], bias: false",
         lambda: nn.Conv2d(3, 4, (3, 5), bias=False),
         lambda: nn.Conv2d(4, 4, (3, 5), padding=(1, 2), bias=False)),
        ("even kernel", IMAGE, "Conv2d, out_channels: 4, kernel_size: [4, 2]",
         lambda: nn.Conv2d(3, 4, (4, 2)), lambda: nn.Conv2d(4, 4, (4, 2), padding="same")),
        ("dilated", IMAGE, "Conv2d, out_channels: 4, kernel_size: 3, dilation: 2",
         lambda: nn.Conv2d(3, 4, 3, dilation=2),
         lambda: nn.Conv2d(4, 4, 3, dilation=2, padding=2)),
        ("reflected", IMAGE, "Conv2d, out_channels: 4, kernel_size: 3, padding_mode: reflect",
         lambda: nn.Conv2d(3, 4, 3, padding_mode="reflect"),
         lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")),
        ("grouped", IMAGE, "Conv2d, out_channels: 6, kernel_size: 3, groups: 3",
         lambda: nn.Conv2d(3, 6, 3, groups=3), lambda: nn.Conv2d(6, 6, 3, padding=1, groups=3)),
        ("depthwise", IMAGE, "Conv2d, out_channels: 3, kernel_size: 3, groups: 3",
         lambda: nn.Conv2d(3, 3, 3, groups=3), lambda: nn.Conv2d(3, 3, 3, padding=1, groups=3)),
        ("ConvTranspose1d", IMAGES[1], "ConvTranspose1d, out_channels: 4, kernel_size: 3",
         lambda: nn.ConvTranspose1d(3, 4, 3), lambda: nn.ConvTranspose1d(4, 4, 3, padding=1)),
        ("ConvTranspose2d", IMAGE,
         "ConvTranspose2d, out_channels: 4, kernel_size: 3, stride: 2, output_padding: 1",
         lambda: nn.ConvTranspose2d(3, 4, 3, 2, 0, 1),
         lambda: nn.ConvTranspose2d(4, 4, 3, padding=1)),
        ("ConvTranspose2d, grouped and dilated", IMAGE,
         "ConvTranspose2d, out_channels: 6, kernel_size: 3, groups: 3, dilation: 2",
         lambda: nn.ConvTranspose2d(3, 6, 3, groups=3, dilation=2),
         lambda: nn.ConvTranspose2d(6, 6, 3, padding=2, groups=3, dilation=2)),
        ("ConvTranspose3d", IMAGES[3], "ConvTranspose3d, out_channels: 4, kernel_size: 3",
         lambda: nn.ConvTranspose3d(3, 4, 3), lambda: nn.ConvTranspose3d(4, 4, 3, padding=1)),
    ):  # fmt: skip
        rank = len(shape) - 1
        last = getattr(nn, f"Conv{rank}d")
        channels = new().in_channels
        found.append(Deeper(
            name, shape,
            f"""  conv: {{type: {text}}}
  act: {{type: ReLU}}
  last: {{type: Conv{rank}d, out_channels: 3, kernel_size: 1}}
""",
            lambda first=first, last=last, channels=channels: {
                "conv": first(), "act": nn.ReLU(), "last": last(channels, 3, 1)},
            lambda new=new: {"new": new(), "new_relu": nn.ReLU()},
            "act", "conv",
        ))  # fmt: skip
    return found


BY_NAME = by_name()


@pytest.mark.parametrize("case", BY_NAME, ids=lambda case: case.name)
def test_copy_of_a_layer_is_the_identity(case, tmp_path):
    teacher = save_teacher(tmp_path, case.spec(), randomize(chain(**case.modules())))
    plan = deepen_plan(teacher.model, case.after, "new")
    assert all(isinstance(o, Insert) and o.as_what == "identity" for o in plan.operations)
    assert not plan.notes
    student = teacher.apply(plan, options=VERIFIED)
    assert worst(teacher.module, student.into(case.student()), case.batch()) <= EXACT


MLP = """  fc: {type: Linear, out_features: 4}
  act: {type: ReLU}
  last: {type: Linear, out_features: 3}
"""
CONV = """  conv: {type: Conv2d, out_channels: 4, kernel_size: 3}
  bn: {type: BatchNorm2d}
  act: {type: ReLU}
  last: {type: Conv2d, out_channels: 3, kernel_size: 1}
"""


def mlp() -> Modules:
    return {"fc": nn.Linear(5, 4), "act": nn.ReLU(), "last": nn.Linear(4, 3)}


def conv_net(width: int = 4, reads: int = 4) -> Modules:
    return {"conv": nn.Conv2d(3, width, 3), "bn": nn.BatchNorm2d(width), "act": nn.ReLU(),
            "last": nn.Conv2d(reads, 3, 1)}  # fmt: skip


def test_count_inserts_as_many(tmp_path):
    case = Deeper("", VECTOR, MLP, mlp, lambda: {
        f"new{turn}{part}": module
        for turn in (1, 2, 3)
        for part, module in (("", nn.Linear(4, 4)), ("_relu", nn.ReLU()))
    }, "act")  # fmt: skip
    teacher = save_teacher(tmp_path, case.spec(), randomize(chain(**mlp())))
    student = teacher.apply(deepen_plan(teacher.model, "fc", "new", 3), options=VERIFIED)
    assert worst(teacher.module, student.into(case.student()), case.batch()) <= EXACT


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


@pytest.mark.parametrize("after", ["conv", "act", "bn"])
def test_behind_crepes_order_it_goes_in_where_it_can(after, tmp_path):
    """Conv, ReLU, BatchNorm: a ReLU behind the BatchNorm would cut off what is below zero."""
    order = ("conv", "act", "bn", "last")
    new = {"new": nn.Conv2d(4, 4, 3, padding=1), "new_relu": nn.ReLU(),
           "new_bn": nn.BatchNorm2d(4)}  # fmt: skip
    layers = "\n".join(sorted(CONV.strip("\n").split("\n"), key=lambda t: order.index(
        t.strip().partition(":")[0]))) + "\n"  # fmt: skip
    case = Deeper("", IMAGE, layers, lambda: {n: conv_net()[n] for n in order}, lambda: new, "act")
    teacher = save_teacher(tmp_path, case.spec(), randomize(chain(**case.modules())))
    plan = deepen_plan(teacher.model, after, "new")
    if after != "act":  # named at the right place, there is nothing to tell
        (note,) = plan.notes
        assert note.startswith(f"inserted after `act`, since behind `{after}` ")
        assert "ReLU keeps only values in [0, inf], but `bn` gives any value" in note
    student = teacher.apply(plan, options=VERIFIED)
    assert difference(teacher.module, student.into(case.student()), case.batch()) <= EXACT


@pytest.mark.parametrize("act", [
    "Tanh", "Sigmoid", "GELU", "SiLU", "Mish", "ELU", "LeakyReLU", "Softplus", "SELU", "Softsign",
    "Hardswish", "Tanhshrink", "Hardshrink",
])  # fmt: skip
def test_activation_that_is_no_identity_is_refused(act, tmp_path):
    teacher = save_spec(
        tmp_path, Deeper("", VECTOR, MLP, mlp, dict, "").spec().replace("ReLU", act)
    )
    with pytest.raises(UnreachableError) as refused:
        deepen_plan(teacher.model, "fc", "new")
    told = "\n".join(refused.value.lines())
    assert f"`new_{act.lower()}` ({act}) cannot be inserted here" in told
    assert "PReLU" in told
    assert "activation" in told


REFUSED = {
    "stride": ("new: {type: Conv2d, out_channels: 4, kernel_size: 1, stride: 2, after: act}",
               ("stride", "use stride 1")),
    "size": ("new: {type: Conv2d, out_channels: 4, kernel_size: 3, after: act}",
             ("5 x 5 into 3 x 3", "padding that keeps the size")),
    "narrower": ("new: {type: Conv2d, out_channels: 3, kernel_size: 1, after: act}",
                 ("`new` shrinks from 4 to 3",)),
    "ReLU behind a norm": ("new: {type: ReLU, after: bn}", ("`bn` gives any value", "`act`")),
    "norm that cannot undo itself": ("new: {type: BatchNorm2d, affine: false, after: act}",
                                     ("cannot undo itself",)),
    "LayerNorm": ("new: {type: LayerNorm, after: act}", ("no identity", "can be inserted")),
    "GroupNorm": ("new: {type: GroupNorm, num_groups: 2, after: act}", ("no identity",)),
    "pooling": ("new: {type: MaxPool2d, kernel_size: 2, after: act}", ("loses values",)),
    "gate": ("gate: {type: Sigmoid, after: act}\n  new: {type: Multiply, inputs: [gate, act]}",
             ("`act`",)),
    "branch that ends in Sigmoid": (
        """new:
    type: Add
    after: act
    branches: [{c: {type: Conv2d, out_channels: 4, kernel_size: 1}, s: {type: Sigmoid}}, {}]""",
        ("`new.s` (Sigmoid)", "must add nothing", "end the branch with")),
    "shared": ("new: {type: Conv2d, out_channels: 3, kernel_size: 1, share: last, after: last}",
               ("shares",)),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_insertion_that_cannot_preserve_is_refused(name, tmp_path):
    text, says = REFUSED[name]
    layers = CONV.replace(
        "out_channels: 3", "out_channels: 4" if name != "shared" else "out_channels: 3"
    )
    if name == "shared":
        layers = layers.replace("out_channels: 4", "out_channels: 3")
    teacher = save_spec(tmp_path, f"net2net: 1\ninput: {list(IMAGE)}\nlayers:\n{layers}")
    with pytest.raises(Net2NetError) as refused:
        teacher.plan(f"net2net: 1\nextends: source\nlayers:\n  {text}\n")
    told = "\n".join(refused.value.lines())
    for words in says:
        assert words in told
    assert refused.value.exit_code == 3


@pytest.mark.parametrize("kernel", ["kernel_size: 2", "kernel_size: 4, stride: 2"])
def test_transposed_even_kernel_is_refused_with_what_works(kernel, tmp_path):
    """Its padding is the same on both sides, so that no even kernel keeps the size."""
    layers = CONV.replace("Conv2d, out_channels: 4, kernel_size: 3",
                          f"ConvTranspose2d, out_channels: 4, {kernel}")  # fmt: skip
    teacher = save_spec(tmp_path, f"net2net: 1\ninput: {list(IMAGE)}\nlayers:\n{layers}")
    with pytest.raises(UnreachableError, match="into") as refused:
        deepen_plan(teacher.model, "conv", "new")
    assert "odd kernel" in str(refused.value.hint)
    assert "same" not in str(refused.value.hint)
