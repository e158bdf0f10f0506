"""What the property tests claim of every growth, and what they draw for one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import yaml
from hypothesis import HealthCheck, note, settings

from net2net_cli.api import Choices
from net2net_cli.axes import Width
from net2net_cli.bases import Stored
from net2net_cli.errors import UnreachableError
from net2net_cli.expansion import SPLITS
from net2net_cli.layout import GraphLayout
from net2net_cli.plan import Rescale
from net2net_cli.restore import first_of, restore
from net2net_cli.shrinking import shrink_recipes
from net2net_cli.spec import Document, dump
from tests.support.checkpoints import same
from tests.support.draws import Draws
from tests.support.graphs import network
from tests.support.memory import EXACT, Judge, Student, teacher_of

MEASURED = 1e-8
"""For BatchNorms that hold the statistics of the very batch that probes them."""

FROZEN = (
    "is the network's input", "is the network's output", "counts the network's input ids",
    "aligns it with an axis that never grows", "do not line up", "reorders it against itself",
    "takes its groups across parts", "aligns its one feature with several",
    "normalises over it", "runs along it",
    "moves features along it", "is broadcast over all channels", "both writes and reads it",
)  # fmt: skip
STATISTICS = ("takes mean and variance over", "must all grow by the same whole factor")
PLACES = (
    "cannot be inserted here", "in the source, but", "would have to be zero for",
    "the target's connections do not fit", "shrinks from",
)  # fmt: skip


def examples(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """So many cases, the same in every run."""
    return settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )


def drawn_choices(d: Draws, *expansions: str) -> Choices:
    return Choices(d.pick(expansions or ("auto",)), d.pick(SPLITS), d.number(0, 9))


def more_of(d: Draws, size: int, *, whole: bool) -> int:
    return size * d.number(2, 3) if whole else size + d.number(1, size + 2)


def drawn_sizes(d: Draws, layout: GraphLayout) -> Mapping[Width, int]:
    """New sizes for some of the widths that can grow; in half of the cases whole multiples."""
    free, whole = layout.free(), d.flag()
    return {
        w: more_of(d, layout.sizes[w], whole=whole) for w in free if d.pick([True, True, False])
    }


def check_exact(judge: Judge, target: Document, choices: Choices) -> Student:
    """Grow, hold the student against the teacher, and find the teacher in it again."""
    note(f"{choices}\n{dump(target)}")
    student = judge.grow(target, choices)
    check_back(judge, student)
    if rounds(student):
        return student
    errors = judge.errors(student)
    assert errors["evaluation"] <= EXACT
    if "closed form" not in student.moments:  # an estimate, held to its bound in tests/growth
        assert errors.get("training", 0.0) <= (MEASURED if student.moments else EXACT)
    return student


def check_back(judge: Judge, student: Student) -> None:
    """Shrunk, the student is the teacher: every byte, but for what was rounded."""
    teacher, tensors = judge.model.source, student.model.source.tensors
    found = shrink_recipes(student.plan, tensors, "drawn")
    assert found.known
    assert {info.name: info for info in found.infos} == dict(teacher.tensors)
    for recipe in found.recipes:
        source = student.model.source
        stored = Stored(source.tensors[recipe.source], source.read)
        first = first_of(recipe, stored.info.shape)
        tiles = list(restore(recipe, first, stored, 0, first.rows))
        old = teacher.tensor(recipe.name)
        made = torch.cat(tiles).view(recipe.shape) if tiles else torch.empty_like(old)
        if recipe.rounded:
            assert torch.allclose(made, old, rtol=2 * torch.finfo(old.dtype).eps, atol=0)
        else:
            assert same(made, old), recipe.name


def rounds(student: Student) -> bool:
    """Whether rules that scale weights rounded them in less than float64; tests/growth holds
    those to their bounds."""
    dtypes = {value.dtype for value in student.state.values() if value.is_floating_point()}
    scaled = student.moments or any(isinstance(o, Rescale) for o in student.plan.operations)
    return bool(scaled) and dtypes != {torch.float64}


def judge_of(d: Draws, most: int = 8, dtype: torch.dtype = torch.float64) -> Judge:
    """A drawn network with drawn weights."""
    drawn = network(d, most)
    note(repr(drawn))
    return Judge(teacher_of(drawn.document, d.number(0, 3), dtype))


def refused(error: UnreachableError, *rules: str) -> None:
    """A refusal quotes one of these rules."""
    assert any(rule in error.message for rule in rules), error.message


def plain_data(document: Document) -> dict[str, Any]:
    """The document as lists and dicts that can be changed."""
    return yaml.safe_load(dump(document))
