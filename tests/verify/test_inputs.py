"""Drawn and loaded probe inputs."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from net2net_cli.errors import CheckpointError, SpecError, UsageError
from net2net_cli.network import Input
from net2net_cli.verify.inputs import draw_inputs, load_inputs
from tests.verify.hand_built import layer, network_spec

IMAGES = network_spec(layer("r", "ReLU"), shape=(3, 4, 4))
IDS = network_spec(
    layer("turned", "Permute", "ids", dims=(2, 1)),
    layer("emb", "Embedding", "turned", num_embeddings=5, embedding_dim=2),
    layer("emb2", "Embedding", "ids", num_embeddings=9, embedding_dim=2),
    inputs=[Input("ids", (2, 3), "int64")],
)
PAIR = network_spec(layer("s", "Add", "a", "b"), inputs=[Input("a", (3,)), Input("b", (3,))])


def test_draws_follow_from_seed_and_name():
    one, again = draw_inputs(PAIR, 4, seed=1), draw_inputs(PAIR, 4, seed=1)
    assert list(one) == ["a", "b"]
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["a"], one["b"])
    assert not torch.equal(one["a"], draw_inputs(PAIR, 4, seed=2)["a"])


def test_floats_are_standard_normal_and_the_same_in_every_dtype():
    wide = draw_inputs(IMAGES, 500)["input"]
    assert wide.shape == (500, 3, 4, 4)
    assert abs(float(wide.mean())) < 0.02
    assert abs(float(wide.std()) - 1) < 0.02
    assert torch.equal(draw_inputs(IMAGES, 500, dtype=torch.float32)["input"], wide.float())


def test_ids_stay_below_the_smallest_embedding_that_they_reach():
    ids = draw_inputs(IDS, 100)["ids"]
    assert (ids.dtype, int(ids.min()), int(ids.max())) == (torch.int64, 0, 4)


def test_high_bounds_ids():
    spec = network_spec(layer("i", "Identity"), inputs=[Input("input", (9,), "int32", high=3)])
    ids = draw_inputs(spec, 100)["input"]
    assert (ids.dtype, int(ids.max())) == (torch.int32, 2)


def test_ids_without_bound_are_refused():
    spec = network_spec(layer("i", "Identity"), inputs=[Input("input", (9,), "int64")])
    with pytest.raises(SpecError, match="nothing says below what"):
        draw_inputs(spec, 2)


def test_no_probes_are_refused():
    with pytest.raises(UsageError, match="0 probes"):
        draw_inputs(IMAGES, 0)


def saved(folder, **tensors):
    file = folder / "inputs.safetensors"
    save_file(tensors, file)
    return file


def test_a_single_tensor_may_have_any_name(tmp_path):
    batch = torch.randn(5, 3, 4, 4)
    assert torch.equal(load_inputs(saved(tmp_path, x=batch), IMAGES)["input"], batch.double())


def test_several_inputs_go_by_name_in_the_networks_order(tmp_path):
    a, b = torch.randn(5, 3), torch.randn(5, 3)
    found = load_inputs(saved(tmp_path, b=b, a=a), PAIR, torch.float32)
    assert list(found) == ["a", "b"]
    assert torch.equal(found["b"], b)


@pytest.mark.parametrize(
    ("spec", "tensors", "message"),
    [
        (
            IMAGES,
            {"input": torch.ones(3, 4, 4)},
            r"has the shape \[3, 4, 4\], not \[batch, 3, 4, 4",
        ),
        (IMAGES, {"input": torch.ones(0, 3, 4, 4)}, "holds no examples"),
        (IMAGES, {"input": torch.ones(2, 3, 4, 4, dtype=torch.uint8)}, "holds uint8, not float32"),
        (IMAGES, {"a": torch.ones(1), "b": torch.ones(1)}, "holds a, b, but .* inputs are input"),
        (PAIR, {"a": torch.ones(2, 3)}, "holds a, but the network's inputs are a, b"),
        (PAIR, {"a": torch.ones(2, 3), "b": torch.ones(4, 3)}, "numbers of examples: a 2, b 4"),
        (IDS, {"ids": torch.full((2, 2, 3), 5)}, "holds 5 to 5, not 0 to 4"),
        (IDS, {"ids": torch.full((2, 2, 3), -1)}, "holds -1 to -1, not 0 to 4"),
        (IDS, {"ids": torch.ones(2, 2, 3)}, "holds float32, not int64"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, spec, tensors, message):
    file = saved(tmp_path, **tensors)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_inputs(file, spec)
    assert caught.value.where == str(file)


def test_a_missing_batch_axis_is_hinted_at(tmp_path):
    with pytest.raises(CheckpointError) as caught:
        load_inputs(saved(tmp_path, input=torch.ones(3, 4, 4)), IMAGES)
    assert "unsqueeze(0)" in caught.value.hint


def test_a_file_that_is_no_safetensors_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        load_inputs(tmp_path / "none.safetensors", IMAGES)
    (tmp_path / "text").write_text("hello, this is a text")
    for path in (tmp_path / "text", tmp_path):
        with pytest.raises(CheckpointError, match="not a safetensors file"):
            load_inputs(path, IMAGES)
