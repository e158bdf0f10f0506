"""The probe of Hugging Face models, by the `transformers` library itself.

Teacher and student run side by side, in float64, on the same inputs, some of these after the other;
each weight is read when its turn comes, so that models larger than memory are probed too. Where an
output of the student is wider (a larger vocabulary, a wider residual stream), its first entries are
the teacher's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from net2net_cli.errors import DifferenceError
from net2net_cli.verify.comparison import Comparison, Parting, summarize
from net2net_cli.verify.memory import batch_bytes, require_room
from net2net_cli.verify.parting import ROWS, first_state
from net2net_cli.verify.precision import full_precision
from net2net_cli.verify.pretrained_inputs import accepts, draw_inputs, load_inputs, next_ids
from net2net_cli.verify.pretrained_library import (
    Misfit,
    Pretrained,
    load,
    model_class,
    model_config,
    offline,
    quiet,
    told,
    unavailable,
)
from net2net_cli.verify.pretrained_outputs import Runner, least_bytes, pools_blindly
from net2net_cli.verify.probe import Meter
from net2net_cli.verify.reading import reading
from net2net_cli.verify.tolerance import MIXED

__all__ = ["Pretrained", "PretrainedProbe", "pretrained_parting", "probe_pretrained", "unavailable"]


@dataclass(frozen=True)
class PretrainedProbe:
    """What was found; ``notes`` say what of the checkpoints the probe could not see."""

    comparison: Comparison
    notes: tuple[str, ...] = ()


def probe_pretrained(
    teacher: Pretrained,
    student: Pretrained,
    *,
    probes: int,
    seed: int,
    data: Path | None = None,
    device: str = "cpu",
    memory: int | None = None,
) -> PretrainedProbe:
    """Run both models on the same inputs and compare what they give.

    ``data`` is a safetensors file of inputs by the names of the model's arguments; without it
    ``probes`` rows are drawn. The comparison's dtype is "float64", or tolerance.MIXED where one of
    them takes parts of it in float32. ``memory`` is about what the inputs that run at once may
    take, in bytes: see memory.py; weights take as much as the largest convolution or gain, a piece
    of a larger matrix at a time. Nothing is printed, nothing fetched, no code of the checkpoint's
    run.

    DifferenceError where outputs cannot be compared, or tensors are missing or left over in the
    student that are not in the teacher; CheckpointError where transformers refuses a model, and
    for data that do not fit; UsageError for inputs that cannot be made, and where memory holds not
    even one.
    """
    with quiet(), offline(), full_precision(), torch.random.fork_rng(devices=[]):
        config, inputs = model_config(teacher), _inputs(teacher, probes, seed, data)
        _check_inputs(inputs, student)
        vocabularies = tuple(_vocabulary(c) for c in (config, model_config(student)))
        _check_vocabularies(*vocabularies)
        least = max(_least(model, inputs) for model in (teacher, student))
        require_room(least, "one row of inputs", memory, device=device)
        rows = len(next(iter(inputs.values())))
        following = next_ids(config, rows, seed) if _vocabulary(config) else torch.zeros(rows, 1)
        found = _Pair((teacher, student), inputs, device, vocabularies)
        found.compare(following, batch_bytes(memory, device), least)
    outputs = tuple(meter.found() for meter in found.meters.values())
    dtype = MIXED if any(runner.narrow for runner in found.runners) else "float64"
    return PretrainedProbe(summarize("evaluation", rows, dtype, outputs), _notes(found.misfit))


def pretrained_parting(
    teacher: Pretrained,
    student: Pretrained,
    tolerance: float,
    *,
    probes: int,
    seed: int,
    data: Path | None = None,
    device: str = "cpu",
    memory: int | None = None,
) -> Parting | None:
    """The first block whose hidden state differs by more than ``tolerance``, on the inputs of
    ``probe_pretrained``; None where the models do not give their hidden states.

    UsageError where those of one row alone take more than ``memory``.
    """
    with quiet(), offline(), full_precision(), torch.random.fork_rng(devices=[]):
        inputs = _inputs(teacher, probes, seed, data)
        row = sum(_states_bytes(model, inputs) for model in (teacher, student))
        require_room(row, "all hidden states of one row", memory, device=device)
        rows = max(1, min(ROWS, batch_bytes(memory, device) // row))
        inputs = {name: value[:rows] for name, value in inputs.items()}
        for side in ("encoder_hidden_states", "decoder_hidden_states", "hidden_states"):
            ours, theirs = (_states(m, inputs, device, side) for m in (teacher, student))
            found = first_state(ours, theirs, tolerance)
            if found is not None and theirs:
                number, error = found
                part = side.removesuffix("hidden_states").replace("_", " ")
                return Parting(
                    f"{part}block {number - 1}" if number else f"{part}embeddings", error
                )
    return None


def _states_bytes(model: Pretrained, inputs: Mapping[str, Tensor]) -> int:
    """About what a row's hidden states take, and what is there beside them."""
    config = model_config(model).get_text_config()
    layers, hidden = (getattr(config, name, 0) for name in ("num_hidden_layers", "hidden_size"))
    length = max((value.shape[1] for value in inputs.values() if value.ndim > 1), default=1)
    states = length * (int(hidden) or 0) * (1 + (int(layers) or 0)) * torch.float64.itemsize
    return states + _least(model, inputs)


@torch.no_grad()
def _states(
    model: Pretrained, inputs: Mapping[str, Tensor], device: str, side: str
) -> tuple[Tensor, ...]:
    network, _ = load(model, device)
    with told(model, f"cannot run {type(network).__name__}"):
        given = network(**{n: v.to(device) for n, v in inputs.items()}, output_hidden_states=True)
    return tuple(state.cpu() for state in given.get(side) or () if isinstance(state, Tensor))


def _inputs(teacher: Pretrained, probes: int, seed: int, data: Path | None) -> Mapping[str, Tensor]:
    kind, config = model_class(teacher), model_config(teacher)
    if data is None:
        return draw_inputs(kind, config, probes, seed)
    return load_inputs(data, kind, config, seed)


def _least(model: Pretrained, inputs: Mapping[str, Tensor]) -> int:
    sizes = (size for info in model.source.tensors.values() for size in info.shape)
    heads = getattr(model_config(model).get_text_config(), "num_attention_heads", 1)
    return least_bytes(sizes, inputs, heads if isinstance(heads, int) else 1)


class _Pair:
    """Teacher and student side by side, some rows after the other through both: ``meters`` by the
    outputs' names, ``misfit`` is the student's."""

    def __init__(
        self,
        models: tuple[Pretrained, Pretrained],
        inputs: Mapping[str, Tensor],
        device: str,
        vocabularies: tuple[int | None, ...],
    ) -> None:
        self.models, self.vocabularies = models, vocabularies
        ours, before = load(models[0], device)
        theirs, self.misfit = load(models[1], device)
        if beyond := self.misfit.beyond(before):
            raise _misfit_error(beyond, models[1])
        self.runners = tuple(Runner(network, inputs, device) for network in (ours, theirs))
        self.meters: dict[str, Meter] = {}

    def compare(self, following: Tensor, room: int, least: int) -> None:
        """As many rows at once as fit ``room`` bytes: how many is guessed from the ``least`` for
        the first ones, and then told by what they took."""
        one_by_one = any(pools_blindly(runner.network) for runner in self.runners)
        start, rows = 0, 1 if one_by_one else max(1, room // least)
        passes = sum(runner.read_bytes for runner in self.runners)
        while start < len(following):
            before = reading().done
            reading().expect(passes * -(-(len(following) - start) // rows))
            ours, theirs = (
                self._run(index, start, following[start : start + rows]) for index in (0, 1)
            )
            for name, value in ours.items():
                meter = self.meters.setdefault(name, Meter(name))
                meter.add(value, _first(name, value, theirs, self.vocabularies))
            start, passes = start + rows, reading().done - before
            teacher, student = self.runners
            each = max(teacher.row_bytes, student.row_bytes + teacher.output_bytes)
            rows = 1 if one_by_one else max(1, room // max(1, each))

    def _run(self, index: int, start: int, following: Tensor) -> dict[str, Tensor]:
        runner = self.runners[index]
        with told(self.models[index], f"cannot run {type(runner.network).__name__}"):
            return runner.run(start, following)


def _check_inputs(inputs: Mapping[str, Tensor], student: Pretrained) -> None:
    kind = model_class(student)
    if lacking := [name for name in inputs if name not in accepts(kind)]:
        raise DifferenceError(
            f"the student, {kind.__name__}, takes no input `{lacking[0]}` as the teacher does"
        )


def _check_vocabularies(ours: int | None, theirs: int | None) -> None:
    if ours is not None and theirs is not None and theirs < ours:
        raise DifferenceError(f"the teacher knows {ours} tokens, the student only {theirs}")


def _first(
    name: str, ours: Tensor, theirs: Mapping[str, Tensor], vocabularies: tuple[int | None, ...]
) -> Tensor:
    """The student's output, as wide as the teacher's where it may be wider: logits may be so only
    by a grown vocabulary, since the entries of a classifier are its answer."""
    if name not in theirs:
        raise DifferenceError(f"the teacher gives the output `{name}`, the student does not")
    found = theirs[name]
    sizes = (ours.shape[-1], found.shape[-1])
    if sizes[1] > sizes[0] and ("logits" not in name or sizes == vocabularies):
        return found[..., : sizes[0]]
    return found


def _vocabulary(config: Any) -> int | None:
    found = getattr(config.get_text_config(), "vocab_size", None)
    return found if isinstance(found, int) else None


def _misfit_error(found: Misfit, student: Pretrained) -> DifferenceError:
    said = [
        f"{what} {_list(names)}"
        for what, names in (
            ("it lacks", found.missing),
            ("it has no use for", found.unexpected),
            ("of another shape are", found.mismatched),
        )
        if names
    ]
    return DifferenceError(
        f"transformers does not find the student's tensors as it wants them: {'; '.join(said)}",
        where=student.source.label,
    )


def _notes(misfit: Misfit) -> tuple[str, ...]:
    """Of what teacher and student have in common."""
    notes = []
    if made_up := misfit.missing | misfit.mismatched:
        notes.append(
            f"transformers finds no {_list(made_up)} for teacher and student, and would draw them"
            " at random: they are 0 in both, and the probe says nothing of what depends on them"
        )
    if misfit.unexpected:
        notes.append(
            f"transformers does not read {_list(misfit.unexpected)}: the probe says nothing of them"
        )
    return tuple(notes)


def _list(names: Iterable[str], shown: int = 3) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - shown} more" if len(ordered) > shown else ""
    return ", ".join(f"`{name}`" for name in ordered[:shown]) + more
