"""Teacher and student, as far as an optimizer's state concerns them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from net2net_cli.optimizer.order import Order, Shape
from net2net_cli.recipe import Recipe


@dataclass(frozen=True)
class Networks:
    """Teacher and student, as the state sees them: recipes by name, the shapes of the parameters
    of both, the orders that the teacher's may have, and the student's, given the teacher's and what
    each of its own parameters continues."""

    recipes: Mapping[str, Recipe]
    before: Mapping[str, Shape]
    after: Mapping[str, Shape]
    orders: Callable[[], Sequence[Order]]
    student: Callable[[Order, Mapping[str, str]], Sequence[str]]
