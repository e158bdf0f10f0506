"""A plan: the operations that turn a checkpoint into a bigger one, as plain data.

A plan holds both specs, the choices (which expansion each width takes, split, seed) and what the
checkpoint was. It can be printed, saved as JSON, reviewed and applied later; recipes follow from
it and from nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from net2net_cli.errors import PlanError
from net2net_cli.expansion import SPLITS
from net2net_cli.io.failures import is_unicode
from net2net_cli.spec.inputs import FLOATS

T = TypeVar("T")

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Widen:
    """One width grows; ``members`` are the layers with a tensor that has it, ``label`` is what a
    user calls it where it has a name of its own (a key of config.json). ``moments`` says what the
    running statistics of fresh BatchNorm channels are: ``initial`` (mean 0, variance 1) or from
    ``calibration``; None where there are none."""

    width: str
    members: tuple[str, ...]
    before: int
    after: int
    expansion: str
    split: str | None
    how: str
    label: str = ""
    moments: str | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.label or self.members[0]

    @property
    def outcome(self) -> tuple[object, ...]:
        """What it comes to: two operations with one outcome write the same student."""
        return self.width, self.before, self.after, self.expansion, self.split


@dataclass(frozen=True)
class Insert:
    """One layer is added. ``as_what`` is ``identity``, ``zero`` or ``free``; ``value`` is the
    teacher's value that passes through it; ``moments`` says where a BatchNorm's statistics come
    from: ``calibration``, ``closed form`` or ``probes`` where it is to undo itself, else
    ``calibration`` or ``initial``, as in Widen."""

    layer: str
    type: str
    as_what: str
    value: str | None
    how: str
    moments: str | None = None

    @property
    def undoes(self) -> bool:
        """Whether it is a BatchNorm that undoes its own normalisation."""
        return self.as_what == "identity" and self.moments is not None

    @property
    def outcome(self) -> tuple[object, ...]:
        """As in Widen."""
        return (self.layer,)


@dataclass(frozen=True)
class Rescale:
    """A norm's eps follows its width, so that the old channels are normalised as before."""

    layer: str
    argument: str
    before: float
    after: float
    how: str

    @property
    def outcome(self) -> tuple[object, ...]:
        """As in Widen."""
        return self.layer, self.argument, self.after


Operation = Widen | Insert | Rescale


@dataclass(frozen=True)
class Choices:
    """What the user chose: all that recipes depend on beside specs and checkpoint. ``where`` says
    where blocks come in: see families/depth.py; ``mode`` in which pass of the teacher inserted
    BatchNorms get their statistics."""

    expansion: str = "auto"
    split: str = "signed"
    seed: int = 0
    noise: float = 0.0
    dtype: str | None = None
    where: str = "even"
    mode: str = "training"


@dataclass(frozen=True)
class Teacher:
    """The checkpoint that a plan was made for; ``digest`` is None where only headers were read."""

    label: str
    header_digest: str
    digest: str | None = None


@dataclass(frozen=True)
class Totals:
    """Parameters (running statistics not counted) and bytes of all tensors."""

    parameters: int
    nbytes: int


@dataclass(frozen=True)
class Plan:
    """Everything that ``apply`` needs beside the checkpoint.

    ``assumed``: the student's spec holds layers that were only assumed, since the checkpoint's was
    recognised from its tensors; ``warnings`` say what is exact only if they are right.
    """

    teacher: Teacher
    source: str
    target: str
    student: str
    choices: Choices
    operations: tuple[Operation, ...]
    before: Totals
    after: Totals
    notes: tuple[str, ...] = field(default=())
    warnings: tuple[str, ...] = ()
    assumed: bool = False

    @property
    def changes(self) -> bool:
        """Whether the plan does anything."""
        return bool(self.operations)

    @property
    def chosen(self) -> Mapping[str, str]:
        """The expansion that each width takes."""
        return {o.width: o.expansion for o in self.operations if isinstance(o, Widen)}

    @property
    def takers(self) -> tuple[Widen | Insert, ...]:
        """The operations that need statistics, which data may give."""
        made = (o for o in self.operations if isinstance(o, Widen | Insert))
        return tuple(o for o in made if o.moments is not None)

    def comes_to(self, wanted: Sequence[Operation]) -> bool:
        """Whether a plan, which someone may have edited, does what it takes to get from its source
        to its target by the expansions that it has ``chosen``, and nothing else."""
        return {o.outcome for o in wanted} == {o.outcome for o in self.operations}

    def misled(self) -> PlanError:
        """The error that a plan is which does not."""
        return PlanError(
            "the plan's operations do not lead from its source spec to its target spec",
            where=self.teacher.label,
            hint="edit the target spec instead, and make the plan again with `net2net plan`",
        )


_KINDS: Mapping[str, type[Operation]] = {"widen": Widen, "insert": Insert, "rescale": Rescale}


def kind_of(operation: Operation) -> str:
    """The operation's name in JSON."""
    return next(name for name, kind in _KINDS.items() if isinstance(operation, kind))


def to_data(plan: Plan) -> dict[str, Any]:
    """The plan as JSON's own types."""
    found = asdict(plan)
    found["operations"] = [{"kind": kind_of(o), **asdict(o)} for o in plan.operations]
    return {"format_version": FORMAT_VERSION, "changes": plan.changes, **found}


def to_json(plan: Plan) -> str:
    """The plan as a JSON document, keys sorted."""
    return json.dumps(to_data(plan), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def from_json(text: str, label: str) -> Plan:
    """Read a saved plan; unknown keys are ignored. Raises PlanError where it is none of ours."""
    try:
        data = json.loads(text)
        spelled = json.dumps(data, ensure_ascii=False)
    except (ValueError, RecursionError) as error:
        raise PlanError(f"the plan is no JSON: {error}", where=label) from None
    if not is_unicode(spelled):
        raise PlanError("the plan holds text that is not valid Unicode", where=label)
    if not isinstance(data, dict) or "operations" not in data:
        raise PlanError(
            "this JSON document is no plan", where=label, hint="save one with `net2net plan -o`"
        )
    if data.get("format_version") != FORMAT_VERSION:
        raise PlanError(
            f"the plan has format {data.get('format_version')}, and this version reads"
            f" {FORMAT_VERSION}",
            where=label,
        )
    try:
        return _plan(data)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise PlanError(
            f"the plan lacks or misuses {error}", where=label, hint="make it again"
        ) from None


def _plan(data: Mapping[str, Any]) -> Plan:
    parts = {
        "teacher": _record(Teacher, data["teacher"]),
        "choices": _choices(_record(Choices, data["choices"])),
        "operations": tuple(_operation(o) for o in data["operations"]),
        "before": _record(Totals, data["before"]),
        "after": _record(Totals, data["after"]),
    }
    return _record(Plan, {**data, **parts})


def _choices(made: Choices) -> Choices:
    if made.split not in SPLITS:
        raise ValueError(f"the split `{made.split}`")
    if made.dtype is not None and made.dtype not in FLOATS:
        raise ValueError(f"the dtype `{made.dtype}`")
    if not (isfinite(made.noise) and made.noise >= 0):
        raise ValueError(f"the noise {made.noise}")
    return made


def _operation(data: Mapping[str, Any]) -> Operation:
    kind = _KINDS.get(data["kind"])
    if kind is None:
        raise ValueError(f"the operation `{data['kind']}`")
    found: Operation = _record(kind, data)
    if isinstance(found, Widen) and not (found.label or found.members):
        raise ValueError("an operation without `members`")
    return found


def _record(kind: type[T], data: Mapping[str, Any]) -> T:
    values = {}
    for name, wanted in get_type_hints(kind).items():
        if name in data:
            value = tuple(v) if isinstance(v := data[name], list) else v
            if not _is(value, wanted):
                raise TypeError(f"`{name}` of {kind.__name__.lower()}: it cannot be {v!r:.40}")
            values[name] = value
    return kind(**values)


def _is(value: object, wanted: Any) -> bool:
    """Whether a value read from JSON is what an annotation says: a type, tuples of one, or any of
    several."""
    if get_origin(wanted) is tuple:
        return isinstance(value, tuple) and all(_is(item, get_args(wanted)[0]) for item in value)
    if get_origin(wanted) in (UnionType, Union):
        return any(_is(value, one) for one in get_args(wanted))
    if wanted is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    return isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
