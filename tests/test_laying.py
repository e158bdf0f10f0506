"""Layouts: which values fit which layers, and what each width bears."""

from __future__ import annotations

import pytest

from net2net_cli.axes import Unifier, Width
from net2net_cli.errors import SpecError, UnreachableError
from net2net_cli.laying import layout_of
from net2net_cli.layout import GraphLayout
from net2net_cli.plan import Rescale
from net2net_cli.spec import to_spec
from tests.support.memory import EXACT, Judge, teacher_of
from tests.test_solve import document, grows

IDS = "{ids: {shape: [3], dtype: int64, high: 9}}"


def layout(layers: str, shape: str = "[4]") -> GraphLayout:
    return layout_of(to_spec(document(layers, shape)))


# Whole numbers


@pytest.mark.parametrize(
    "layers",
    [
        "l: {type: Linear, out_features: 2}",
        "d: {type: Dropout}",
        "f: {type: Flatten}\nl: {type: Linear, out_features: 2}",
        "a: {type: Add, inputs: [ids, ids]}\nn: {type: LayerNorm}",
    ],
)
def test_whole_numbers_are_read_by_embeddings_alone(layers: str) -> None:
    with pytest.raises(SpecError, match="which holds whole numbers"):
        layout(layers, IDS)


def test_an_embedding_reads_nothing_else() -> None:
    with pytest.raises(SpecError, match="`e` looks up whole numbers, but `input` holds none"):
        layout("e: {type: Embedding, num_embeddings: 4, embedding_dim: 2}")


def test_ids_may_be_moved_before_they_are_looked_up() -> None:
    embed = "e: {type: Embedding, num_embeddings: 9, embedding_dim: 2}"
    found = layout(f"f: {{type: Flatten}}\n{embed}\nl: {{type: Linear, out_features: 2}}", IDS)
    assert [found.size(axis) for axis in found.values["l"].axes] == [3, 2]


# What moves, cuts and joins axes


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ("x: {type: Chunk, chunks: 3, index: 0, dim: 2}", "cuts 4 into 3 chunks"),
        ("x: {type: Slice, dim: 1, start: 9}", "takes nothing"),
        ("x: {type: Slice, dim: 0}", "acts on axis 0"),
        ("x: {type: Select, dim: 1, index: 6}", "selects 6 of 6"),
        ("x: {type: Unflatten, dim: 1, unflattened_size: [4, -1]}", r"cannot view 6 as \[4, -1\]"),
        ("x: {type: Reshape, shape: [5, 5]}", r"cannot view 24 as \[5, 5\]"),
        ("x: {type: Squeeze, dim: 1}", "squeezes an axis of size 6"),
        ("x: {type: Expand, sizes: [7, -1]}", r"cannot expand \[6, 4\] to \[7, -1\]"),
        ("x: {type: Roll, shifts: [1, 1], dims: [1, -2]}", "names an axis twice"),
        ("x: {type: Pad, pad: [-2, -2]}", "leaves nothing"),
        ("x: {type: Pad, pad: [0, 0, 0, 0, 1, 1]}", "pads 3 axes"),
        ("x: {type: Unfold, kernel_size: 2}", "needs 3 axes"),
        ("x: {type: Constant, value: [[1, 2], [3]]}", "lists of different lengths"),
        ("x: {type: Constant, shape: [2], data: 'no base64!'}", "no base64 text"),
        ("x: {type: Constant, shape: [2], data: eJwDAAAAAAE=}", "that is not 8 bytes"),
        ("x: {type: Constant, shape: [99999, 99999], data: eJwDAAAAAAE=}", "a spec at most"),
        ("x: {type: Parameter, shape: [3, 2], batched: true}", "first axis has 3 entries"),
        ("x: {type: IndexSelect, dim: 1, inputs: [input, input]}", "looks up whole numbers"),
        ("x: {type: LayerNorm2d}", "normalises the channels of an image"),
        ("x: {type: MatMul, inputs: [input, input]}", "multiplies sizes that differ: 4 and 6"),
        ("x: {type: Einsum, equation: 'nij,njk->nik', inputs: [input, input]}", "as `j`: 4 and 6"),
        ("x: {type: Einsum, equation: 'nijk->nik', inputs: input}", "does not fit inputs with 3"),
    ],
)
def test_what_does_not_fit_its_input_is_refused(layers: str, says: str) -> None:
    with pytest.raises(SpecError, match=f"`x` .*{says}|`x` {says}"):
        layout(layers, "[6, 4]")


def test_a_layer_that_reads_other_values_in_another_order_is_refused() -> None:
    lines = """a: {type: Linear, out_features: 3}
b: {type: Linear, out_features: 3, inputs: input}
x: {type: Subtract, inputs: [a, b]}
last: {type: Linear, out_features: 2}"""
    judge = Judge(teacher_of(document(lines, "[4]")))
    with pytest.raises(UnreachableError, match="`x` reads `a` in the source"):
        judge.grow(document(lines.replace("[a, b]", "[b, a]").replace("3", "5"), "[4]"))


# What is one, in large


def test_a_stream_of_any_depth_is_one_width() -> None:
    """Thousands of blocks lead to no chain of names that only recursion could follow."""
    u = Unifier()
    first = stream = u.width("stem", 4)
    for block in range(3000):
        new = u.width(f"block{block}", 4)
        u.unify(new, stream, "add")
        stream = new
    assert u.resolve(stream) == u.resolve(first) == Width("stem")


def test_a_width_has_the_name_of_the_first_layer_that_has_it() -> None:
    terms = "a: {type: Linear, out_features: 5}\nb: {type: Linear, out_features: 5}\n"
    found = layout(f"{terms}s: {{type: Add, inputs: [b, a]}}\nl: {{type: Linear, out_features: 2}}")
    assert found.free() == (Width("a"),)
    assert found.members(Width("a")) == ("a", "b", "l")


# Norms


CONCAT_PERMUTED = """
a: {type: Conv2d, out_channels: A, kernel_size: 1, inputs: input}
b: {type: Conv2d, out_channels: B, kernel_size: 1, inputs: input}
c: {type: Concat, inputs: [a, b]}
p: {type: Permute, dims: [2, 3, 1]}
n: {type: LayerNorm, normalized_shape: [4, 4, BOTH]}
f: {type: Flatten}
l: {type: Linear, out_features: 3}
"""


def concat_permuted(a: int, b: int) -> str:
    text = CONCAT_PERMUTED.replace("BOTH", str(a + b))
    return text.replace(": A,", f": {a},").replace(": B,", f": {b},")


def test_parts_inside_of_a_normalised_product_grow_by_one_factor() -> None:
    source = document(concat_permuted(2, 3))
    assert grows(source, document(concat_permuted(4, 6))) <= EXACT
    with pytest.raises(UnreachableError, match="must all grow by the same whole factor"):
        grows(source, document(concat_permuted(4, 3)))
    with pytest.raises(UnreachableError, match="must all grow by the same whole factor"):
        grows(source, document(concat_permuted(4, 9)))


def test_new_features_before_a_norm_are_refused_and_not_divided_by() -> None:
    norm = "n: {type: GroupNorm, num_groups: 1}\nl: {type: Conv2d, out_channels: 3, kernel_size: 1}"
    a, b = (f"{x}: {{type: Conv2d, out_channels: 2, kernel_size: 1, inputs: input}}" for x in "ab")
    source = document(f"{a}\nc: {{type: Concat, inputs: [a]}}\n{norm}")
    target = document(f"{a}\n{b}\nc: {{type: Concat, inputs: [a, b]}}\n{norm}")
    with pytest.raises(UnreachableError, match="takes mean and variance over each group"):
        grows(source, target)


STREAM = """
a: {type: Linear, out_features: SIZE}
n: {type: LayerNorm}
b: {type: Linear, out_features: 3}
c: {type: Concat, inputs: [a, b]}
l: {type: Linear, out_features: 2}
"""


def test_a_stream_under_a_norm_grows_by_its_mean_beside_other_parts_too() -> None:
    """A reader of parts laid end to end leaves the new columns blank, whatever they hold."""
    judge = Judge(teacher_of(document(STREAM.replace("SIZE", "4"), "[4]")))
    student = judge.grow(document(STREAM.replace("SIZE", "7"), "[4]"))
    assert [o.layer for o in student.plan.operations if isinstance(o, Rescale)] == ["n"]
    assert judge.errors(student)["evaluation"] <= EXACT


def test_new_features_never_reach_the_networks_output() -> None:
    """Not even those that no layer of the source reads."""
    source = document("a: {type: Linear, out_features: 3, inputs: input}\n"
                      "c: {type: Concat, inputs: [a]}", "[4]")  # fmt: skip
    for new in ("b", "input"):
        target = document("a: {type: Linear, out_features: 3, inputs: input}\n"
                          "b: {type: Linear, out_features: 2, inputs: input}\n"
                          f"c: {{type: Concat, inputs: [a, {new}]}}", "[4]")  # fmt: skip
        with pytest.raises(UnreachableError, match=r"network's output|do not fit"):
            grows(source, target)
