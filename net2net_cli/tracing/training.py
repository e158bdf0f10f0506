"""What a module runs in training alone: auxiliary heads join the spec, the rest is told.

A layer of the training graph is one of the evaluation graph where it does the same to the same
values (dropout aside, which is off in evaluation). What is left over has tensors in the state dict
that evaluation does not read; as layers that lead to no output they are grown with what they read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from net2net_cli.tracing.drafts import Draft, Given, Source

_RANDOM = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "StochasticDepth",
           "FeatureAlphaDropout")  # fmt: skip
"""Types that do nothing in evaluation."""


@dataclass(frozen=True)
class Differences:
    """``added`` are layers that training alone runs, rewired to those of evaluation; ``changed``
    are layers of evaluation that training does not run so."""

    added: tuple[Draft, ...]
    changed: tuple[Draft, ...]


def differences(evaluation: Sequence[Draft], training: Sequence[Draft]) -> Differences:
    """The layers whose tensors training alone reads, with what leads to them; what it changes."""
    numbers: dict[object, int] = {}
    ours, theirs = _classes(evaluation, numbers), _classes(training, numbers)
    same: dict[int, Draft] = {}
    for draft, number in ours.items():
        if draft.type not in _RANDOM:
            same.setdefault(number, draft)
    trained = set(theirs.values())
    changed = tuple(draft for draft, number in ours.items() if number not in trained)
    read = {key for draft in evaluation for key in draft.tensors.values()}
    ends = (draft for draft in training if not read.issuperset(draft.tensors.values()))
    added = [d for d in _leading_to(training, ends) if theirs[d] not in same]
    for draft in added:
        draft.reads = tuple(
            read if isinstance(read, Given) else same.get(theirs[read], read)
            for read in draft.reads
        )
    return Differences(tuple(added), changed)


def _classes(drafts: Iterable[Draft], numbers: dict[object, int]) -> dict[Draft, int]:
    """A number for what each layer computes: the same for the same type, arguments, tensors and
    reads, whatever the names."""
    found: dict[Draft, int] = {}
    for draft in drafts:
        reads = tuple(_class_of(read, found, numbers) for read in draft.reads)
        if draft.type in _RANDOM:
            found[draft] = reads[0]
        else:
            key = (draft.type, tuple(draft.args.items()), tuple(draft.tensors.items()), reads)
            found[draft] = numbers.setdefault(key, len(numbers))
    return found


def _class_of(read: Source, found: dict[Draft, int], numbers: dict[object, int]) -> int:
    if isinstance(read, Given):
        return numbers.setdefault(read.name, len(numbers))
    return found[read]


def _leading_to(drafts: Sequence[Draft], ends: Iterable[Draft]) -> list[Draft]:
    found: set[Source] = set(ends)
    for draft in reversed(drafts):
        if draft in found:
            found.update(draft.reads)
    return [draft for draft in drafts if draft in found]
