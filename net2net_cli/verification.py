"""Proof and probe together: what ``grow`` must pass before its output appears, and ``verify``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from net2net_cli.devices import device_for
from net2net_cli.errors import DifferenceError, UsageError
from net2net_cli.io import Source, Team
from net2net_cli.io.tally import Step, Tally
from net2net_cli.io.tensors import raw_bytes
from net2net_cli.verify.comparison import PROBES, Comparison, Mode, Parting
from net2net_cli.verify.proof import Proof
from net2net_cli.verify.tolerance import Inserted, tolerance

if TYPE_CHECKING:
    from torch import Tensor

    from net2net_cli.opening import FamilyModel, Model, SpecModel

ALONE = Team()


@dataclass(frozen=True)
class ProbeOptions:
    """How to probe: how many random inputs or which data, on what device, how strictly, and about
    how many bytes inputs may take at once (else up to half of what is there)."""

    probes: int = PROBES
    data: Path | None = None
    seed: int = 0
    tolerance: float | None = None
    device: str = "auto"
    memory: int | None = None


@dataclass(frozen=True)
class Judged:
    """One comparison beside the tolerance that it is held to; ``parting`` is where the networks
    part, where it did not pass and that was found."""

    comparison: Comparison
    tolerance: float
    parting: Parting | None = None

    @property
    def passed(self) -> bool:
        """Whether the outputs agree that closely."""
        return self.comparison.within(self.tolerance)


@dataclass(frozen=True)
class Verification:
    """``proof`` is None where there is no plan; ``skipped`` says why nothing was probed; ``notes``
    are what a person should know of the figures, ``warnings`` of the checkpoints."""

    proof: Proof | None
    probes: tuple[Judged, ...]
    skipped: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything that was checked holds."""
        return (self.proof is None or self.proof.holds) and all(j.passed for j in self.probes)


def verification_data(found: Verification) -> dict[str, Any]:
    """A verification as JSON's own types."""
    probes = [
        {
            **asdict(item.comparison),
            "tolerance": item.tolerance,
            "passed": item.passed,
            "parting": asdict(item.parting) if item.parting else None,
        }
        for item in found.probes
    ]
    proof = {**asdict(found.proof), "holds": found.proof.holds} if found.proof else None
    return {"passed": found.passed, "proof": proof, "probes": probes, "skipped": found.skipped}


class NotPreservedError(DifferenceError):
    """A student that does not compute what its teacher does; ``verification`` is what was found."""

    def __init__(self, error: DifferenceError, verification: Verification) -> None:
        super().__init__(error.message, where=error.where, hint=error.hint)
        self.verification = verification


@dataclass(frozen=True)
class Expected:
    """What a plan lets drift: see verify/tolerance.py; ``noise`` is the plan's own, ``drift`` what
    its operations move the outputs by at most, relative."""

    rounding: bool = False
    inserted: Inserted = "none"
    noise: float = 0.0
    drift: float = 0.0


@dataclass(frozen=True)
class Probed:
    """What probing gave; ``skipped`` says why nothing was probed."""

    judged: tuple[Judged, ...]
    skipped: str | None = None
    notes: tuple[str, ...] = ()


def probe_models(
    teacher: Model,
    student: Model,
    options: ProbeOptions,
    expected: Expected,
    team: Team = ALONE,
    progress: Step | None = None,
) -> Probed:
    """Run both networks, in float64, on the same inputs and judge what comes out. Transformers are
    built by the transformers library, or not at all. A team's processes, which must all call it,
    divide the work and get the same figures, those that one process gets. ``progress`` is told how
    much of the weights was read.

    Raises DifferenceError where outputs cannot be compared, CheckpointError for data that do not
    fit.
    """
    from net2net_cli.verify.reading import told

    tell = None if progress is None else partial(progress, "probing")
    if team.size == 1:
        with told(tell):
            return _probed(teacher, student, options, expected)
    from net2net_cli.io.gathering import gathering
    from net2net_cli.verify.division import Division, divided

    division = Division(team.rank, team.size, gathering(team))

    def part() -> Probed:
        with divided(division), told(tell):
            return _probed(teacher, student, options, expected)

    return team.together(part)[0]


def _probed(teacher: Model, student: Model, options: ProbeOptions, expected: Expected) -> Probed:
    from net2net_cli.opening import FamilyModel, SpecModel

    if isinstance(teacher, FamilyModel) and isinstance(student, FamilyModel):
        return _probe_families(teacher, student, options, expected)
    if isinstance(teacher, SpecModel) and isinstance(student, SpecModel):
        return _probe_specs(teacher, student, options, expected)
    raise DifferenceError(
        "one of the two is a transformer, the other a network of layers",
        where=student.source.label,
    )


def _probe_specs(
    teacher: SpecModel, student: SpecModel, options: ProbeOptions, expected: Expected
) -> Probed:
    from net2net_cli.verify.deferred import deferred
    from net2net_cli.verify.network import build
    from net2net_cli.verify.parting import first_parting
    from net2net_cli.verify.probe import check_room, probe

    networks = [build(m.spec, deferred(m.source), label=m.source.label) for m in (teacher, student)]
    device = device_for("probe", options.device)
    room = partial(check_room, networks[0], networks[1], memory=options.memory, device=device)
    if options.data is None:  # before they are drawn
        room(options.probes)
    inputs = probe_inputs(teacher, options)
    room(len(next(iter(inputs.values()))))
    if device != "cpu":
        networks = [network.to(device) for network in networks]
        inputs = {name: value.to(device) for name, value in inputs.items()}
    found = probe(networks[0], networks[1], inputs, options.memory)

    def parting(mode: Mode, bound: float) -> Parting | None:
        return first_parting(networks[0], networks[1], inputs, bound, mode, memory=options.memory)

    return Probed(_judged(found, student, options, expected, parting))


def _probe_families(
    teacher: FamilyModel, student: FamilyModel, options: ProbeOptions, expected: Expected
) -> Probed:
    from torch import OutOfMemoryError

    from net2net_cli.verify.pretrained import (
        Pretrained,
        pretrained_parting,
        probe_pretrained,
        unavailable,
    )

    ours, theirs = (Pretrained(m.laid.config, m.source) for m in (teacher, student))
    for model in (ours, theirs):
        if reason := unavailable(model.config):
            return Probed((), reason)
    probes, seed, data = options.probes, options.seed, options.data
    device, memory = device_for("probe", options.device), options.memory
    found = probe_pretrained(
        ours, theirs, probes=probes, seed=seed, data=data, device=device, memory=memory
    )

    notes = list(found.notes)

    def parting(_mode: Mode, bound: float) -> Parting | None:
        try:
            return pretrained_parting(
                ours, theirs, bound, probes=probes, seed=seed, data=data, device=device,
                memory=memory,
            )  # fmt: skip
        except UsageError as error:
            notes.append(f"which block differs first is not told: {error.message}")
        except OutOfMemoryError:
            notes.append(f"which block differs first is not told: memory is used up on {device}")
        return None

    judged = _judged([found.comparison], student, options, expected, parting)
    return Probed(judged, None, tuple(notes))


def _judged(
    found: Sequence[Comparison],
    student: Model,
    options: ProbeOptions,
    expected: Expected,
    parting: Callable[[Mode, float], Parting | None],
) -> tuple[Judged, ...]:
    dtypes = set(student.dtypes.values())
    judged = [Judged(c, _tolerance(c, dtypes, options, expected)) for c in found]
    return tuple(
        j if j.passed else replace(j, parting=parting(j.comparison.mode, j.tolerance))
        for j in judged
    )


DRIFT, BLIND = 2e-2, 1e-6


def remarks(probes: tuple[Judged, ...], expected: Expected) -> tuple[str, ...]:
    """What to know of a probe: that it saw little, or that training begins with a small step."""
    found = []
    for judged in probes:
        c = judged.comparison
        if c.probes > 1 and max(o.spread for o in c.outputs) < BLIND:
            found.append(
                f"in {c.mode} mode the outputs hardly depend on the inputs, so that the probe says"
                " little; give real inputs with --probe-data"
            )
        if expected.noise and c.relative_error:
            found.append(
                f"the noise that was asked for moves the outputs by {c.relative_error:.1%}"
                f" in {c.mode} mode"
            )
        if c.mode == "training" and expected.inserted == "estimated" and c.relative_error > DRIFT:
            found.append(
                "in training mode the statistics of the inserted BatchNorms, which were estimated,"
                f" move the outputs by {c.relative_error:.0%} at the first step;"
                " --calibrate DATA measures them"
            )
    return tuple(found)


def not_finite(
    models: Sequence[Model], team: Team = ALONE, progress: Step | None = None
) -> tuple[str, ...]:
    """A warning for each model that names its tensors with NaN or infinite values, where there are
    any. A team's processes each look at some of them."""
    total = sum(info.nbytes for model in models for info in model.source.tensors.values())
    tally = Tally("looking for NaN", total // team.size, progress)
    return tuple(said for model in models for said in _not_finite(model, team, tally))


def _not_finite(model: Model, team: Team, tally: Tally) -> tuple[str, ...]:
    source = model.source
    largest = sorted(source.tensors.values(), key=lambda info: -info.nbytes)
    mine = [info.name for info in largest[team.rank :: team.size]]
    looked = team.together(lambda: [name for name in mine if not _finite(source, name, tally)])
    found = {name for part in looked for name in part}
    names = [name for name in source.tensors if name in found]
    if not names:
        return ()
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    said = ", ".join(f"`{name}`" for name in names[:3]) + more
    verb = "holds" if len(names) == 1 else "hold"
    return (f"{said} {verb} NaN or infinite values in {model.source.label}",)


LOOKED_AT = 2**22
"""Bytes of a tensor that are looked at together: as many as stay in a core's own cache."""


def _finite(source: Source, name: str, tally: Tally) -> bool:
    import torch

    info = source.tensors[name]
    dtype: torch.dtype = getattr(torch, info.dtype)
    if not dtype.is_floating_point:
        return True
    part = torch.empty(min(info.nbytes, LOOKED_AT) // dtype.itemsize, dtype=dtype)
    for at in range(0, info.nbytes, LOOKED_AT):
        part = part[: (info.nbytes - at) // dtype.itemsize]
        source.read(name, at, raw_bytes(part))
        tally(part.nbytes)
        wide = part.float() if dtype.itemsize == 1 else part  # no float8 can be compared
        if not all(bool(end.isfinite()) for end in wide.aminmax()):
            return False
    return True


def probe_inputs(teacher: SpecModel, options: ProbeOptions) -> dict[str, Tensor]:
    """The inputs from the file that was named, or drawn at random."""
    from net2net_cli.verify.inputs import draw_inputs, load_inputs

    if options.data is not None:
        return load_inputs(options.data, teacher.spec)
    return draw_inputs(teacher.spec, options.probes, options.seed)


def _tolerance(
    comparison: Comparison, dtypes: Sequence[str] | set[str], options: ProbeOptions,
    expected: Expected,
) -> float:  # fmt: skip
    if options.tolerance is not None:
        return options.tolerance
    bound = tolerance(
        dtypes,
        mode=comparison.mode,
        rounding=expected.rounding,
        inserted=expected.inserted,
        evaluated_in=comparison.dtype,
    )
    return max(bound, 10 * expected.noise, expected.drift)


def require(verification: Verification) -> None:
    """Raise NotPreservedError (exit 4) where a verification did not pass."""
    if verification.proof is not None and not verification.proof.holds:
        error = DifferenceError(
            f"the proof fails for {', '.join(verification.proof.failed[:3])}",
            hint="this is a defect of net2net; nothing was written",
        )
        raise NotPreservedError(error, verification)
    for judged in verification.probes:
        if not judged.passed:
            raise NotPreservedError(failure(judged), verification)


def failure(judged: Judged) -> DifferenceError:
    """The error that a failed probe is."""
    c = judged.comparison
    what, hint = (
        f"a relative error of {c.relative_error:.1e}, where {judged.tolerance:.0e} is allowed",
        "--tolerance sets another bound",
    )
    if not c.nan_equal and c.relative_error <= judged.tolerance:
        what = "NaN or infinite values stand in different places"
        hint = "zero weights make NaN of infinite values; --expansion duplicate has none of them"
    where = str(judged.parting) if judged.parting else None
    return DifferenceError(
        f"teacher and student differ in {c.mode} mode: {what}", where=where, hint=hint
    )
