"""The same inputs through teacher and student, and how far their outputs are apart.

Inputs and outputs meet by position, since that is how a network is called; names may differ
(a layer inserted last renames the output).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from net2net_cli.errors import DifferenceError, UsageError
from net2net_cli.verify.comparison import Comparison, Mode, OutputDifference, summarize
from net2net_cli.verify.memory import batch_bytes, require_room
from net2net_cli.verify.network import Network, as_mode
from net2net_cli.verify.reading import reading


def probe(
    teacher: Network,
    student: Network,
    inputs: Mapping[str, Tensor],
    memory: int | None = None,
) -> list[Comparison]:
    """Compares in evaluation mode, and in training mode where either network tracks statistics.

    ``inputs`` as ``draw_inputs`` or ``load_inputs`` of the teacher's spec give them; ``memory`` is
    about what those that run at once may take, in bytes: see memory.py; training mode needs them
    all at once. The errors are those of ``compare``.
    """
    twice = teacher.tracks_statistics or student.tracks_statistics
    count = len(next(iter(inputs.values())))
    after = sum(network.read_bytes(count) for network in (teacher, student)) if twice else 0
    found = [compare(teacher, student, inputs, memory=memory, after=after)]
    if twice:
        found.append(compare(teacher, student, inputs, "training"))
    return found


def compare(
    teacher: Network,
    student: Network,
    inputs: Mapping[str, Tensor],
    mode: Mode = "evaluation",
    *,
    memory: int | None = None,
    after: int = 0,
) -> Comparison:
    """Runs both networks on ``inputs`` (batch first) and measures each output; ``after`` are the
    bytes of weights that will be read after that.

    In evaluation mode they go through both in parts that fit memory, so that no more than a part's
    outputs are there at once. DifferenceError where inputs or outputs differ in number or shape, so
    that there is nothing to measure; UsageError where the batch is too small for training mode.
    """
    batch = tuple(inputs.values())
    _check_inputs(teacher, student)
    rows = _rows_at_once(teacher, student, batch[0], mode, memory)
    meters = [Meter(name) for name in teacher.spec.outputs]
    with torch.no_grad(), as_mode(teacher, mode), as_mode(student, mode):
        for number, part in enumerate(zip(*(torch.split(v, rows) for v in batch), strict=True)):
            left = range(number * rows, len(batch[0]), rows)
            both = sum(network.read_bytes(len(part[0])) for network in (teacher, student))
            reading().expect(len(left) * both + after)
            ours, theirs = (_outputs(network, part, mode) for network in (teacher, student))
            if len(theirs) != len(ours):
                raise DifferenceError(
                    f"the teacher returns {_count(len(ours), 'output')}, the student {len(theirs)}"
                )
            for meter, a, b in zip(meters, ours, theirs, strict=True):
                meter.add(a, b)
    outputs = tuple(meter.found() for meter in meters)
    return summarize(mode, len(batch[0]), str(teacher.dtype).removeprefix("torch."), outputs)


def check_room(
    teacher: Network, student: Network, count: int, memory: int | None, device: str = "cpu"
) -> None:
    """UsageError where not even the fewest of ``count`` inputs that must run at once fit memory."""

    def require(least: int, what: str) -> None:
        require_room(held + least, what, memory, device=device)

    inputs = count * sum(prod(declared.shape) for declared in teacher.spec.inputs)
    held = inputs * teacher.dtype.itemsize + max(teacher.weight_bytes, student.weight_bytes)
    each = _example_bytes(teacher, student)
    require(each, "one input")
    if teacher.tracks_statistics or student.tracks_statistics:
        require(count * each, f"{count} inputs at once, as in training")
    elif teacher.mixes_examples or student.mixes_examples:
        require(count * each, f"{count} inputs at once")


def _rows_at_once(
    teacher: Network, student: Network, batch: Tensor, mode: Mode, memory: int | None
) -> int:
    count = len(batch)
    if mode == "training" or teacher.mixes_examples or student.mixes_examples:
        return count
    held = max(teacher.weight_bytes, student.weight_bytes)
    room = (batch_bytes(memory, batch.device) - held) // max(1, _example_bytes(teacher, student))
    return max(1, min(count, room))


def _example_bytes(teacher: Network, student: Network) -> int:
    """Of one example at the fullest moment: the teacher's outputs wait for the student's."""
    return max(teacher.example_bytes, student.example_bytes + teacher.output_bytes)


def _outputs(network: Network, part: tuple[Tensor, ...], mode: Mode) -> tuple[Tensor, ...]:
    try:
        found: tuple[Tensor, ...] = network(*part)
    except ValueError as error:  # BatchNorm's "Expected more than 1 value per channel"
        if mode == "training" and len(part[0]) == 1:
            raise UsageError(
                "one probe is too few for batch statistics", hint="take two or more"
            ) from error
        raise
    return found


def measure(name: str, a: Tensor, b: Tensor) -> OutputDifference:
    """How far the student's output ``b`` is from the teacher's ``a`` (the same shape, batch first).

    DifferenceError where the shapes differ.
    """
    meter = Meter(name)
    meter.add(a, b)
    return meter.found()


SLICE = 2**20
"""Entries of an output that are measured at a time: what that takes is then of no account."""


class Meter:
    """Measures one output of two networks as it comes, some examples after the other."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.error = self.scale = 0.0
        self.same = True
        self.finite = self.entries = self.agreeing = self.predictions = 0
        self.ends: tuple[Tensor, Tensor] | None = None

    def add(self, a: Tensor, b: Tensor) -> None:
        """Further examples of the teacher's and the student's. DifferenceError where the shapes
        differ."""
        if a.shape != b.shape:
            raise DifferenceError(
                f"output {self.name} has the shape {list(a.shape[1:])} in the teacher, "
                f"but {list(b.shape[1:])} in the student"
            )
        rows = max(1, SLICE * len(a) // max(1, a.numel()))
        for mine, other in zip(torch.split(a, rows), torch.split(b, rows), strict=True):
            self._add(mine.to(torch.float64), other.to(torch.float64))

    def _add(self, a: Tensor, b: Tensor) -> None:
        finite = a.isfinite() & b.isfinite()
        same = finite | (a == b) | (a.isnan() & b.isnan())
        self.same = self.same and bool(same.all())
        self.finite += int(finite.sum())
        self.entries += finite.numel()
        self.error = max(self.error, _largest((a - b)[finite]))
        self.scale = max(self.scale, _largest(a[finite]))
        if (axis := _classes(a)) is not None:
            agreeing = a.argmax(axis) == b.argmax(axis)
            self.agreeing += int(agreeing.sum())
            self.predictions += agreeing.numel()
        moves = torch.where(finite, a, 0)
        high, low = moves.amax(0), moves.amin(0)
        if self.ends is not None:
            high, low = torch.maximum(high, self.ends[0]), torch.minimum(low, self.ends[1])
        self.ends = high, low

    def found(self) -> OutputDifference:
        """What it comes to."""
        high, low = self.ends or (torch.zeros(()), torch.zeros(()))
        return OutputDifference(
            self.name,
            max_error=self.error,
            relative_error=_ratio(self.error, self.scale),
            argmax_agreement=self.agreeing / self.predictions if self.predictions else None,
            nan_equal=self.same,
            compared=self.finite / max(1, self.entries),
            spread=_ratio(_largest(high - low), self.scale),
        )


def _check_inputs(teacher: Network, student: Network) -> None:
    ours, theirs = teacher.spec.inputs, student.spec.inputs
    if len(ours) != len(theirs):
        raise DifferenceError(
            f"the teacher takes {_count(len(ours), 'input')}, the student {len(theirs)}"
        )
    for mine, other in zip(ours, theirs, strict=True):
        if mine.shape != other.shape:
            raise DifferenceError(
                f"the input `{mine.name}` has the shape {list(mine.shape)} in the teacher, "
                f"but {list(other.shape)} in the student"
            )


def _classes(a: Tensor) -> int | None:
    """The axis of classes: the last, or axis 1 where it is followed by an image's two or more; None
    without two classes."""
    axis = 1 if a.ndim > 3 else a.ndim - 1
    return axis if axis > 0 and a.shape[axis] > 1 else None


def _largest(values: Tensor) -> float:
    return float(values.abs().max()) if values.numel() else 0.0


def _ratio(error: float, scale: float) -> float:
    if error == 0:
        return 0.0
    return error / scale if scale else float("inf")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
