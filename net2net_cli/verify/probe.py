"""The same inputs through teacher and student, and how far their outputs are apart.

Inputs and outputs meet by position, since that is how a network is called; names may differ
(a layer inserted last renames the output).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from net2net_cli.errors import DifferenceError, UsageError
from net2net_cli.verify.comparison import Comparison, Mode, OutputDifference, summarize
from net2net_cli.verify.memory import batch_bytes
from net2net_cli.verify.network import Network, as_mode


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
    found = [compare(teacher, student, inputs, memory=memory)]
    if teacher.tracks_statistics or student.tracks_statistics:
        found.append(compare(teacher, student, inputs, "training"))
    return found


def compare(
    teacher: Network,
    student: Network,
    inputs: Mapping[str, Tensor],
    mode: Mode = "evaluation",
    *,
    memory: int | None = None,
) -> Comparison:
    """Runs both networks on ``inputs`` (batch first) and measures each output.

    DifferenceError where inputs or outputs differ in number or shape, so that there is nothing to
    measure; UsageError where the batch is too small for training mode.
    """
    batch = tuple(inputs.values())
    _check_inputs(teacher, student)
    ours, theirs = (outputs_of(network, batch, mode, memory) for network in (teacher, student))
    names = teacher.spec.outputs
    if len(theirs) != len(ours):
        raise DifferenceError(
            f"the teacher returns {_count(len(ours), 'output')}, the student {len(theirs)}"
        )
    outputs = tuple(measure(n, a, b) for n, a, b in zip(names, ours, theirs, strict=True))
    return summarize(mode, len(batch[0]), str(teacher.dtype).removeprefix("torch."), outputs)


def outputs_of(
    network: Network, batch: tuple[Tensor, ...], mode: Mode, memory: int | None = None
) -> tuple[Tensor, ...]:
    """The network's outputs; in evaluation mode the batch goes through in parts that fit memory."""
    rows = len(batch[0])
    if mode == "evaluation" and not network.mixes_examples:
        rows = max(1, min(rows, batch_bytes(memory) // max(1, network.example_bytes)))
    parts = zip(*(torch.split(value, rows) for value in batch), strict=True)
    with torch.no_grad(), as_mode(network, mode):
        try:
            made = [network(*part) for part in parts]
        except ValueError as error:  # BatchNorm's "Expected more than 1 value per channel"
            if mode == "training" and rows == 1:
                raise UsageError(
                    "one probe is too few for batch statistics", hint="take two or more"
                ) from error
            raise
    return tuple(torch.cat(pieces) for pieces in zip(*made, strict=True))


def measure(name: str, a: Tensor, b: Tensor) -> OutputDifference:
    """How far the student's output ``b`` is from the teacher's ``a`` (the same shape, batch first).

    DifferenceError where the shapes differ.
    """
    if a.shape != b.shape:
        raise DifferenceError(
            f"output {name} has the shape {list(a.shape[1:])} in the teacher, "
            f"but {list(b.shape[1:])} in the student"
        )
    a, b = a.to(torch.float64), b.to(torch.float64)
    finite = a.isfinite() & b.isfinite()
    same = finite | (a == b) | (a.isnan() & b.isnan())
    error = _largest((a - b)[finite])
    scale = _largest(a[finite])
    moves = torch.where(finite, a, 0)
    return OutputDifference(
        name,
        max_error=error,
        relative_error=_ratio(error, scale),
        argmax_agreement=_argmax_agreement(a, b),
        nan_equal=bool(same.all()),
        compared=float(finite.to(torch.float64).mean()),
        spread=_ratio(_largest(moves.amax(0) - moves.amin(0)), scale),
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


def _argmax_agreement(a: Tensor, b: Tensor) -> float | None:
    """Classes lie on the last axis, or on axis 1 where it is followed by an image's two or more."""
    axis = 1 if a.ndim > 3 else a.ndim - 1
    if axis == 0 or a.shape[axis] < 2:
        return None
    return float((a.argmax(axis) == b.argmax(axis)).to(torch.float64).mean())


def _largest(values: Tensor) -> float:
    return float(values.abs().max()) if values.numel() else 0.0


def _ratio(error: float, scale: float) -> float:
    if error == 0:
        return 0.0
    return error / scale if scale else float("inf")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
