"""A copy of a layer, inserted behind it, computes the identity there."""

from __future__ import annotations

import pytest
from torch import nn

from net2net_cli.api import deepen_plan
from net2net_cli.plan import Insert
from tests.growth.deeper import CONV, IMAGE, MLP, VECTOR, VERIFIED, Deeper, conv_net, mlp
from tests.growth.layer_nets import IMAGES
from tests.growth.nets import EXACT, chain, difference, save_teacher, worst
from tests.growth.vector_nets import TorchMaxout
from tests.verify.hand_built import randomize


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


def test_count_inserts_as_many(tmp_path):
    case = Deeper("", VECTOR, MLP, mlp, lambda: {
        f"new{turn}{part}": module
        for turn in (1, 2, 3)
        for part, module in (("", nn.Linear(4, 4)), ("_relu", nn.ReLU()))
    }, "act")  # fmt: skip
    teacher = save_teacher(tmp_path, case.spec(), randomize(chain(**mlp())))
    student = teacher.apply(deepen_plan(teacher.model, "fc", "new", 3), options=VERIFIED)
    assert worst(teacher.module, student.into(case.student()), case.batch()) <= EXACT


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
