"""Tensors that layers share."""

from __future__ import annotations

import pytest

from tests.spec.texts import layer_refusal, spec


def shares(layers: str) -> dict[str, dict[str, str]]:
    return {layer.name: dict(layer.share) for layer in spec(layers).layers if layer.share}


def test_a_layer_may_share_all_its_tensors() -> None:
    assert shares("""
        a: {type: Linear, out_features: 4}
        b: {type: Linear, out_features: 4, share: a}
    """) == {"b": {"weight": "a.weight", "bias": "a.bias"}}


def test_only_the_tensors_that_a_layer_has_are_shared() -> None:
    assert shares("""
        a: {type: Linear, out_features: 4}
        b: {type: Linear, out_features: 4, bias: false, share: a}
    """) == {"b": {"weight": "a.weight"}}


def test_statistics_are_shared_with_the_weights() -> None:
    found = shares("a: {type: BatchNorm1d}\nb: {type: BatchNorm1d, share: a}")
    assert set(found["b"]) == {
        "weight", "bias", "running_mean", "running_var", "num_batches_tracked",
    }  # fmt: skip


def test_one_tensor_may_be_shared_between_types() -> None:
    assert shares("""
        emb: {type: Embedding, num_embeddings: 9, embedding_dim: 4}
        head: {type: Linear, out_features: 9, bias: false, share: {weight: emb.weight}}
    """) == {"head": {"weight": "emb.weight"}}


def test_the_last_owner_owns_and_may_come_later() -> None:
    assert shares("""
        a: {type: Linear, out_features: 4, share: b}
        b: {type: Linear, out_features: 4, share: {weight: c.weight}}
        c: {type: Linear, out_features: 4}
    """) == {
        "a": {"weight": "c.weight", "bias": "b.bias"},
        "b": {"weight": "c.weight"},
    }


def test_a_tensor_under_the_layers_own_name_is_shared_too() -> None:
    assert shares("a: {type: LayerScale}\nb: {type: LayerScale, share: a}") == {"b": {"": "a"}}


def test_names_are_sought_innermost_first() -> None:
    assert shares("""
        a: {type: Linear, out_features: 4}
        g:
          a: {type: Linear, out_features: 4}
          b: {type: Linear, out_features: 4, share: a}
          c: {type: Linear, out_features: 4, share: {bias: b.bias}}
    """) == {
        "g.b": {"weight": "g.a.weight", "bias": "g.a.bias"},
        "g.c": {"bias": "g.a.bias"},
    }


LINEAR = "type: Linear, out_features: 4"


@pytest.mark.parametrize(
    ("layers", "message", "hint"),
    [
        (f"fc1: {{{LINEAR}}}\nb: {{{LINEAR}, share: fc}}", "`fc`", "`fc1`"),
        (f"b: {{{LINEAR}, share: b}}", "same layer", "share: {weight"),
        (f"a: {{type: ReLU}}\nb: {{{LINEAR}, share: a}}", "no weight", "share: {weight"),
        ("a: {type: ReLU}\nb: {type: ReLU, share: a}", "it has none", ""),
        (f"b: {{{LINEAR}, share: [a]}}", "a list", "share: LAYER"),
        (f"b: {{{LINEAR}, share: {{}}}}", "a mapping", "share: LAYER"),
        (f"b: {{{LINEAR}, share: {{weigth: a.weight}}}}", "`weigth`", "`weight`"),
        (f"a: {{{LINEAR}}}\nb: {{{LINEAR}, share: {{weight: a.wait}}}}", "`a.wait`", "`a.weight`"),
        (f"b: {{{LINEAR}, share: {{weight: b.weight}}}}", "no other tensor", ""),
        (f"b: {{{LINEAR}, share: {{weight: [a]}}}}", "a list", ""),
        (f"a: {{{LINEAR}, share: b}}\nb: {{{LINEAR}, share: a}}", "circle", "own"),
    ],
)
def test_a_wrong_share_says_what_to_do(layers: str, message: str, hint: str) -> None:
    error = layer_refusal(layers)
    assert message in error.message
    assert hint in str(error.hint)
