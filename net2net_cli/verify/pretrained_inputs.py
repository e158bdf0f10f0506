"""Inputs for models of transformers: token ids with padding, images, sound; at random or given.

What is drawn depends on the seed, the input's name and the teacher's config alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from net2net_cli.errors import CheckpointError, UsageError
from net2net_cli.verify.inputs import read_inputs, seeded

LENGTH = 17
"""Tokens in a row, where the model has that many positions, and half as many more."""

IDS = ("input_ids", "decoder_input_ids")
MASKS = ("attention_mask", "decoder_attention_mask")
FLOATS = ("pixel_values", "input_features")
GIVEN = (*IDS, *MASKS, *FLOATS, "token_type_ids")
"""What a file of inputs may hold; anything else would depend on the model's width or state."""

_POSITIONS = ("max_position_embeddings", "max_target_positions", "n_positions")


def accepts(kind: Any) -> frozenset[str]:
    """The arguments that a model class's `forward` takes."""
    return frozenset(inspect.signature(kind.forward).parameters)


def draw_inputs(kind: Any, config: Any, probes: int, seed: int) -> dict[str, Tensor]:
    """Arguments of a call, ``[probes, ...]`` each: integers are int64, everything else float64.

    Of three rows of token ids, one is whole, one is padded on the right and one on the left.
    UsageError where there are too few probes, or no way to make what the model reads.
    """
    if probes < 1:
        raise UsageError(f"{probes} probes are too few to compare anything")
    takes, text = accepts(kind), config.get_text_config()
    match kind.main_input_name:
        case "pixel_values":
            image = (config.num_channels, *_pair(config.image_size))
            return {"pixel_values": _normal(image, probes, seed, "pixel_values")}
        case "input_features":
            sound = (config.num_mel_bins, 2 * config.max_source_positions)
            found = {"input_features": _normal(sound, probes, seed, "input_features")}
        case "input_ids" if isinstance(getattr(text, "vocab_size", None), int):
            found = _text(text, takes, probes, seed)
        case other:
            raise UsageError(
                f"the probe cannot make the input `{other}` of {kind.__name__}",
                hint="give real inputs with --probe-data",
            )
    return found | _decoder_ids(text, takes, found, seed)


def next_ids(config: Any, rows: int, seed: int) -> Tensor:
    """The token of a second step, ``[rows, 1]``."""
    return _ids(config.get_text_config(), (rows, 1), seed, "next")


def load_inputs(file: Path, kind: Any, config: Any, seed: int) -> dict[str, Tensor]:
    """The inputs from a safetensors file with a tensor ``[batch, ...]`` by each argument's name.

    A decoder's ids are drawn where the file has none. CheckpointError, naming file and tensor,
    where something does not fit.
    """
    held, takes, text = (
        read_inputs(file, "{'input_ids': ids}"),
        accepts(kind),
        config.get_text_config(),
    )
    wanted = [name for name in GIVEN if name in takes]
    if wrong := sorted(set(held) - set(wanted)):
        raise CheckpointError(
            f"{kind.__name__} is not probed with an input `{wrong[0]}`",
            where=str(file),
            hint=f"it takes {', '.join(wanted)}",
        )
    if kind.main_input_name not in held:
        raise CheckpointError(
            f"the input `{kind.main_input_name}` of {kind.__name__} is missing", where=str(file)
        )
    for name, value in held.items():
        _check(file, name, value, _bound(text, name))
    if len({len(value) for value in held.values()}) > 1:
        listed = ", ".join(f"{name} {len(value)}" for name, value in sorted(held.items()))
        message = f"inputs have different numbers of examples: {listed}"
        raise CheckpointError(message, where=str(file))
    cast = {n: v.to(torch.float64 if n in FLOATS else torch.int64) for n, v in held.items()}
    return _decoder_ids(text, takes, cast, seed) | cast


def _text(text: Any, takes: frozenset[str], probes: int, seed: int) -> dict[str, Tensor]:
    length = _length(text)
    found = {"input_ids": _ids(text, (probes, length), seed, "input_ids")}
    mask = _mask(probes, length, seed)
    if getattr(text, "is_encoder_decoder", False):
        _end(text, found["input_ids"], mask)
    if "attention_mask" in takes:
        found["attention_mask"] = mask
        if (pad := _number(text, "pad_token_id")) is not None:
            found["input_ids"][mask == 0] = pad  # heads that pool look for the last that is none
    types = _number(text, "type_vocab_size") or 1
    if types > 1 and "token_type_ids" in takes:
        generator = seeded(seed, "token_type_ids")
        found["token_type_ids"] = torch.randint(types, (probes, length), generator=generator)
    return found


def _decoder_ids(
    text: Any, takes: frozenset[str], found: Mapping[str, Tensor], seed: int
) -> dict[str, Tensor]:
    """As long as the encoder's, since heads that pool read both at the same places."""
    if "decoder_input_ids" not in takes:
        return {}
    rows = len(next(iter(found.values())))
    length = found["input_ids"].shape[1] if "input_ids" in found else _length(text)
    return {"decoder_input_ids": _ids(text, (rows, length), seed, "decoder_input_ids")}


def _ids(text: Any, shape: tuple[int, int], seed: int, name: str) -> Tensor:
    """Ids below the vocabulary's size that neither pad nor end a text, where others are left."""
    special = {_number(text, "pad_token_id"), *_ends(text)}
    avoided = sorted(i for i in special if i is not None and 0 <= i < text.vocab_size)
    if len(avoided) >= text.vocab_size:
        avoided = []
    high = text.vocab_size - len(avoided)
    ids = torch.randint(high, shape, generator=seeded(seed, name))
    for taken in avoided:  # ascending: everything from there on moves up by one
        ids += ids >= taken
    return ids


def _mask(rows: int, length: int, seed: int) -> Tensor:
    """``[rows, length]``: ones, but zeros at the end of rows 1, 4, ..., the start of 2, 5, ..."""
    mask = torch.ones(rows, length, dtype=torch.int64)
    generator = seeded(seed, "attention_mask")
    if length < 2:
        return mask
    for row, pads in enumerate(torch.randint(1, length // 2 + 1, (rows,), generator=generator)):
        if row % 3 == 1:
            mask[row, length - int(pads) :] = 0
        elif row % 3 == 2:
            mask[row, : int(pads)] = 0
    return mask


def _end(text: Any, ids: Tensor, mask: Tensor) -> None:
    """One end in each row, which classifiers with an encoder and a decoder pool at."""
    if ends := _ends(text):
        last = (mask * torch.arange(1, mask.shape[1] + 1)).argmax(1)
        ids[torch.arange(len(ids)), last] = ends[0]


def _ends(text: Any) -> list[int]:
    found = getattr(text, "eos_token_id", None)
    return [i for i in (found if isinstance(found, list) else [found]) if isinstance(i, int)]


def _length(text: Any) -> int:
    """Half the positions at most: some models begin to count behind the padding token's id."""
    positions = [n for name in _POSITIONS if (n := _number(text, name)) is not None and n > 0]
    return max(1, min(LENGTH, *(n // 2 for n in positions)) if positions else LENGTH)


def _number(config: Any, name: str) -> int | None:
    found = getattr(config, name, None)
    return found if isinstance(found, int) else None


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _normal(shape: tuple[int, ...], probes: int, seed: int, name: str) -> Tensor:
    generator = seeded(seed, name)
    return torch.randn((probes, *shape), generator=generator, dtype=torch.float64)


def _bound(text: Any, name: str) -> int | None:
    if name in MASKS:
        return 2
    return _number(text, "vocab_size" if name in IDS else "type_vocab_size")


def _check(file: Path, name: str, value: Tensor, bound: int | None) -> None:
    problem = ""
    if value.ndim < 2 or len(value) == 0:
        problem = f"has the shape {list(value.shape)}, not [batch, ...]"
    elif value.is_complex() or value.is_floating_point() != (name in FLOATS):
        kind = str(value.dtype).removeprefix("torch.")
        problem = f"holds {kind}, not {'floats' if name in FLOATS else 'whole numbers'}"
    elif name not in FLOATS and bound is not None:
        low, high = int(value.min()), int(value.max())
        if low < 0 or high >= bound:
            problem = f"holds {low} to {high}, not 0 to {bound - 1}"
    if problem:
        raise CheckpointError(f"input {name} {problem}", where=str(file))
