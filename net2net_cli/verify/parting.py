"""Where two networks that compute different things first part: walked side by side, value by value.

A student's value may be wider than its teacher's. Whatever made it so keeps the old features, in
their order, among the new ones: so the teacher's slices must be found among the student's, one
after the other. Values that differ along several axes are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from net2net_cli.verify.comparison import Mode, Parting
from net2net_cli.verify.memory import batch_bytes
from net2net_cli.verify.network import Network, as_mode

ROWS = 2
"""How many of the probes are walked."""


def first_parting(
    teacher: Network,
    student: Network,
    inputs: Mapping[str, Tensor],
    tolerance: float,
    mode: Mode = "evaluation",
    *,
    memory: int | None = None,
) -> Parting | None:
    """The first layer, in the teacher's order, whose value differs by more than ``tolerance``
    (relative to its largest entry); None where no layer that both have does.

    About ``memory`` bytes of values are held at once: where all take more, both networks run anew
    for every part of the teacher.
    """
    batch = tuple(value[:ROWS] for value in inputs.values())
    agreeing = {teacher.spec.inputs[i].name for i in range(len(batch))}
    room = batch_bytes(memory, batch[0].device)
    for names in _parts(teacher, student, room // len(batch[0])):
        with torch.no_grad(), as_mode(teacher, mode), as_mode(student, mode):
            ours, theirs = (n.forward_values(*batch, only=names) for n in (teacher, student))
        for name in names:
            error = distance(ours[name], theirs.get(name), tolerance)
            if error is None:
                continue
            if not error <= tolerance:
                read = teacher.spec.layer(name).inputs
                return Parting(name, error, tuple(dict.fromkeys(n for n in read if n in agreeing)))
            agreeing.add(name)
    return None


def _parts(teacher: Network, student: Network, room: int) -> Iterator[list[str]]:
    """The teacher's layers in order, as many at once as have values that fit ``room`` for one
    example, the student's of the same name with them; one at least."""
    ours, theirs = teacher.value_bytes, student.value_bytes
    part, left = list[str](), room
    for name, nbytes in ours.items():
        both = nbytes + theirs.get(name, 0)
        if part and both > left:
            yield part
            part, left = [], room
        part.append(name)
        left -= both
    yield part


def first_state(
    ours: Sequence[Tensor], theirs: Sequence[Tensor], tolerance: float
) -> tuple[int, float] | None:
    """The first of the teacher's hidden states ``[N, T, H]`` that is not among the student's, which
    may have more (a new block that adds nothing repeats one), and by how much it differs from the
    nearest that could be it. A stream may be scaled as a whole."""
    at = 0
    for number, state in enumerate(ours):
        errors = []
        for later in range(at, len(theirs)):
            error = distance(state, _scaled(state, theirs[later]), tolerance)
            errors.append(float("inf") if error is None else error)
            if errors[-1] <= tolerance:
                at = later
                break
        else:
            return number, min(errors, default=float("inf"))
    return None


def _scaled(state: Tensor, other: Tensor) -> Tensor:
    shared = min(state.shape[-1], other.shape[-1])
    a, b = state[..., :shared].flatten(), other[..., :shared].flatten()
    if a.shape != b.shape or not bool(a.any()):
        return other
    factor = float(a @ b / (a @ a))
    return other / factor if 0.1 < factor < 10 else other


def distance(ours: Tensor, theirs: Tensor | None, tolerance: float) -> float | None:
    """How far a value is from its teacher's, relative to the largest entry of that; 0 where NaN
    meets NaN. None where they cannot be compared."""
    if theirs is None or ours.ndim != theirs.ndim or not ours.is_floating_point():
        return None
    wider = [i for i in range(ours.ndim) if ours.shape[i] != theirs.shape[i]]
    a, b = (value.to(torch.float64).nan_to_num(0.0) for value in (ours, theirs))
    scale = float(a.abs().max()) if a.numel() else 0.0
    if not wider:
        return _over(float((a - b).abs().max()) if a.numel() else 0.0, scale)
    if len(wider) > 1 or theirs.shape[wider[0]] < ours.shape[wider[0]] or wider[0] == 0:
        return None
    return _over(
        _among(a.transpose(0, wider[0]), b.transpose(0, wider[0]), tolerance * scale), scale
    )


def _among(ours: Tensor, theirs: Tensor, bound: float) -> float:
    """The largest distance of a slice from the next one of the other's that could be it."""
    rest: Iterator[Tensor] = iter(theirs)
    worst = 0.0
    for piece in ours:
        errors = []
        for other in rest:
            errors.append(float((piece - other).abs().max()))
            if errors[-1] <= bound:
                break
        else:
            return min(errors, default=float("inf"))
        worst = max(worst, errors[-1])
    return worst


def _over(error: float, scale: float) -> float:
    if error == 0:
        return 0.0
    return error / scale if scale else float("inf")
