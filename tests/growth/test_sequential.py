"""Deepening an nn.Sequential gives an nn.Sequential: the tensors fit one built by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from net2net_cli.api import Plan, deepen_plan, open_model
from net2net_cli.plan import Insert
from net2net_cli.report import Outcome, graphs_of
from tests.growth.nets import (
    EXACT,
    Student,
    Teacher,
    chain,
    difference,
    save_spec,
    save_teacher,
    worst,
)
from tests.support.command import Net2Net
from tests.verify.hand_built import randomize

BATCH = (torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)),)
IMAGES = (torch.randn(4, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2)),)

MIXED = """\
net2net: 1
input: [6]
layers:
  0: {type: Linear, out_features: 8}
  1: {type: ReLU}
  2: {type: BatchNorm1d}
  3: {type: Linear, out_features: 8}
  4: {type: ReLU}
  5: {type: Linear, out_features: 3}
"""


def mixed() -> nn.Sequential:
    head = [nn.Linear(6, 8), nn.ReLU(), nn.BatchNorm1d(8)]
    return nn.Sequential(*head, nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


def teacher_of(folder: Path, spec: str, module: nn.Module) -> Teacher:
    torch.manual_seed(0)
    return save_teacher(folder, spec, randomize(module))


def deepened(teacher: Teacher, after: str, count: int = 1, name: str | None = None) -> Student:
    return teacher.apply(deepen_plan(teacher.model, after, name, count))


def inserted(plan: Plan) -> list[str]:
    return [o.layer for o in plan.operations if isinstance(o, Insert)]


def test_new_layers_take_the_next_numbers(tmp_path):
    teacher = teacher_of(tmp_path, MIXED, mixed())
    student = deepened(teacher, "3")
    assert inserted(student.plan) == ["5", "6"]
    assert student.plan.notes == ("later layers are renumbered: `5` is now `7`",)
    by_hand = nn.Sequential(*mixed()[:5], nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    assert worst(teacher.module, student.into(by_hand), BATCH) <= EXACT
    assert torch.equal(student.state["7.weight"], teacher.module[5].weight)
    assert torch.equal(student.state["5.weight"], torch.eye(8, dtype=torch.float64))


def test_a_unit_with_its_norm_goes_where_it_is_an_identity(tmp_path):
    """Behind the BatchNorm its ReLU would cut values off, so that it goes behind the ReLU."""
    teacher = teacher_of(tmp_path, MIXED, mixed())
    student = deepened(teacher, "0")
    assert inserted(student.plan) == ["2", "3", "4"]
    assert "inserted after `1`" in student.plan.notes[0]
    new = [nn.Linear(8, 8), nn.ReLU(), nn.BatchNorm1d(8)]
    by_hand = nn.Sequential(*mixed()[:2], *new, *mixed()[2:])
    assert difference(teacher.module, student.into(by_hand), BATCH) <= EXACT


@pytest.mark.parametrize("count", [2, 3])
def test_several_copies_are_numbered_through(tmp_path, count):
    teacher = teacher_of(tmp_path, MIXED, mixed())
    student = deepened(teacher, "4", count)
    assert inserted(student.plan) == [str(5 + n) for n in range(2 * count)]
    new = [layer for _ in range(count) for layer in (nn.Linear(8, 8), nn.ReLU())]
    by_hand = nn.Sequential(*mixed()[:5], *new, nn.Linear(8, 3))
    assert worst(teacher.module, student.into(by_hand), BATCH) <= EXACT


def test_several_deepenings_in_a_row(tmp_path):
    """Each reads the spec that the one before left in its student."""
    teacher = teacher_of(tmp_path, MIXED, mixed())
    for turn, after in enumerate(["3", "7", "0", "11"]):
        student = teacher.apply(deepen_plan(teacher.model, after), f"student{turn}")
        teacher = Teacher(open_model(str(student.path)), teacher.module, tmp_path)
    relu, norm = nn.ReLU(), nn.BatchNorm1d(8)
    by_hand = nn.Sequential(
        nn.Linear(6, 8), relu, nn.Linear(8, 8), relu, norm, nn.BatchNorm1d(8),
        nn.Linear(8, 8), relu, nn.Linear(8, 8), relu, nn.Linear(8, 3), nn.Linear(3, 3),
        nn.Linear(3, 3),
    )  # fmt: skip
    assert difference(teacher.module, student.into(by_hand), BATCH) <= EXACT


ALIKE = "net2net: 1\ninput: [5]\nlayers:\n" + "".join(
    f"  {n}: {{type: Linear, out_features: 5}}\n" for n in range(5)
)


@pytest.mark.parametrize("after", range(5))
@pytest.mark.parametrize("count", [1, 3])
def test_layers_that_look_alike_are_told_apart(tmp_path, after, count):
    """The names say which is new, where neither types nor sizes do."""
    teacher = teacher_of(tmp_path, ALIKE, nn.Sequential(*(nn.Linear(5, 5) for _ in range(5))))
    student = deepened(teacher, str(after), count)
    names = [n if n <= after else n + count for n in range(5)]
    for old, new in enumerate(names):
        assert torch.equal(student.state[f"{new}.weight"], teacher.module[old].weight)
    for new in set(range(5 + count)) - set(names):
        assert torch.equal(student.state[f"{new}.weight"], torch.eye(5, dtype=torch.float64))


NESTED = """\
net2net: 1
input: [3, 8, 8]
layers:
  features:
    0: {type: Conv2d, out_channels: 4, kernel_size: 3, padding: 1, bias: false}
    1: {type: BatchNorm2d}
    2: {type: ReLU}
    3: {type: MaxPool2d, kernel_size: 2}
    4:
      0: {type: Conv2d, out_channels: 6, kernel_size: 3, padding: 1}
      1: {type: ReLU}
    5: {type: Conv2d, out_channels: 6, kernel_size: 1}
    6: {type: ReLU}
  flat: {type: Flatten}
  classifier:
    0: {type: Linear, out_features: 5}
    1: {type: ReLU}
    2: {type: Linear, out_features: 2}
"""
FLAT = NESTED.partition("layers:")[0] + """\
layers:
  features.0: {type: Conv2d, out_channels: 4, kernel_size: 3, padding: 1, bias: false}
  features.1: {type: BatchNorm2d}
  features.2: {type: ReLU}
  features.3: {type: MaxPool2d, kernel_size: 2}
  features.4.0: {type: Conv2d, out_channels: 6, kernel_size: 3, padding: 1}
  features.4.1: {type: ReLU}
  features.5: {type: Conv2d, out_channels: 6, kernel_size: 1}
  features.6: {type: ReLU}
  flat: {type: Flatten}
  classifier.0: {type: Linear, out_features: 5}
  classifier.1: {type: ReLU}
  classifier.2: {type: Linear, out_features: 2}
"""  # fmt: skip


def features() -> list[nn.Module]:
    stem = [nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()]
    block = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU())
    return [*stem, nn.MaxPool2d(2), block, nn.Conv2d(6, 6, 1), nn.ReLU()]


def classifier() -> list[nn.Module]:
    return [nn.Linear(96, 5), nn.ReLU(), nn.Linear(5, 2)]


def nested(first: list[nn.Module], last: list[nn.Module]) -> nn.Sequential:
    return chain(features=nn.Sequential(*first), flat=nn.Flatten(), classifier=nn.Sequential(*last))


@pytest.mark.parametrize("spec", [NESTED, FLAT], ids=["nested", "flat"])
def test_sequences_inside_grow_each_by_itself(tmp_path, spec):
    teacher = teacher_of(tmp_path, spec, nested(features(), classifier()))
    student = deepened(teacher, "features.0")
    assert inserted(student.plan) == ["features.3", "features.4", "features.5"]
    new = [nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()]
    by_hand = nested([*features()[:3], *new, *features()[3:]], classifier())
    assert difference(teacher.module, student.into(by_hand), IMAGES) <= EXACT

    student = deepened(teacher, "classifier.1")
    by_hand = nested(features(), [*classifier()[:2], nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 2)])
    assert worst(teacher.module, student.into(by_hand), IMAGES) <= EXACT


@pytest.mark.parametrize("spec", [NESTED, FLAT], ids=["nested", "flat"])
def test_a_sequence_in_a_sequence_grows_inside(tmp_path, spec):
    teacher = teacher_of(tmp_path, spec, nested(features(), classifier()))
    student = deepened(teacher, "features.4.0", 2)
    assert inserted(student.plan) == [f"features.4.{n}" for n in range(2, 6)]
    assert student.plan.notes == ()
    first = features()
    for _ in range(2):
        first[4].extend([nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()])
    assert worst(teacher.module, student.into(nested(first, classifier())), IMAGES) <= EXACT


SKIPS = """\
net2net: 1
input: [6]
layers:
  0: {type: Linear, out_features: 8}
  1: {type: ReLU}
  2: {type: Linear, out_features: 8}
  3: {type: Add, inputs: [2, 1]}
  4: {type: Linear, out_features: 8, share: 2}
  5: {type: Linear, out_features: 3}
outputs: [5, 3]
"""


def test_what_refers_to_a_moved_layer_follows_it(tmp_path):
    teacher = save_spec(tmp_path, SKIPS)
    student = deepened(teacher, "0")
    assert inserted(student.plan) == ["2", "3"]
    text = student.plan.student
    assert "4: {type: Linear, out_features: 8}\n  5: {type: Add, inputs: [4, 3]}" in text
    assert "6: {type: Linear, out_features: 8, share: 4}" in text
    assert "outputs: [7, 5]" in text
    assert worst(teacher.module, student.network, BATCH) <= EXACT


def test_a_name_that_was_given_is_taken(tmp_path):
    teacher = teacher_of(tmp_path, MIXED, mixed())
    student = deepened(teacher, "3", name="extra")
    assert inserted(student.plan) == ["extra", "extra_relu"]
    assert set(student.state) == {*teacher.module.state_dict(), "extra.weight", "extra.bias"}


def test_other_chains_name_new_layers_after_the_old(tmp_path):
    spec = MIXED.replace("  5:", "  head:")
    parts = {f"{n}" if n < 5 else "head": part for n, part in enumerate(mixed())}
    teacher = teacher_of(tmp_path, spec, chain(**parts))
    assert inserted(deepened(teacher, "3").plan) == ["3_deeper", "3_deeper_relu"]


def test_the_picture_shows_which_layers_are_new(tmp_path):
    teacher = teacher_of(tmp_path, ALIKE, nn.Sequential(*(nn.Linear(5, 5) for _ in range(5))))
    plan = deepen_plan(teacher.model, "1", count=2)
    (_, _), (_, student) = graphs_of(Outcome("plan", 0, plan=plan))
    assert [node.name for node in student.nodes if node.tone == "new"] == ["2", "3"]


@pytest.fixture
def net2net(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Net2Net(capfd)


def test_a_torch_file_whose_spec_is_given(net2net, tmp_path):
    """As users have it: a state dict and a spec, and a student that torch opens."""
    teacher = randomize(mixed()).float()
    torch.save(teacher.state_dict(), tmp_path / "net.pt")
    (tmp_path / "described.yaml").write_text(MIXED)
    common = ("--after", "3", "--count", "2", "--source-spec", "described.yaml")
    ended = net2net("deepen", "net.pt", *common, "--json")
    assert "`5` is now `9`" in ended.out
    by_hand = nn.Sequential(
        *mixed()[:5], nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)
    )
    by_hand.load_state_dict(torch.load(tmp_path / "net-deepened.pt"), strict=True)
    assert difference(teacher.double(), by_hand.double(), BATCH) <= EXACT


def test_a_saved_plan_is_applied_as_it_was_made(net2net, tmp_path):
    teacher_of(tmp_path, ALIKE, nn.Sequential(*(nn.Linear(5, 5) for _ in range(5))))
    net2net("deepen", "teacher.safetensors", "--after", "1", "--count", "2", "-o", "a.safetensors")
    model = open_model("teacher.safetensors")
    from net2net_cli.api import to_json

    Path("plan.json").write_text(to_json(deepen_plan(model, "1", count=2)))
    net2net("apply", "plan.json", "teacher.safetensors", "-o", "b.safetensors")
    assert Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()


def test_a_source_spec_may_say_what_it_was_renamed_from(net2net, tmp_path):
    """A spec that was a target once says `rename:`, which means nothing for its own network."""
    teacher_of(tmp_path, MIXED + "rename: {gone: 3}\n", mixed())
    net2net("deepen", "teacher.safetensors", "--after", "3")
    net2net("widen", "teacher.safetensors", "--layer", "0", "--to", "9")
