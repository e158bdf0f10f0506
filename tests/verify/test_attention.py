"""Attention computes what torch and torchvision compute."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from net2net_cli.errors import SpecError
from net2net_cli.network import Input
from net2net_cli.verify.network import build
from tests.support.vision import models
from tests.verify.hand_built import layer, network_spec, randomize, state_of

CLOSE = {"rtol": 1e-12, "atol": 1e-13}


def values(*shapes):
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(2, *s, generator=generator, dtype=torch.float64) for s in shapes)


def named(prefix, module):
    return {f"{prefix}.{name}": value for name, value in state_of(module).items()}


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_a_value_attends_to_itself(bias, causal):
    expected = randomize(nn.MultiheadAttention(6, 3, bias=bias, batch_first=True))
    (x,) = values((5, 6))
    args = {"num_heads": 3, "bias": bias, "is_causal": causal}
    spec = network_spec(layer("att", "MultiheadAttention", **args), shape=(5, 6))
    mask = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None
    wanted = expected(x, x, x, attn_mask=mask, need_weights=False)[0]
    torch.testing.assert_close(build(spec, named("att", expected))(x)[0], wanted, **CLOSE)


@pytest.mark.parametrize(("kdim", "vdim"), [(None, None), (4, 6), (6, 3), (4, 3)])
def test_keys_and_values_of_their_own(kdim, vdim):
    expected = randomize(nn.MultiheadAttention(6, 2, kdim=kdim, vdim=vdim, batch_first=True))
    q, k, v = values((5, 6), (7, kdim or 6), (7, vdim or 6))
    inputs = [Input(name, tuple(x.shape[1:])) for name, x in zip("qkv", (q, k, v), strict=True)]
    args = {"num_heads": 2, "kdim": kdim, "vdim": vdim}
    spec = network_spec(layer("att", "MultiheadAttention", "q", "k", "v", **args), inputs=inputs)
    wanted = expected(q, k, v, need_weights=False)[0]
    torch.testing.assert_close(build(spec, named("att", expected))(q, k, v)[0], wanted, **CLOSE)


def test_learned_queries_attend_in_every_example():
    expected = randomize(nn.MultiheadAttention(6, 2, batch_first=True))
    (x,), query = values((5, 6)), torch.randn(3, 6, dtype=torch.float64)
    spec = network_spec(
        layer("query", "Parameter", shape=(3, 6)),
        layer("att", "MultiheadAttention", "query", "input", "input", num_heads=2),
        shape=(5, 6),
    )
    wanted = expected(query.expand(2, 3, 6), x, x, need_weights=False)[0]
    made = build(spec, {"query": query, **named("att", expected)})(x)[0]
    torch.testing.assert_close(made, wanted, **CLOSE)


@pytest.mark.parametrize(
    "args",
    [{}, {"is_causal": True}, {"scale": 0.3, "dropout_p": 0.5}, {"enable_gqa": True}],
    ids=str,
)
def test_scaled_dot_products(args):
    kv = 2 if "enable_gqa" in args else 4
    q, k, v = values((4, 5, 6), (kv, 5, 6), (kv, 5, 3))
    inputs = [Input(name, tuple(x.shape[1:])) for name, x in zip("qkv", (q, k, v), strict=True)]
    spec = network_spec(
        layer("att", "ScaledDotProductAttention", "q", "k", "v", **args), inputs=inputs
    )
    wanted = functional.scaled_dot_product_attention(q, k, v, **{**args, "dropout_p": 0.0})
    torch.testing.assert_close(build(spec, {})(q, k, v)[0], wanted, **CLOSE)


def test_a_mask_is_added_to_the_scores():
    q, k, v, mask = values((4, 5, 6), (4, 7, 6), (4, 7, 3), (4, 5, 7))
    inputs = [
        Input(name, tuple(x.shape[1:])) for name, x in zip("qkvm", (q, k, v, mask), strict=True)
    ]
    spec = network_spec(
        layer("att", "ScaledDotProductAttention", "q", "k", "v", "m"), inputs=inputs
    )
    wanted = functional.scaled_dot_product_attention(q, k, v, mask)
    torch.testing.assert_close(build(spec, {})(q, k, v, mask)[0], wanted, **CLOSE)


@pytest.mark.parametrize(
    ("window", "shift", "image"),
    [((2, 3), (0, 0), (4, 6)), ((4, 4), (2, 2), (8, 8)), ((3, 3), (1, 1), (7, 5)),
     ((4, 4), (2, 2), (4, 8)), ((4, 4), (2, 2), (3, 4)), ((2, 3), (1, 0), (4, 6))],
)  # fmt: skip
def test_windows_are_torchvisions(window, shift, image):
    swin = models.swin_transformer
    expected = swin.ShiftedWindowAttention(6, list(window), list(shift), 3).double().eval()
    randomize(expected)
    (x,) = values((*image, 6))
    spec = network_spec(
        layer("att", "WindowAttention", num_heads=3, window_size=window, shift_size=shift),
        shape=(*image, 6),
    )
    made = build(spec, named("att", expected))(x)[0]
    torch.testing.assert_close(made, expected(x), **CLOSE)


@pytest.mark.parametrize(
    ("one", "shapes"),
    [
        (layer("a", "MultiheadAttention", "a0", num_heads=4), [(5, 6)]),
        (layer("a", "MultiheadAttention", "a0", num_heads=2), [(3, 5, 6)]),
        (layer("a", "ScaledDotProductAttention", "a0", "a1", "a2"), [(5, 6), (5, 4), (5, 6)]),
        (layer("a", "WindowAttention", "a0", num_heads=2, window_size=(2, 2)), [(5, 6)]),
    ],
    ids=lambda value: value.type if hasattr(value, "type") else "",
)
def test_what_does_not_fit_is_refused(one, shapes):
    inputs = [Input(f"a{at}", shape) for at, shape in enumerate(shapes)]
    with pytest.raises(SpecError, match=r"a \("):
        build(network_spec(one, inputs=inputs), {})
