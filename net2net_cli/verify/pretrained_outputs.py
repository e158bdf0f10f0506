"""One model of transformers run on probe inputs: what it gives, and in what precision.

Many models take norms and softmax in float32 whatever the dtype. That is not read off a list: every
operation is watched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from net2net_cli.verify.deferred import TO, Deferred
from net2net_cli.verify.pretrained_inputs import LENGTH, accepts

RESULTS = 6
"""How many of the largest result are taken to be in memory at once."""

_CACHES = ("cache", "past_key_values", "cache_params")
"""What transformers calls the state of a decoder, by version and kind of model."""

_INNER = ("loss", "encoder_last_hidden_state")
"""What a model gives besides its answer."""


@dataclass(frozen=True)
class Run:
    """Outputs by name on the CPU, padded places left out; ``narrow``: with parts in float32."""

    outputs: Mapping[str, Tensor]
    narrow: bool


@dataclass(frozen=True)
class Limits:
    """Where a model runs, and about how many bytes a batch may take."""

    device: str
    batch_bytes: int


@torch.no_grad()
def run(network: Any, inputs: Mapping[str, Tensor], following: Tensor, limits: Limits) -> Run:
    """The outputs for ``inputs``, and ``NAME (second step)`` for the token ``following`` each row.

    A second step is taken where the model gives a cache to go on from. As many rows run at once as
    fit: how many is guessed for the first ones, and then told by the largest result.
    """
    parts, start, rows = [], 0, _guess(network, inputs, limits)
    with _Watch(network) as watch:
        while start < len(following):
            part = _rows(inputs, start, start + rows, limits.device)
            step = following[start : start + rows].to(limits.device)
            parts.append(_call(network, part, step))
            start, ran = start + rows, len(step)
            if not _pools_blindly(network):
                rows = max(1, limits.batch_bytes * ran // (RESULTS * watch.largest + 1))
    outputs = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return Run({n: _seen(n, value, inputs) for n, value in outputs.items()}, watch.narrow)


def _guess(network: Any, inputs: Mapping[str, Tensor], limits: Limits) -> int:
    """Rows that fit for sure: texts so short that no result is wider than a token's widest."""
    length = inputs["input_ids"].shape[1] if "input_ids" in inputs else 0
    if _pools_blindly(network) or not 0 < length <= LENGTH:
        return 1
    widest: int = max(size for weight in network.parameters() for size in weight.shape)
    return max(1, limits.batch_bytes // (RESULTS * length * widest * torch.float64.itemsize))


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notices float64 values that become narrower, and the largest result.

    A weight's own cast is none: it was stored narrower, and is the same in every run. A value that
    is beyond float32 becomes its end there, not infinite: the least float64, which stands for "not
    to be attended to", would make a padded place NaN, and all that it is added to with a weight of
    0. In float32 a model takes the least float32 itself.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        held = (*network.parameters(), *network.buffers())
        self._held = {t.untyped_storage().data_ptr() for t in held if not isinstance(t, Deferred)}
        self.narrow, self.largest = False, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not isinstance(result, Tensor) or isinstance(result, Deferred):
            return result
        storage = result.untyped_storage()
        if storage.data_ptr() not in self._held:
            self.largest = max(self.largest, storage.nbytes())
        if (
            result.is_floating_point()
            and result.dtype != torch.float64
            and any(self._is_value(arg) for arg in args)
        ):
            self.narrow = True
            if func is TO:
                return _ended(args[0], result)
        return result

    def _is_value(self, arg: Any) -> bool:
        return (
            isinstance(arg, Tensor)
            and not isinstance(arg, Deferred)
            and arg.dtype == torch.float64
            and arg.untyped_storage().data_ptr() not in self._held
        )


def _ended(wide: Tensor, narrow: Tensor) -> Tensor:
    """``narrow`` with its dtype's ends where finite values of ``wide`` lie beyond them."""
    beyond = narrow.isinf() & wide.isfinite()
    ends = torch.finfo(narrow.dtype)
    return torch.where(beyond, narrow.clamp(ends.min, ends.max), narrow) if beyond.any() else narrow


def _call(network: Any, part: Mapping[str, Tensor], following: Tensor) -> dict[str, Tensor]:
    takes = accepts(type(network))
    options = {"use_cache": True} if "use_cache" in takes and _goes_on(network) else {}
    given = network(**part, **options)
    found = _values(given)
    cache = next((n for n in _CACHES if n in takes and given.get(n) is not None), None)
    if options and cache is not None:
        step = _step(part, following, given) | {cache: given[cache]}
        if cache == "cache_params":  # in transformers 4: a state that is told where it is instead
            length = step.pop("attention_mask", part["input_ids"]).shape[1]
            step["cache_position"] = torch.tensor([length], device=following.device)
        second = _values(network(**step, **options))
        found |= {f"{name} (second step)": value for name, value in second.items()}
    return found


def _goes_on(network: Any) -> bool:
    """Whether a second step means anything: heads that pool would pool over one token."""
    return bool(network.can_generate() or network.base_model is network)


def _step(part: Mapping[str, Tensor], following: Tensor, given: Any) -> dict[str, Any]:
    """The arguments of a second step but the cache."""
    if "decoder_input_ids" in part:
        encoded = (given.encoder_last_hidden_state,)
        step: dict[str, Any] = {"encoder_outputs": encoded, "decoder_input_ids": following}
        mask = "decoder_attention_mask"
        if "attention_mask" in part:
            step["attention_mask"] = part["attention_mask"]
    else:
        step, mask = {"input_ids": following}, "attention_mask"
    if mask in part:
        step[mask] = torch.cat([part[mask], torch.ones_like(following)], dim=1)
    return step


def _values(given: Any) -> dict[str, Tensor]:
    return {
        name: value.cpu()
        for name, value in given.items()
        if isinstance(value, Tensor)
        and value.is_floating_point()
        and value.ndim > 1
        and name not in _INNER
    }


def _seen(name: str, value: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
    """The output at the places that are no padding, ``[places, ...]``; all of it without a mask."""
    decodes = "decoder_input_ids" in inputs
    mask = inputs.get("decoder_attention_mask" if decodes else "attention_mask")
    by_place = value.ndim > 2 or name in ("start_logits", "end_logits")
    if mask is None or not by_place or value.shape[:2] != mask.shape or bool(mask.all()):
        return value
    return value[mask.bool()]


def _rows(inputs: Mapping[str, Tensor], start: int, stop: int, device: str) -> dict[str, Tensor]:
    return {name: value[start:stop].to(device) for name, value in inputs.items()}


def _pools_blindly(network: Any) -> bool:
    """Whether rows must come one by one: no id is known to be padding, but the head must know."""
    pad = getattr(network.config.get_text_config(), "pad_token_id", None)
    return pad is None and not _goes_on(network) and "input_ids" in accepts(type(network))
