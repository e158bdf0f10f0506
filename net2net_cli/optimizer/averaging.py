"""Averages of the weights, grown as the weights are: by the plan's own recipes. Needs torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from net2net_cli.execute import Executor, Measured
from net2net_cli.io import MemorySource
from net2net_cli.io.plain import trouble
from net2net_cli.optimizer.networks import Networks
from net2net_cli.optimizer.reading import at
from net2net_cli.optimizer.rest import Averages
from net2net_cli.recipe import Copy


def grown_average(
    average: Averages,
    data: Any,
    networks: Networks,
    order: Sequence[str],
    measure: Callable[[], Measured],
) -> dict[str, Any] | list[Tensor]:
    """An average of the student's weights; splits and fresh units are the student's own, so that
    it computes what the teacher's average does. ``order`` is that of a list."""
    found = at(data, average.path)
    if average.prefix is None:
        found = dict(zip(average.names, found, strict=True))
    prefix, recipes = average.prefix or "", networks.recipes
    held = {
        key.removeprefix(prefix): value.detach()
        for key, value in found.items()
        if isinstance(value, Tensor) and not trouble(value)
    }
    buffers = any(name not in networks.before for name in held)
    executor = Executor(MemorySource(held, "an average"), measure())
    made = {}
    for name, recipe in recipes.items():
        base = recipe.base
        if base.name in held if isinstance(base, Copy) else buffers or name in networks.after:
            made[name] = executor.make(recipe)
    if average.prefix is None:
        return [made[name] for name in order]
    sources = {prefix + r.base.name for r in recipes.values() if isinstance(r.base, Copy)}
    others = {key: value for key, value in found.items() if key not in sources}
    return {**others, **{prefix + name: value for name, value in made.items()}}
