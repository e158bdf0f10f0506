"""Tiny transformers, made by transformers' own classes with every parameter random; their outputs.

A family's tests are data, as the families themselves are: a `Case` says what is made and how it
is to grow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tests.support import vision  # noqa: F401   (lets transformers import torchvision)

# isort: split

import torch
import transformers
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

Settings = Mapping[str, object]


@dataclass(frozen=True)
class Case:
    """One architecture of a family, a teacher's sizes, and growths that hold or are refused."""

    family: str
    """the family file's name"""
    architecture: str
    """the class in transformers"""
    config: Settings
    """arguments of its config class: tiny, and nothing at its default"""
    grown: Mapping[str, Settings] = field(default_factory=dict)
    """label -> settings: these must be exact"""
    refused: Mapping[str, tuple[Settings, str]] = field(default_factory=dict)
    """label -> settings, and a piece of the message: these must exit with 3"""
    exact: bool = False
    """computes in float64 throughout: a tolerance of 1e-10, else 2e-6"""
    old: Settings = field(default_factory=dict)
    """keys of config.json as an older release wrote them; None: it wrote no such key"""
    label: str = ""
    """what sets it apart from others of its architecture"""

    @property
    def tolerance(self) -> float:
        return 1e-10 if self.exact else 2e-6

    def __str__(self) -> str:
        return "-".join(part for part in (self.family, self.architecture, self.label) if part)


def make_teacher(
    case: Case,
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    **changes: object,
) -> PreTrainedModel:
    """Save and return a model of `case`; `changes` replace arguments of its config."""
    kind: Any = getattr(transformers, case.architecture)
    config: PretrainedConfig = kind.config_class(**{**case.config, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: Any = kind(config)
        randomise(model)
    model.to(dtype).eval().save_pretrained(folder)
    if case.old:
        _edit_config(folder / "config.json", case.old)
    return cast(PreTrainedModel, model)


def _edit_config(path: Path, changes: Settings) -> None:
    config = {**json.loads(path.read_text("utf-8")), **changes}
    kept = {key: value for key, value in config.items() if value is not None or key not in changes}
    path.write_text(json.dumps(kept, indent=2) + "\n", "utf-8")


@torch.no_grad()
def randomise(model: nn.Module) -> None:
    """Give every parameter and persistent buffer of floats values that an error would show in."""
    for owner, name, tensor in _stored(model):
        if not tensor.is_floating_point():
            continue
        if tensor.ndim <= 1:
            # around what the class itself begins with: a gain's one (or zero, where the code
            # adds the one), a bias's zero, a state space model's steps
            spread = 0.3 if name == "weight" else 0.2
            tensor.add_(torch.randn_like(tensor), alpha=spread)
            if name == "running_var":
                tensor.abs_()
        elif isinstance(owner, nn.Embedding):
            tensor.normal_(std=0.5)
        else:
            tensor.normal_(std=_fan_in(owner, tensor) ** -0.5)


def _stored(model: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """Each tensor of the state dict once, with its module and its name there."""
    seen: set[int] = set()
    for owner in model.modules():
        buffers = {
            name: buffer
            for name, buffer in owner.named_buffers(recurse=False)
            if name not in owner._non_persistent_buffers_set
        }
        for name, tensor in (*owner.named_parameters(recurse=False), *buffers.items()):
            if id(tensor) not in seen:
                seen.add(id(tensor))
                yield owner, name, tensor


def _fan_in(owner: nn.Module, tensor: Tensor) -> int:
    if isinstance(owner, Conv1D):
        return tensor.shape[0]
    if isinstance(owner, nn.Conv1d | nn.Conv2d):
        return tensor[0].numel()
    return tensor.shape[-1]


def load(folder: Path, architecture: str, dtype: torch.dtype = torch.float64) -> PreTrainedModel:
    """The model in `folder`, by transformers' own loader; a missing or unexpected tensor fails."""
    kind: Any = getattr(transformers, architecture)
    model, info = kind.from_pretrained(
        folder,
        dtype=dtype,
        attn_implementation="eager",
        experts_implementation="eager",  # grouped matrix products know no float64
        output_loading_info=True,
    )
    wrong = {name: found for name, found in info.items() if found}
    assert not wrong, wrong
    return cast(PreTrainedModel, model.eval())


def draw_inputs(teacher: PreTrainedModel, *, seed: int = 0, length: int = 11) -> dict[str, Tensor]:
    """Arguments of a call: three rows of ids, the last one padded, or images; decoder ids too."""
    generator = torch.Generator().manual_seed(seed)
    config = teacher.config
    if teacher.main_input_name == "pixel_values":
        size = config.image_size
        images = torch.randn(3, config.num_channels, size, size, generator=generator)
        return {"pixel_values": images.to(teacher.dtype)}

    def ids() -> Tensor:
        return torch.randint(3, config.vocab_size, (3, length), generator=generator)

    if teacher.main_input_name == "input_features":
        frames = 2 * config.max_source_positions
        sound = torch.randn(3, config.num_mel_bins, frames, generator=generator)
        return {"input_features": sound.to(teacher.dtype), "decoder_input_ids": ids()}
    mask = torch.ones(3, length, dtype=torch.long)
    mask[-1, -3:] = 0
    inputs = {"input_ids": ids(), "attention_mask": mask}
    if config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids()
    return inputs


@torch.no_grad()
def outputs(model: PreTrainedModel, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every tensor that a call gives, and the logits of a second step through the cache."""
    given: Any = model(**inputs)
    found = {
        name: value
        for name, value in given.items()
        if isinstance(value, Tensor) and value.is_floating_point()
    }
    cache = getattr(given, "past_key_values", None)
    if isinstance(cache, transformers.Cache | transformers.EncoderDecoderCache):
        found["next"] = model(**_next(model, inputs, given), past_key_values=cache)[0]
    return found


def _next(model: PreTrainedModel, inputs: Mapping[str, Tensor], given: Any) -> dict[str, Any]:
    """Arguments of a second step, by the first's cache."""
    if model.config.is_encoder_decoder:
        step: dict[str, Any] = {
            "encoder_outputs": (given.encoder_last_hidden_state,),
            "decoder_input_ids": inputs["decoder_input_ids"][:, :1],
        }
        return step | {name: inputs[name] for name in ("attention_mask",) if name in inputs}
    mask = inputs["attention_mask"]
    return {
        "input_ids": inputs["input_ids"][:, :1],
        "attention_mask": torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1),
    }


def difference(teacher: PreTrainedModel, student: PreTrainedModel, *, seed: int = 0) -> float:
    """The largest max|a - b| / max|a| over the outputs.

    Where the student's last axis is longer (a grown vocabulary's logits, a grown stream's hidden
    states), what stands at the teacher's indices is compared.
    """
    inputs = draw_inputs(teacher, seed=seed)
    wanted, got = outputs(teacher, inputs), outputs(student, inputs)
    assert wanted.keys() == got.keys(), (wanted.keys(), got.keys())
    errors = []
    for name, a in wanted.items():
        b = got[name][..., : a.shape[-1]]
        assert a.shape == b.shape, (name, a.shape, b.shape)
        errors.append(float((a - b).abs().max() / a.abs().max()))
    return max(errors)
