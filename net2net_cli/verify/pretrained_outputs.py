"""One model of transformers run on probe inputs: what it gives, and in what precision.

Many models take norms and softmax in float32 whatever the dtype. That is not read off a list: every
operation is watched.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from net2net_cli.verify.deferred import TO, Deferred, weight_bytes
from net2net_cli.verify.pretrained_inputs import accepts

RESULTS = 8
"""How many of the largest result are taken to be in memory at once, before anything has run."""

_CACHES = ("cache", "past_key_values", "cache_params")
"""What transformers calls the state of a decoder, by version and kind of model."""

_INNER = ("loss", "encoder_last_hidden_state")
"""What a model gives besides its answer."""


class Runner:
    """One model on its way through the probe's rows: ``row_bytes`` is about what a row takes at the
    fullest moment, ``output_bytes`` what its outputs take."""

    def __init__(self, network: Any, inputs: Mapping[str, Tensor], device: str) -> None:
        self.network, self.inputs, self.device = network, inputs, device
        self.row_bytes = self.output_bytes = 0
        self.watch = _Watch(network)

    @property
    def narrow(self) -> bool:
        """Whether parts of it run in float32."""
        return self.watch.narrow

    @property
    def read_bytes(self) -> int:
        """About what running some rows reads of the weights."""
        steps = 2 if "use_cache" in accepts(type(self.network)) and _goes_on(self.network) else 1
        return steps * weight_bytes(self.network)

    @torch.no_grad()
    def run(self, start: int, following: Tensor) -> dict[str, Tensor]:
        """The outputs for as many rows from ``start`` as ``following`` has, on the CPU and padded
        places left out, and ``NAME (second step)`` for the token ``following`` each row.

        A second step is taken where the model gives a cache to go on from.
        """
        stop = start + len(following)
        part = _rows(self.inputs, start, stop, self.device)
        self.watch.fullest = self.watch.held
        with self.watch:
            found = _call(self.network, part, following.to(self.device))
        given = sum(value.nbytes for value in found.values())
        fullest = max(self.watch.fullest, 2 * given)  # leaving padded places out takes a copy
        self.row_bytes = max(self.row_bytes, fullest // len(following))
        self.output_bytes = max(self.output_bytes, given // len(following))
        return {name: _seen(name, value, self.inputs, start) for name, value in found.items()}


def differentiable(
    call: Callable[..., Any], network: Any, inputs: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The outputs of ``call``, which runs ``network``, with what their gradients need; padded
    places left out."""
    options = {"use_cache": False} if "use_cache" in accepts(type(network)) else {}
    with _Watch(network):
        found = _values(call({**inputs, **options}))
    return {name: _seen(name, value, inputs) for name, value in found.items()}


def least_bytes(network_sizes: Iterable[int], inputs: Mapping[str, Tensor], heads: int) -> int:
    """About what a row takes, before anything has run: of texts some results as wide as the widest
    of a network's sizes, or the scores of all heads; of others at least some as large as a row."""
    length = inputs["input_ids"].shape[1] if "input_ids" in inputs else 0
    widest = max(length * max(network_sizes, default=0), heads * length**2)
    given = max(value[0].numel() for value in inputs.values())
    return RESULTS * max(widest, given) * torch.float64.itemsize


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notices float64 values that become narrower, and how many bytes of results are there at
    once, ``fullest``.

    A weight's own cast is none: it was stored narrower, and is the same in every run. A value that
    is beyond float32 becomes its end there, not infinite: the least float64, which stands for "not
    to be attended to", would make a padded place NaN, and all that it is added to with a weight of
    0. In float32 a model takes the least float32 itself.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        held = (*network.parameters(), *network.buffers())
        self._weights = {
            t.untyped_storage().data_ptr() for t in held if not isinstance(t, Deferred)
        }
        self._there = set[int]()
        self.narrow, self.held, self.fullest = False, 0, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not isinstance(result, Tensor) or isinstance(result, Deferred):
            return result
        storage = result.untyped_storage()
        if storage.data_ptr() not in self._weights:
            self._note(storage)
        if (
            result.is_floating_point()
            and result.dtype != torch.float64
            and any(self._is_value(arg) for arg in args)
        ):
            self.narrow = True
            if func is TO:
                return _ended(args[0], result)
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        """Counts it until it is let go of."""
        if id(storage) in self._there:
            return
        size = storage.nbytes()
        self._there.add(id(storage))
        weakref.finalize(storage, self._forget, id(storage), size)
        self.held += size
        self.fullest = max(self.fullest, self.held)

    def _forget(self, number: int, size: int) -> None:
        self._there.discard(number)
        self.held -= size

    def _is_value(self, arg: Any) -> bool:
        return (
            isinstance(arg, Tensor)
            and not isinstance(arg, Deferred)
            and arg.dtype == torch.float64
            and arg.untyped_storage().data_ptr() not in self._weights
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


def _seen(name: str, value: Tensor, inputs: Mapping[str, Tensor], start: int = 0) -> Tensor:
    """An output of the rows from ``start`` on at the places that are no padding, ``[places, ...]``;
    all of it where no row has any."""
    decodes = "decoder_input_ids" in inputs
    mask = inputs.get("decoder_attention_mask" if decodes else "attention_mask")
    by_place = value.ndim > 2 or name in ("start_logits", "end_logits")
    if mask is None or not by_place or bool(mask.all()):
        return value
    mine = mask[start : start + len(value)]
    return value[mine.bool()] if value.shape[:2] == mine.shape else value


def _rows(inputs: Mapping[str, Tensor], start: int, stop: int, device: str) -> dict[str, Tensor]:
    return {name: value[start:stop].to(device) for name, value in inputs.items()}


def pools_blindly(network: Any) -> bool:
    """Whether rows must come one by one: no id is known to be padding, but the head must know."""
    pad = getattr(network.config.get_text_config(), "pad_token_id", None)
    return pad is None and not _goes_on(network) and "input_ids" in accepts(type(network))
