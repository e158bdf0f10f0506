"""The duty of every layer that only the target has: which identities there are, and which refusals.

Whole growths by spec and by command are tested in tests/growth; here is what each layer is told to
do, and that a student which does it computes what its teacher did.
"""

from __future__ import annotations

import pytest

from net2net_cli.api import Choices
from net2net_cli.diff import compare
from net2net_cli.errors import UnreachableError
from net2net_cli.insertion import Duties, Exact, Free, Zero
from net2net_cli.laying import layout_of
from net2net_cli.spec import Document, parse_document, resolve, to_spec
from tests.support.memory import EXACT, Judge, teacher_of

IMAGE = """net2net: 1
input: [3, 6, 5]
layers:
  conv: {type: Conv2d, out_channels: 4, kernel_size: 3}
  bn:   {type: BatchNorm2d}
  relu: {type: ReLU}
  last: {type: Conv2d, out_channels: 2, kernel_size: 2}
"""
SEQUENCE = """net2net: 1
input: [3, 7]
layers:
  conv: {type: Conv1d, out_channels: 4, kernel_size: 1}
  last: {type: Conv1d, out_channels: 2, kernel_size: 2}
"""
VECTOR = """net2net: 1
input: [3]
layers:
  fc:   {type: Linear, out_features: 4}
  act:  {type: Tanh}
  last: {type: Linear, out_features: 2}
"""
RESIDUAL = """net2net: 1
input: [3, 4, 4]
layers:
  stem: {type: Conv2d, out_channels: 4, kernel_size: 1}
  add:
    type: Add
    branches: [{a: {type: Conv2d, out_channels: 4, kernel_size: 3, padding: 1}}, {}]
  cat:
    type: Concat
    branches:
      b1: {b: {type: Conv2d, out_channels: 2, kernel_size: 1}, r: {type: ReLU}}
      b2: {c: {type: Conv2d, out_channels: 3, kernel_size: 1}}
  gate:
    type: Multiply
    branches: [{g: {type: Sigmoid}}, {}]
  last: {type: Conv2d, out_channels: 2, kernel_size: 1}
"""


def extended(source: str, changes: str) -> Document:
    """The source with entries below ``layers:`` changed or added."""
    lines = "\n".join(f"  {line}" for line in changes.strip("\n").splitlines())
    text = f"net2net: 1\nextends: source\nlayers:\n{lines}\n"
    return resolve(parse_document(text, "target.yaml"), parse_document(source, "source.yaml"))


def duties(source: str, changes: str) -> Duties:
    layouts = [
        layout_of(to_spec(document))
        for document in (parse_document(source, "source.yaml"), extended(source, changes))
    ]
    return compare(*layouts).duties


def preserves(source: str, changes: str) -> bool:
    judge = Judge(teacher_of(parse_document(source, "source.yaml")))
    errors = judge.errors(judge.grow(extended(source, changes)))
    return errors["evaluation"] <= EXACT


def refusal(source: str, changes: str) -> UnreachableError:
    with pytest.raises(UnreachableError) as caught:
        duties(source, changes)
    return caught.value


def new(layer: str, after: str) -> str:
    return f"new: {{type: {layer}, after: {after}}}"


def conv(arguments: str, after: str = "relu", kind: str = "Conv2d") -> str:
    return new(f"{kind}, out_channels: 4, {arguments}", after)


def padded(zeros: str, arguments: str, kind: str = "Conv1d") -> str:
    pad = f"pad: {{type: ZeroPad1d, padding: [{zeros}], after: conv}}"
    return f"{pad}\nnew: {{type: {kind}, out_channels: 4, {arguments}}}"


BLOCK = """new:
  type: Add
  after: {after}
  branches: [{{{layers}}}, {{}}]
"""


def block(layers: str, after: str = "relu") -> str:
    return BLOCK.format(after=after, layers=layers)


CONV = "p: {type: Conv2d, out_channels: 4, kernel_size: 1}, "
SHARED = "p: {type: Conv2d, out_channels: 4, kernel_size: 1, share: {bias: conv.bias}}"


# Identities


@pytest.mark.parametrize(
    ("source", "changes", "taps"),
    [
        (IMAGE, conv("kernel_size: 3, padding: 1"), (1, 1)),
        (IMAGE, conv("kernel_size: [1, 5], padding: [0, 2]", "bn"), (0, 2)),
        (IMAGE, conv("kernel_size: 4, padding: same"), (1, 1)),
        (IMAGE, conv("kernel_size: 3, dilation: 2, padding: 2"), (1, 1)),
        (IMAGE, conv("kernel_size: 3, padding: same, dilation: [2, 1]"), (1, 1)),
        (IMAGE, conv("kernel_size: 3, padding: 1, groups: 2"), (1, 1)),
        (IMAGE, conv("kernel_size: 3, padding: 1, groups: 4"), (1, 1)),
        (IMAGE, conv("kernel_size: 3, padding: 1, padding_mode: circular"), (1, 1)),
        (IMAGE, conv("kernel_size: 5, padding: 2", kind="ConvTranspose2d"), (2, 2)),
        (IMAGE, conv("kernel_size: 3, padding: 1, groups: 2", kind="ConvTranspose2d"), (1, 1)),
        (IMAGE, new("Conv2d, out_channels: 3, kernel_size: 3, padding: 1", "input"), (1, 1)),
        (SEQUENCE, padded("0, 1", "kernel_size: 2"), (0,)),
        (SEQUENCE, padded("3, 0", "kernel_size: 4"), (3,)),
        (SEQUENCE, padded("1, 0", "kernel_size: 4, padding: 1"), (2,)),
        (SEQUENCE, padded("2, 0", "kernel_size: 2, dilation: 2"), (1,)),
        (SEQUENCE, padded("0, 1", "kernel_size: 2, padding: 1", "ConvTranspose1d"), (1,)),
    ],
)  # fmt: skip
def test_a_convolutions_one_tap_stands_on_the_value_itself(
    source: str, changes: str, taps: tuple[int, ...]
) -> None:
    assert duties(source, changes).taps["new"] == taps
    assert preserves(source, changes)


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        (VECTOR, new("Linear, out_features: 4", "act")),
        (VECTOR, new("PReLU", "act")),
        (VECTOR, new("PReLU, num_parameters: 4", "fc")),
        (VECTOR, new("Dropout", "act")),
        (VECTOR, new("Hardtanh", "act")),
        (VECTOR, new("BatchNorm1d", "fc")),
        (VECTOR, new("LeakyReLU, negative_slope: 1.0", "fc")),
        (IMAGE, new("ReLU", "relu")),
        (IMAGE, new("LeakyReLU", "relu")),
        (IMAGE, new("ELU", "relu")),
        (IMAGE, new("CELU", "relu")),
        (IMAGE, new("RReLU", "relu")),
        (IMAGE, new("LayerScale", "bn")),
        (IMAGE, new("MaxPool2d, kernel_size: 1", "bn")),
        (IMAGE, new("ZeroPad2d, padding: 0", "bn")),
        (IMAGE, new("Threshold, threshold: -1.0, value: 3.0", "relu")),
        (RESIDUAL, "cat.b1.new: {type: ReLU, after: cat.b1.r}"),
        (RESIDUAL, "cat.b1.new: {type: Conv2d, out_channels: 2, kernel_size: 1, after: cat.b1.b}"),
        (RESIDUAL, new("Linear, out_features: 4", "cat")),
    ],
)
def test_what_passes_its_value_on_is_exact(source: str, changes: str) -> None:
    name = changes.partition(":")[0]
    assert isinstance(duties(source, changes).of[name], Exact)
    assert preserves(source, changes)


def test_maxouts_pieces_are_copies_of_one_value() -> None:
    changes = "new: {type: Linear, out_features: 12, after: fc}\nmax: {type: Maxout, pieces: 3}"
    assert duties(VECTOR, changes).of["max"] == Exact("fc")
    assert duties(VECTOR, changes).of["new"] == Exact("fc", repeat=3)
    assert preserves(VECTOR, changes)


@pytest.mark.parametrize("kind", ["Conv2d", "ConvTranspose2d"])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_maxout_behind_any_convolution(kind: str, groups: int) -> None:
    changes = (
        f"new: {{type: {kind}, out_channels: 8, kernel_size: 3, padding: 1, groups: {groups},"
        " after: bn}\nbn2: {type: BatchNorm2d}\nmax: {type: Maxout, pieces: 2}"
    )
    assert duties(IMAGE, changes).of["new"] == Exact("bn", repeat=2)
    assert preserves(IMAGE, changes)


def test_an_inserted_grouped_convolution_may_grow_at_once() -> None:
    """Nothing but divisibility says how many groups it would have had at the old size."""
    changes = new("Conv2d, out_channels: 36, kernel_size: 1, groups: 6", "relu")
    assert preserves(IMAGE, "conv: {out_channels: 12}\n" + changes)


def test_groups_over_an_axis_that_never_grows_keep_their_number() -> None:
    ids = "input: {x: {shape: [4], dtype: int64, high: 9}}"
    embed = "  e: {type: Embedding, num_embeddings: 9, embedding_dim: 7}\n  conv:"
    source = SEQUENCE.replace("input: [3, 7]", ids).replace("  conv:", embed)
    assert preserves(source, conv("kernel_size: 1, groups: 2", "e", "Conv1d"))


# Branches that add nothing yet


INNER = "p: {type: Conv2d, out_channels: 5, kernel_size: 3, padding: 1}, q: {type: SiLU}, "
END = "r: {type: Conv2d, out_channels: 4, kernel_size: 1}"


@pytest.mark.parametrize(
    ("end", "zeroed"),
    [
        ("", "r"),
        (", s: {type: BatchNorm2d}", "s"),
        (", s: {type: LayerScale}", "s"),
        (", s: {type: GroupNorm, num_groups: 2}", "s"),
        (", s: {type: InstanceNorm2d, affine: true}", "s"),
        (", s: {type: BatchNorm2d, affine: false}", "r"),
        (", s: {type: ReLU}", "r"),
        (", s: {type: PReLU}", "r"),
        (", s: {type: Tanh}, t: {type: Dropout}", "r"),
        (", s: {type: Maxout, pieces: 1}", "r"),
    ],
)
def test_a_residual_branch_ends_in_zeros(end: str, zeroed: str) -> None:
    found = duties(IMAGE, block(INNER + END + end))
    assert found.zeroed == {f"new.{zeroed}"}
    assert found.of["new"] == Exact("relu")
    assert isinstance(found.of["new.p"], Free)
    assert preserves(IMAGE, block(INNER + END + end))


def test_what_stands_behind_the_zeros_passes_them_on() -> None:
    found = duties(IMAGE, block(f"{INNER}{END}, s: {{type: ReLU}}"))
    assert found.of["new.s"] == Zero()


def test_an_inner_width_that_only_new_layers_have_may_be_any() -> None:
    assert preserves(IMAGE, block("p: {type: Conv2d, out_channels: 9, kernel_size: 1}, " + END))


def test_a_norm_in_a_new_branch_does_not_bind_the_stream() -> None:
    """What it computes is not read yet, so that the stream may grow to any size."""
    changes = block("n: {type: GroupNorm, num_groups: 1}, " + END.replace("4", "7"))
    assert preserves(IMAGE, "conv: {out_channels: 7}\n" + changes)


def test_a_new_branch_of_a_sum_is_zero_and_of_a_concatenation_free() -> None:
    new = "n: {type: Conv2d, out_channels: 4, kernel_size: 1}"
    changes = f"add: {{branches: [{{{new}}}]}}\ncat: {{branches: {{b3: {{{new}}}}}}}"
    found = duties(RESIDUAL, changes.replace("[{n:", "[{m:"))
    assert found.of["add.m"] == Zero()
    assert found.of["cat.b3.n"] == Free()
    assert preserves(RESIDUAL, changes.replace("[{n:", "[{m:"))


@pytest.mark.parametrize("expansion", ["duplicate", "fresh", "auto"])
def test_a_new_branch_is_fresh_whatever_the_expansion(expansion: str) -> None:
    changes = "cat: {branches: {b3: {n: {type: Conv2d, out_channels: 4, kernel_size: 1}}}}"
    judge = Judge(teacher_of(parse_document(RESIDUAL, "source.yaml")))
    student = judge.grow(extended(RESIDUAL, changes), Choices(expansion))
    assert judge.errors(student)["evaluation"] <= EXACT


# Refusals


CROPPED = "kernel_size: 1, padding: 2, dilation: 2, output_padding: 1"


@pytest.mark.parametrize(
    ("source", "changes", "says"),
    [
        (IMAGE, new("ReLU", "bn"), "ReLU keeps only values in [0, inf], but `bn` gives any value"),
        (VECTOR, new("ReLU6", "act"), "ReLU6 keeps only values in [0, 6], but `act` gives [-1, 1]"),
        (VECTOR, new("Hardtanh, max_val: 0.5", "act"), "only values in [-1, 0.5]"),
        (VECTOR, new("Threshold, threshold: -1.0, value: 0.0", "act"), "gives [-1, 1]"),
        (VECTOR, new("GELU", "act"), "GELU leaves no interval of values as it is"),
        (SEQUENCE, new("Conv1d, out_channels: 4, kernel_size: 3", "conv"), "it makes 7 into 5"),
        (IMAGE, conv("kernel_size: 1, stride: 2"), "its stride drops values"),
        (IMAGE, conv("kernel_size: 2, dilation: 3, padding: same"), "no multiple of its dilation"),
        (IMAGE, new("ZeroPad2d, padding: 1", "relu"), "padding changes the size"),
        (IMAGE, new("BatchNorm2d, affine: false", "relu"), "it cannot undo itself"),
        (IMAGE, new("BatchNorm2d, track_running_stats: false", "relu"), "it cannot undo itself"),
        (IMAGE, new("AvgPool2d, kernel_size: 1, divisor_override: 2", "relu"), "loses values"),
        (IMAGE, new("LPPool2d, kernel_size: 1, norm_type: 2", "bn"), "lose signs"),
        (IMAGE, new("GroupNorm, num_groups: 1", "relu"), "GroupNorm is no identity"),
        (VECTOR, new("Softmax, dim: 1", "act"), "Softmax is no identity"),
        (VECTOR, new("Linear, out_features: 4, share: {bias: fc.bias}", "act"), "it shares its"),
        (SEQUENCE, padded("0, 3", CROPPED, "ConvTranspose1d"), "no tap stands on the value"),
        (IMAGE, block(CONV + "q: {type: Sigmoid}"), "Sigmoid does not keep zeros"),
        (IMAGE, block(CONV + "q: {type: Softmax, dim: 1}"), "Softmax does not keep zeros"),
        (IMAGE, block(SHARED), "Conv2d with another's parameters does not keep zeros"),
        (IMAGE, block(CONV + "q: {type: ConstantPad2d, padding: 0, value: 1.0}"), "keep zeros"),
        (RESIDUAL, "gate: {branches: [{n: {type: Tanh}}]}", "would have to be one everywhere"),
    ],
)  # fmt: skip
def test_what_cannot_preserve_is_refused_with_its_rule(
    source: str, changes: str, says: str
) -> None:
    assert says in refusal(source, changes).message


@pytest.mark.parametrize(
    ("source", "changes", "hint"),
    [
        (IMAGE, new("ReLU", "bn"), "it can stand after `relu`"),
        (VECTOR, new("ReLU", "act"), "use PReLU, whose slope starts at 1"),
        (VECTOR, new("Tanh", "act"), "PReLU anywhere"),
        (IMAGE, conv("kernel_size: 1, stride: 2"), "use stride 1"),
        (IMAGE, new("ZeroPad2d, padding: 1", "relu"), "right behind"),
        (IMAGE, block("p: {type: Softplus}"), "end the branch with a convolution"),
    ],
)  # fmt: skip
def test_a_refusal_names_what_would_work(source: str, changes: str, hint: str) -> None:
    assert hint in str(refusal(source, changes).hint)


@pytest.mark.parametrize("other", ["input", "conv"])
def test_nothing_that_the_teacher_computes_can_be_added_as_zero(other: str) -> None:
    """The network's input neither: it is no layer that could be told to be zero."""
    source = IMAGE.replace("out_channels: 4, kernel_size: 3", "out_channels: 3, kernel_size: 1")
    error = refusal(source, f"new: {{type: Add, inputs: [bn, {other}], after: bn}}")
    assert f"`{other}` would have to be zero for `new`" in error.message
    assert error.where is not None


def test_a_layer_that_reads_something_else_is_no_growth() -> None:
    text = IMAGE.replace("{type: ReLU}", "{type: ReLU, inputs: conv}")
    layouts = [layout_of(to_spec(parse_document(t, "t"))) for t in (IMAGE, text)]
    with pytest.raises(UnreachableError, match="`relu` reads `bn` in the source, but only `conv`"):
        compare(*layouts)


def test_parts_laid_end_to_end_keep_their_order() -> None:
    swapped = RESIDUAL.replace("b1: {b:", "b0: {b:").replace("b2: {c:", "b1: {c:")
    first, second = swapped.index("      b0:"), swapped.index("      b1:")
    end = swapped.index("  gate:")
    text = swapped[:first] + swapped[second:end] + swapped[first:second] + swapped[end:]
    text += "rename: {cat.b1.b: cat.b0.b, cat.b1.r: cat.b0.r, cat.b2.c: cat.b1.c}\n"
    layouts = [layout_of(to_spec(parse_document(t, "t"))) for t in (RESIDUAL, text)]
    with pytest.raises(UnreachableError, match="in another order than the source"):
        compare(*layouts)


def test_an_inserted_layer_narrower_than_its_value_is_refused() -> None:
    changes = new("Conv2d, out_channels: 3, kernel_size: 1", "relu")
    judge = Judge(teacher_of(parse_document(IMAGE, "source.yaml")))
    with pytest.raises(UnreachableError, match="`new` shrinks from 4 to 3"):
        judge.grow(extended(IMAGE, changes))
