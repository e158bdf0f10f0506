"""The pairs of `specs/` grown from end to end: files in, a verified file out. (CREPE has weights of
its own, and a test of its own.)

Images have 64 pixels a side, and VGG's two layers of 4096 are narrow, so that all pairs together
take a minute; what the specs say is otherwise unchanged. Weights are random, in float64. Those of
the heaviest are in float32: their growth rounds nothing.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from safetensors.torch import save_file

from net2net_cli.api import (
    Choices,
    Grown,
    ProbeOptions,
    RunOptions,
    apply_plan,
    make_plan,
    open_model,
)
from net2net_cli.cli.main import run
from net2net_cli.laying import layout_of
from net2net_cli.spec import read_document, to_spec
from tests.support import crepe, zoo

EXACT, MEASURED = 1e-10, 1e-8
PROBES = 4

PAIRS = tuple(pair for pair in zoo.PAIRS if not pair[0].startswith("crepe"))
HEAVY = ("resnet50", "convnext_tiny")
DUPLICATED = tuple(
    (teacher, target)
    for teacher, target in PAIRS
    if target.endswith(("_wider", "_bigger")) and teacher not in (*HEAVY, "densenet121")
)
SMALL = tuple(pair for pair in zoo.PAIRS if pair[0] in ("mlp", "lenet", "digits", "crepe_tiny"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All specs, smaller where the docstring above says so; teachers and probes join them."""
    folder = tmp_path_factory.mktemp("zoo")
    for path in zoo.SPECS.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        text = text.replace("input: [3, 224, 224]", "input: [3, 64, 64]")
        text = text.replace("out_features: 4096", "out_features: 128")
        (folder / path.name).write_text(text, encoding="utf-8")
    return folder


def make_teacher(spec: Path) -> tuple[Path, Path]:
    """A checkpoint for a spec and a file of inputs, made once and left beside it."""
    checkpoint, data = spec.with_suffix(".safetensors"), spec.with_suffix(".inputs")
    if not checkpoint.exists():
        layout = layout_of(to_spec(read_document(spec)))
        weights = zoo.random_state(layout)
        if spec.stem in HEAVY:
            weights = {n: w.float() if w.is_floating_point() else w for n, w in weights.items()}
        save_file(weights, checkpoint)
        inputs = zoo.random_inputs(PROBES, *layout.spec.inputs[0].shape)
        save_file({"input": inputs}, data)
    return checkpoint, data


def grown(folder: Path, pair: tuple[str, str], choices: Choices) -> Grown:
    teacher, target = (folder / f"{name}.yaml" for name in pair)
    checkpoint, data = make_teacher(teacher)
    output = folder / f"{pair[1]}-student.safetensors"
    model = open_model(str(checkpoint), str(teacher))
    with model.source:
        plan = make_plan(model, target, choices=choices, calibrated=True)
        options = RunOptions(device="cpu", calibrate=data, probe=ProbeOptions(data=data))
        found = apply_plan(plan, model, str(output), options)
    output.unlink()
    return found


def check(found: Grown) -> None:
    """Exact in evaluation; in training, up to what inserted BatchNorms measured on this batch."""
    assert found.plan.changes
    assert found.verification.passed
    for judged in found.verification.probes:
        inserted = any(getattr(o, "moments", None) for o in found.plan.operations)
        bound = MEASURED if inserted and judged.comparison.mode == "training" else EXACT
        assert judged.comparison.relative_error <= bound, judged.comparison
        assert judged.comparison.outputs[0].spread > 1e-3, "the outputs hardly depend on the inputs"


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[1])
def test_pair_grows_exactly(folder: Path, pair: tuple[str, str]) -> None:
    check(grown(folder, pair, Choices()))


@pytest.mark.parametrize("pair", DUPLICATED, ids=lambda pair: pair[1])
def test_duplicates_with_random_splits_are_exact(folder: Path, pair: tuple[str, str]) -> None:
    check(grown(folder, pair, Choices(expansion="duplicate", split="random", seed=3)))


@pytest.mark.parametrize(("teacher", "target"), SMALL)
def test_command_in_the_header_works(
    teacher: str, target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = shlex.split(zoo.command(target))
    checkpoint, output = tmp_path / command[2], tmp_path / command[-1]
    if teacher.startswith("crepe"):
        shutil.copy(crepe.weights_file("tiny"), checkpoint)
    else:
        save_file(zoo.random_state(layout_of(zoo.network(teacher))), checkpoint)
    (tmp_path / "specs").symlink_to(zoo.SPECS)
    monkeypatch.chdir(tmp_path)
    assert command[:2] == ["net2net", "grow"]
    assert run(command[1:]) == 0
    assert output.exists()
