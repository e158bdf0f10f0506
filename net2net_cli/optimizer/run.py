"""Carrying a run's state along while a student is written: match, write, publish."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from net2net_cli.errors import UsageError
from net2net_cli.io import Target
from net2net_cli.layout import Layout
from net2net_cli.opening import Model
from net2net_cli.optimizer.carry import Carried, Carrying, match
from net2net_cli.optimizer.files import (
    Pending,
    Place,
    StateOptions,
    find_state,
    is_flat,
    others_beside,
    pending,
    place_of,
    read_state,
)
from net2net_cli.optimizer.flattened import flattened
from net2net_cli.optimizer.orders import networks
from net2net_cli.optimizer.reading import is_optimizer
from net2net_cli.plan import Plan
from net2net_cli.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from net2net_cli.execute import Measured


@dataclass(frozen=True)
class StateRun:
    """A state that fits, and where it goes. ``files`` go into the student's folder with it;
    ``flat``: it had flat state dicts, and gets such again where it is joined to the weights."""

    carrying: Carrying
    place: Place
    files: dict[str, Path]
    flat: bool = False

    @contextmanager
    def writing(self) -> Iterator[Pending]:
        """The state on its way, while the student is written."""
        with pending(self.place) as way:
            yield way

    def write(
        self, way: Pending, student: Path, measure: Callable[[], Measured], *, overwrite: bool
    ) -> None:
        """Make the student's state and write it, once the ``student`` is verified. It has its name
        before the student has: a run that is killed leaves no student without its state."""
        if not self.place.joined:
            way.write(self.carrying.content(measure), student)
            way.publish(overwrite=overwrite)

    def file(
        self, weights: Mapping[str, Tensor], measure: Callable[[], Measured]
    ) -> Mapping[str, Any]:
        """What a student's torch file holds: what its teacher's does."""
        found: Mapping[str, Any] = self.carrying.content(measure, weights)
        return found

    def folder(
        self,
        weights: Mapping[str, Tensor],
        measure: Callable[[], Measured],
        wrap: Callable[[Mapping[str, Tensor]], Mapping[str, Any]],
    ) -> Mapping[str, Any]:
        """What a student's folder of torch.distributed.checkpoint holds: ``wrap`` says under which
        key the weights lie."""
        content = self.carrying.content(measure, named=True)
        content = {"optim": content} if is_optimizer(content) else content
        found = flattened(content) if self.flat else content
        assert isinstance(found, Mapping)
        return {**wrap(weights), **found}

    def summary(self, way: Pending) -> Carried:
        """What became of it."""
        return replace(self.carrying.summary(), written=str(self.place.shown), nbytes=way.nbytes)


def state_run(
    options: StateOptions | None,
    plan: Plan,
    model: Model,
    recipes: Sequence[Recipe],
    layouts: tuple[Layout, Layout],
    student: Target,
    *,
    overwrite: bool,
) -> StateRun | None:
    """The state to carry along; None where there is none. ``layouts`` are teacher's and student's.

    Raises CheckpointError where it does not fit the teacher, OutputError where it cannot be
    written.
    """
    if options is None:
        return None
    file = options.file or find_state(model.source)
    if file is None:
        if options != StateOptions():
            raise UsageError(
                "there is no optimizer's state beside the checkpoint",
                where=model.source.label,
                hint="say where it is with --optimizer FILE",
            )
        return None
    place = place_of(options, file, student, model.source.files, overwrite=overwrite)
    carrying = match(
        read_state(file),
        str(file),
        networks(plan, model, recipes, *layouts),
        options.map,
        reset=options.reset,
    )
    beside = place.inside is not None and file.parent == model.source.path
    return StateRun(carrying, place, others_beside(file) if beside else {}, is_flat(file))
