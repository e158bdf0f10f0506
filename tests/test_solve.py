"""Each width's size in the source: read off, solved for together, or found by trying."""

from __future__ import annotations

import pytest

from net2net_cli.api import Choices
from net2net_cli.errors import UnreachableError
from net2net_cli.spec import Document, parse_document
from tests.support.memory import EXACT, Judge, teacher_of, with_sizes


def document(layers: str, shape: str = "[4, 4, 4]") -> Document:
    lines = "\n".join(f"  {line}" for line in layers.strip().splitlines())
    return parse_document(f"net2net: 1\ninput: {shape}\nlayers:\n{lines}\n", "net.yaml")


def grows(source: Document, target: Document, choices: Choices | None = None) -> float:
    """The error of the student, in evaluation mode."""
    judge = Judge(teacher_of(source))
    return judge.errors(judge.grow(target, choices))["evaluation"]


SHUFFLED_AGAINST_ITSELF = """
shuffle: {type: ChannelShuffle, groups: 2}
a: {type: ConvTranspose2d, out_channels: 4, kernel_size: 1, groups: 2}
b: {type: ConvTranspose2d, out_channels: 4, kernel_size: 1, groups: 2, share: {weight: a.weight}, inputs: input}
both: {type: Add, inputs: [a, b]}
"""  # noqa: E501

THIRDS = """
a: {type: Conv2d, out_channels: A, kernel_size: 1, inputs: input}
b: {type: Conv2d, out_channels: B, kernel_size: 1, inputs: input}
both: {type: Concat, inputs: [a, b]}
c: {type: Conv2d, out_channels: 3, kernel_size: 1, groups: 3}
"""

GROUPED = """
a: {type: Conv2d, out_channels: A, kernel_size: 1, inputs: input}
b: {type: Conv2d, out_channels: B, kernel_size: 1, inputs: input}
both: {type: Concat, inputs: [a, b]}
c: {type: ConvTranspose2d, out_channels: OUT, kernel_size: 1, groups: G}
d: {type: Conv2d, out_channels: 3, kernel_size: 1}
"""


def sized(text: str, **sizes: int) -> Document:
    for name, size in sizes.items():
        text = text.replace(f": {name},", f": {size},").replace(f": {name}}}", f": {size}}}")
    return document(text)


def test_an_equal_target_is_no_change_however_its_widths_are_tied() -> None:
    """A width that is shuffled against itself stands in an equation with its own square."""
    source = document(SHUFFLED_AGAINST_ITSELF)
    assert not Judge(teacher_of(source)).grow(source).plan.changes


@pytest.mark.parametrize("expansion", ["fresh", "duplicate"])
def test_widths_that_every_equation_counts_twice_are_solved_together(expansion: str) -> None:
    """Three groups over two parts cut both crosswise: a = (i j i), b = (j i j)."""
    source, target = sized(THIRDS, A=3, B=3), sized(THIRDS, A=8, B=10)
    assert grows(source, target, Choices(expansion)) <= EXACT


@pytest.mark.parametrize("expansion", ["fresh", "duplicate"])
def test_groups_and_channels_a_group_are_told_apart_by_the_tensor(expansion: str) -> None:
    """The size of a ConvTranspose's first axis is their product alone."""
    source = sized(GROUPED, A=3, B=3, OUT=4, G=2)
    target = sized(GROUPED, A=14, B=28, OUT=12, G=6)
    assert grows(source, target, Choices(expansion)) <= EXACT


def test_connections_that_differ_are_refused_where_they_do() -> None:
    """The same value laid end to end once more would have to be old and new at once."""
    source = document("cat: {type: Concat, inputs: [input, input]}\n"
                      "c: {type: Conv2d, out_channels: 3, kernel_size: 1}")  # fmt: skip
    target = document("cat: {type: Concat, inputs: [input, input, input]}\n"
                      "c: {type: Conv2d, out_channels: 3, kernel_size: 1}")  # fmt: skip
    with pytest.raises(UnreachableError, match="connections do not fit the source's sizes"):
        grows(source, target)


def test_sizes_that_fit_the_layout_fit_the_growth() -> None:
    source = sized(THIRDS, A=3, B=3)
    layout = teacher_of(source).layout
    target = with_sizes(source, layout, {**layout.sizes, **dict.fromkeys(layout.free(), 3)})
    assert grows(source, target) <= EXACT


def test_groups_that_nothing_tells_are_tried_down_to_none() -> None:
    """A width of no features takes those that it multiplies out of an equation."""
    source = document("e: {type: Conv2d, out_channels: 4, kernel_size: 1}")
    target = document(
        "e: {type: Conv2d, out_channels: 4, kernel_size: 1}\n"
        "new: {type: Conv2d, out_channels: 12, kernel_size: 1, groups: 2}\n"
        "flat: {type: Linear, out_features: 5}\n"
        "max: {type: Maxout, pieces: 3}"
    )
    with pytest.raises(UnreachableError, match=r"do not fit|cannot grow"):
        grows(source, target)
