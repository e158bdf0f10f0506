"""An insertion that cannot preserve is refused with exit code 3, naming what would work."""

from __future__ import annotations

import pytest

from net2net_cli.api import deepen_plan
from net2net_cli.errors import UnreachableError
from tests.growth.deeper import CONV, IMAGE, MLP, VECTOR
from tests.growth.nets import save_spec


def described(shape: tuple[int, ...], layers: str) -> str:
    return f"net2net: 1\ninput: {list(shape)}\nlayers:\n{layers}"


@pytest.mark.parametrize("act", [
    "Tanh", "Sigmoid", "GELU", "SiLU", "Mish", "ELU", "LeakyReLU", "Softplus", "SELU", "Softsign",
    "Hardswish", "Tanhshrink", "Hardshrink",
])  # fmt: skip
def test_activation_that_is_no_identity_is_refused(act, tmp_path):
    teacher = save_spec(tmp_path, described(VECTOR, MLP.replace("ReLU", act)))
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
             ("`new` (Multiply) cannot be inserted here", "no identity on `act`", "into a sum")),
    "parts end to end": (
        """new:
    type: Concat
    after: act
    branches: {a: {}, b: {c: {type: Conv2d, out_channels: 2, kernel_size: 1}}}""",
        ("`new` (Concat)", "no identity on `act`")),
    "dilated even kernel": (
        """new: {type: Conv2d, out_channels: 4, kernel_size: 2, padding: same, after: act,
        dilation: 3}""",
        ("no multiple of its dilation", "odd kernel")),
    "branch that ends in Sigmoid": (
        """new:
    type: Add
    after: act
    branches: [{c: {type: Conv2d, out_channels: 4, kernel_size: 1}, s: {type: Sigmoid}}, {}]""",
        ("`new.s` (Sigmoid)", "must add nothing", "end the branch with")),
    "parameters of another layer": (
        "new: {type: Conv2d, out_channels: 3, kernel_size: 1, share: last, after: last}",
        ("shares its parameters",)),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_insertion_that_cannot_preserve_is_refused(name, tmp_path):
    text, says = REFUSED[name]
    layers = CONV if "after: last" not in text else CONV.replace("channels: 4", "channels: 3")
    teacher = save_spec(tmp_path, described(IMAGE, layers))
    with pytest.raises(UnreachableError) as refused:
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
    teacher = save_spec(tmp_path, described(IMAGE, layers))
    with pytest.raises(UnreachableError, match="into") as refused:
        deepen_plan(teacher.model, "conv", "new")
    assert "odd kernel" in str(refused.value.hint)
    assert "same" not in str(refused.value.hint)
