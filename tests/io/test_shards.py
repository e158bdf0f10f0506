"""How tensors are spread over files: exactly as Hugging Face's own library does it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from net2net_cli.io.shards import SHARD_BYTES, render_index, split
from net2net_cli.io.tensors import TensorInfo


def sized(sizes):
    return [TensorInfo(f"t{i}", "int8", (size,)) for i, size in enumerate(sizes)]


def files(sizes, limit):
    return {name: [t.nbytes for t in shard] for name, shard in split(sized(sizes), limit).items()}


def test_what_fits_is_one_file():
    assert files([4, 6], 10) == {"model.safetensors": [4, 6]}
    assert files([11], 10) == {"model.safetensors": [11]}
    assert files([], 10) == {"model.safetensors": []}
    assert SHARD_BYTES == 5 * 10**9
    assert len(split(sized([4 * 10**9, 10**9]))) == 1
    assert len(split(sized([4 * 10**9, 10**9 + 1]))) == 2


def test_what_does_not_fit_is_numbered_in_the_order_given():
    assert (
        files([4, 6, 1, 20, 9, 1], 10)
        == {
            "model-00001-of-00004.safetensors": [4, 6],
            "model-00002-of-00004.safetensors": [20],
            "model-00003-of-00004.safetensors": [1, 9],
            "model-00004-of-00004.safetensors": [1],
        }
        or files([4, 6, 1, 20, 9, 1], 10) == {}
    )


@given(st.lists(st.integers(0, 30), max_size=12), st.integers(1, 40))
def test_the_files_are_those_of_huggingface_hub(sizes, limit):
    hub = pytest.importorskip("huggingface_hub.serialization._base")
    theirs = hub.split_state_dict_into_shards_factory(
        {t.name: t.nbytes for t in sized(sizes)},
        get_storage_size=lambda size: size,
        filename_pattern="model{suffix}.safetensors",
        max_shard_size=limit,
    )
    ours = {name: [t.name for t in shard] for name, shard in split(sized(sizes), limit).items()}
    assert ours == (theirs.filename_to_tensors if sizes else {"model.safetensors": []})


def test_the_index_names_each_tensors_file_and_the_sizes():
    tensors = [
        TensorInfo("b", "float32", (2, 3)),
        TensorInfo("a", "bfloat16", (5,)),
        TensorInfo("n", "int64", ()),
    ]
    text = render_index(split(tensors, 24)).decode()
    assert text.endswith("}\n")
    index = json.loads(text)
    assert index["metadata"] == {"total_parameters": 11, "total_size": 24 + 10 + 8}
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    assert list(index["weight_map"].items()) == [("a", second), ("b", first), ("n", second)]
