"""What BatchNorms that come in or grow hold as running statistics, where no closed form says it.

An inserted one that undoes itself takes the statistics of the teacher's value that passes through
it. Channels of fresh units have torch's defaults, mean 0 and variance 1, unless data are given:
then they take the statistics of the student's own values, in one pass of it, in which each norm
has its statistics before the next layer runs. What reads fresh channels has zero weights, so that
the function stays what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from net2net_cli.axismap import Code
from net2net_cli.errors import CheckpointError, UsageError
from net2net_cli.io import TensorInfo
from net2net_cli.io.tensors import raw_bytes
from net2net_cli.opening import Model, SpecModel
from net2net_cli.recipe import Fresh, Moments, Recipe
from net2net_cli.spec import parse_document, to_spec
from net2net_cli.verification import ProbeOptions, probe_inputs

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from net2net_cli.execute import Executor, Measured
    from net2net_cli.network import Spec
    from net2net_cli.plan import Plan
    from net2net_cli.verify.comparison import Mode

MEASURED_ON = 16
"""How many random inputs give a BatchNorm's statistics where nothing else does: a number of its
own, so that the bytes written depend on plan, checkpoint and seed alone."""

T = TypeVar("T")


def idle(plan: Plan, data: object, named: str) -> tuple[str, ...]:
    """What to warn of where there are data, which the user gave as ``named``, and nothing takes
    statistics from them."""
    said = f"{named} has nothing to measure: no BatchNorm comes in, and none grows by fresh units"
    return () if data is None or plan.takers else (said,)


def measured(recipes: Sequence[Recipe], plan: Plan, model: Model, data: Path | None) -> Measured:
    """The statistics that recipes ask for, and those of fresh channels where there are ``data``, a
    file of inputs.

    Raises UsageError where the plan takes them from data and there are none, or too few;
    CheckpointError for data that do not fit, or that are not finite.
    """
    from net2net_cli.execute import Executor, Measured

    if data is None and any(o.moments == "calibration" for o in plan.takers):
        raise UsageError(
            "the plan takes BatchNorm statistics from data", hint="give them with --calibrate DATA"
        )
    names = {r.base.value for r in recipes if isinstance(r.base, Moments) and not r.base.normal}
    fresh = data is not None and any(_has_new(recipe) for recipe in recipes)
    if not names and not fresh:
        return Measured()
    assert isinstance(model, SpecModel), "families have no BatchNorm"
    inputs = _inputs(model, plan, data)
    mode: Mode = "training" if plan.choices.mode == "training" else "evaluation"
    values = _teachers(model, inputs, names, mode, data) if names else {}
    if not fresh:
        return Measured(values)
    executor = Executor(model.source, Measured(values))
    spec = to_spec(parse_document(plan.student, "the student's spec"))
    return Measured(values, _students(spec, recipes, executor, inputs, mode, data))


def new_channels(recipe: Recipe) -> list[bool]:
    """Which entries along a tensor's first axis are those of fresh units."""
    if isinstance(recipe.base, Fresh):
        return [True] * recipe.shape[0]
    return [code == Code.FRESH for code in recipe.axes[0].code]


def _has_new(recipe: Recipe) -> bool:
    return recipe.name.endswith(".running_mean") and any(new_channels(recipe))


def _inputs(model: SpecModel, plan: Plan, data: Path | None) -> dict[str, Tensor]:
    found = probe_inputs(model, ProbeOptions(MEASURED_ON, data, plan.choices.seed))
    for name, value in found.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise CheckpointError(
                f"input {name} holds NaN or infinite values, which have no statistics",
                where=str(data),
            )
    return found


def _teachers(
    model: SpecModel, inputs: Mapping[str, Tensor], names: set[str], mode: Mode, data: Path | None
) -> dict[str, tuple[Tensor, Tensor]]:
    """Statistics of the teacher's values."""
    from net2net_cli.verify.deferred import deferred
    from net2net_cli.verify.network import build
    from net2net_cli.verify.statistics import value_statistics

    network = build(model.spec, deferred(model.source), label=model.source.label)
    found = _run(lambda: value_statistics(network, inputs, names, mode), data)
    return {name: (s.mean, s.variance) for name, s in found.items()}


def _students(
    spec: Spec,
    recipes: Sequence[Recipe],
    executor: Executor,
    inputs: Mapping[str, Tensor],
    mode: Mode,
    data: Path | None,
) -> dict[str, Tensor]:
    """Statistics of the student's values in fresh channels, by the keys of their recipes; NaN in
    all other channels."""
    import torch

    from net2net_cli.verify.deferred import deferred
    from net2net_cli.verify.network import build
    from net2net_cli.verify.statistics import settled_statistics

    made = {recipe.name: recipe for recipe in recipes}
    network = build(spec, deferred(_Making(executor, made)), label="the student")
    norms = {
        layer.name: torch.tensor(new_channels(made[name]))
        for layer in spec.layers
        if layer.type.startswith("BatchNorm") and "running_mean" not in layer.share
        if (name := f"{layer.name}.running_mean") in made and any(new_channels(made[name]))
    }
    found = _run(lambda: settled_statistics(network, inputs, norms, mode), data)
    values = {}
    for name, statistics in found.items():
        for part, value in (("mean", statistics.mean), ("var", statistics.variance)):
            if not bool(value[norms[name]].isfinite().all()):
                raise CheckpointError(
                    f"the values that reach `{name}` are NaN or infinite", where=str(data)
                )
            key = made[f"{name}.running_{part}"].key
            values[key] = value.where(norms[name], torch.nan)
    return values


def _run(measure: Callable[[], T], data: Path | None) -> T:
    """UsageError where torch refuses to take statistics of one value a channel."""
    try:
        return measure()
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UsageError(
            "training mode takes statistics of more than one value a channel",
            where=None if data is None else str(data),
            hint="give more examples, or say `--mode evaluation`",
        ) from error


class _Making:
    """A student's tensors, each made when it is used. A few are kept: what goes through in parts
    asks for its own once a part."""

    def __init__(self, executor: Executor, recipes: Mapping[str, Recipe]) -> None:
        self.tensors: Mapping[str, TensorInfo] = {
            r.name: TensorInfo(r.name, r.dtype, r.shape) for r in recipes.values()
        }
        self.made = lru_cache(maxsize=2)(lambda name: executor.make(recipes[name]))

    def read(self, name: str, at: int, into: memoryview) -> None:
        """Fill ``into`` with a tensor's bytes from ``at`` on."""
        into[:] = raw_bytes(self.made(name))[at : at + len(into)]
