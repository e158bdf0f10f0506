"""A training run's state for a student: matched against the network first, grown once it is time.

Everything that can be wrong is found by ``match``, before any work; ``Carrying.content`` then makes
what the student's file is to hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from net2net_cli.io.torch_file import wrapper_of
from net2net_cli.optimizer.entries import TensorGrowth, growths
from net2net_cli.optimizer.kinds import Map
from net2net_cli.optimizer.networks import Networks
from net2net_cli.optimizer.order import Groups, assign, student_groups
from net2net_cli.optimizer.reading import OWN, Optimizer, Path, optimizers, saved
from net2net_cli.optimizer.rest import Averages, averages, replaced

if TYPE_CHECKING:
    from torch import Tensor

    from net2net_cli.execute import Measured


@dataclass(frozen=True)
class Carried:
    """What became of a state.

    ``optimizers`` by name; ``map``, by which second moments grew, None where there are none;
    ``order`` says what told the parameters' order. ``grown`` and ``new`` count the student's
    parameters, ``without`` names those that the teacher's optimizer kept nothing for. ``averages``
    are the other keys of the file that were grown, ``passed`` those that are as they were.
    ``written`` is the file that was made, of ``nbytes``.
    """

    file: str
    optimizers: tuple[str, ...]
    map: Map | None
    order: str
    grown: int
    new: int
    without: tuple[str, ...]
    averages: tuple[str, ...]
    passed: tuple[str, ...]
    reset: bool
    written: str = ""
    nbytes: int = 0


@dataclass(frozen=True)
class Carrying:
    """A file's content that fits the teacher. ``groups`` and ``made`` are the names of each
    group's parameters, the teacher's and the student's, of all optimizers one after the other."""

    file: str
    data: Any
    optimizers: tuple[Optimizer, ...]
    groups: Groups
    made: Groups
    order: str
    growths: Mapping[str, TensorGrowth]
    networks: Networks
    averages: tuple[Averages, ...]
    how: Map
    reset: bool

    def summary(self) -> Carried:
        """What becomes of it."""
        kinds = [o.kind for o in self.optimizers if o.kind]
        stepped = any(kind.stepped for kind in kinds) and not self.reset
        made = [name for group in self.made for name in group]
        new = [name for name in made if name not in self.growths]
        paths = [a.path for a in self.averages] + [o.path for o in self.optimizers]
        touched = {path[0] for path in paths if path}
        keys = self.data if isinstance(self.data, Mapping) and self.optimizers[0].path else ()
        return Carried(
            self.file,
            tuple(kind.name for kind in kinds),
            self.how if stepped else None,
            self.order,
            len(made) - len(new),
            len(new),
            () if self.reset else self._without(),
            tuple(dict.fromkeys(str(a.path[0]) for a in self.averages)),
            tuple(str(k) for k in keys if k not in touched and k != wrapper_of(self.data)),
            self.reset,
        )

    def _without(self) -> tuple[str, ...]:
        """The teacher's parameters for which its optimizer keeps nothing, where it does for any."""
        names = [name for group in self.groups for name in group]
        numbers = [(o, number) for o in self.optimizers for number in o.numbers]
        return tuple(
            name
            for name, (optimizer, number) in zip(names, numbers, strict=True)
            if any(optimizer.state.values()) and not optimizer.state.get(number)
        )

    def content(
        self,
        measure: Callable[[], Measured],
        weights: Mapping[str, Tensor] | None = None,
        *,
        named: bool = False,
    ) -> Any:
        """What the student's file holds: without its ``weights``, or with them where the teacher's
        lie. ``measure`` gives the statistics for BatchNorms, which averages of the weights have as
        well. ``named``: parameters go by their names, as in torch.distributed.checkpoint, and not
        by numbers."""
        from net2net_cli.optimizer.averaging import grown_average

        changed: dict[Path, Any] = {}
        first = 0
        for optimizer in self.optimizers:
            last = first + len(optimizer.groups)
            changed[optimizer.path] = self._optimizer(optimizer, first, last, named=named)
            first = last
        for average in self.averages:
            names = [n for group in self.made for n in group]
            changed[average.path] = grown_average(average, self.data, self.networks, names, measure)
        wrapper = wrapper_of(self.data)
        if wrapper is not None and weights is not None:
            changed[wrapper,] = dict(weights)
        left_out = () if wrapper is None or weights is not None else (wrapper,)
        return replaced(self.data, changed, left_out)

    def _optimizer(
        self, optimizer: Optimizer, first: int, last: int, *, named: bool
    ) -> dict[str, Any]:
        """One state dict: torch's numbers run through its groups, as do names where it has them."""
        from net2net_cli.optimizer.growing import Grower, fresh_state

        before = [name for group in self.groups[first:last] for name in group]
        old = dict(zip(before, optimizer.numbers, strict=True))
        grower = Grower(optimizer.kind, self.how) if optimizer.kind and not self.reset else None
        state: dict[Any, Any] = {}
        made, number = [], 0
        for group, names in zip(optimizer.groups, self.made[first:last], strict=True):
            by_name = named or (bool(group["params"]) and isinstance(group["params"][0], str))
            keys: list[Any] = list(names) if by_name else list(range(number, number + len(names)))
            number += len(names)
            for key, name in zip(keys, names, strict=True):
                growth = self.growths.get(name)
                kept = optimizer.state.get(old[growth.source]) if growth else None
                if kept and grower and growth:
                    state[key] = grower.state(kept, growth, group)
                elif optimizer.kind and optimizer.kind.begins(group):
                    state[key] = fresh_state(optimizer.kind, group, self.networks.after[name])
            also = {"param_names": list(names)} if "param_names" in group else {}
            made.append({**group, "params": keys, **also})
        found = {"state": state, "param_groups": made}
        noted = {"param_names": [list(names) for names in self.made[first:last]]}
        return found if named else {**found, OWN: noted}


def match(data: Any, file: str, networks: Networks, how: Map, *, reset: bool) -> Carrying:
    """Match a file's content with the teacher's parameters, and find the student's.

    CheckpointError where the file holds no optimizer's state, an unknown one (unless ``reset``), or
    one that does not fit the network.
    """
    found = optimizers(data, file, reset=reset)
    told = saved(found, data, file)
    orders = [] if told.names is not None else list(networks.orders())
    groups, order = assign(told, orders, networks.before)
    grown = growths(networks.recipes, tuple(networks.after))
    sources = {name: growth.source for name, growth in grown.items()}
    made = student_groups(groups, networks.student(order, sources), sources, networks.after)
    return Carrying(
        file, data, found, groups, made, order.found, grown, networks,
        tuple(averages(data, networks.before, groups, {o.path for o in found})), how, reset,
    )  # fmt: skip
