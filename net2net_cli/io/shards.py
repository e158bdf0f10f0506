"""How the tensors of a model folder are spread over files, and what these are called.

As Hugging Face's own libraries do it (``split_state_dict_into_shards_factory`` in huggingface_hub,
``save_pretrained`` in transformers), so that a folder looks like one of theirs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import prod

from net2net_cli.io.tensors import TensorInfo

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
TORCH_SINGLE = "pytorch_model.bin"
TORCH_INDEX = "pytorch_model.bin.index.json"

SHARD_BYTES = 5_000_000_000
"""The most bytes of tensors in a file, where nobody asks for another limit."""


def split(
    tensors: Sequence[TensorInfo], limit: int | None = None
) -> dict[str, tuple[TensorInfo, ...]]:
    """File name -> the tensors in it, in the order given; one file where all of them fit.

    A shard is full where the next tensor would pass ``limit`` (bytes of tensors, headers not
    counted). A tensor larger than that has a shard of its own, and does not end the one that is
    being filled.
    """
    most = SHARD_BYTES if limit is None else limit
    shards: list[list[TensorInfo]] = []
    filling: list[TensorInfo] = []
    filled = 0
    for tensor in tensors:
        if tensor.nbytes > most:
            shards.append([tensor])
            continue
        if filled + tensor.nbytes > most:
            shards.append(filling)
            filling, filled = [], 0
        filling.append(tensor)
        filled += tensor.nbytes
    if filling or not shards:
        shards.append(filling)
    if len(shards) == 1:
        return {SINGLE: tuple(shards[0])}
    return {
        f"model-{number:05d}-of-{len(shards):05d}.safetensors": tuple(shard)
        for number, shard in enumerate(shards, 1)
    }


def render_index(shards: Mapping[str, Sequence[TensorInfo]]) -> bytes:
    """The index of more than one shard.

    ``total_parameters`` counts the elements of every floating-point tensor: nothing here tells a
    parameter from a buffer.
    """
    tensors = [tensor for shard in shards.values() for tensor in shard]
    index = {
        "metadata": {
            "total_parameters": sum(prod(t.shape) for t in tensors if "float" in t.dtype),
            "total_size": sum(t.nbytes for t in tensors),
        },
        "weight_map": {tensor.name: file for file, shard in shards.items() for tensor in shard},
    }
    return (json.dumps(index, indent=2, sort_keys=True) + "\n").encode("ascii")
