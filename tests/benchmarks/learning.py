"""Which new units learn fastest: what `--expansion auto` and the default `--split` follow from.

Two networks learn scikit-learn's digits for a while, are grown three times as wide with every
expansion and split, and learn on for the same number of steps on the same batches, beside a
network of the student's size from scratch. Prints a table in Markdown: training loss (over the
whole training set) after some steps, test accuracy at the end, and how far copies are apart; the
mean of the seeds.

    python -m tests.benchmarks.learning [--seeds 3] [--steps 600]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import cross_entropy

from net2net_cli import api
from net2net_cli.spec import Spec, parse_document, read_document, to_spec
from net2net_cli.verify.network import Network, build

SPECS = Path(__file__).parents[2] / "specs"
BATCH, RATE, TEACHER_STEPS = 64, 1e-3, 150
MARKS = (0, 100, 300, 600)
MLP = """\
net2net: 1
input: [64]
layers:
  fc1: {type: Linear, out_features: 16}
  relu1: {type: ReLU}
  fc2: {type: Linear, out_features: 16}
  relu2: {type: ReLU}
  out: {type: Linear, out_features: 10}
"""
TASKS = {
    "MLP 64-16-16-10 to 64-48-48-10": (MLP, {"fc1.out_features": "48", "fc2.out_features": "48"}),
    "BatchNorm convnet of specs/digits.yaml, three times as wide": (
        (SPECS / "digits.yaml").read_text(),
        {f"conv{i}.out_channels": str(n) for i, n in ((1, 24), (2, 48), (3, 48))},
    ),
}
CHOICES = {
    "fresh": api.Choices("fresh"),
    "zero": api.Choices("zero"),
    **{f"duplicate, {s}": api.Choices("duplicate", s)
       for s in ("signed", "whole", "random", "dyadic", "even")},
    "duplicate, even, 1 % noise": api.Choices("duplicate", "even", noise=0.01),
}  # fmt: skip


@dataclass(frozen=True)
class Data:
    """Images and labels, two thirds for training and one for the test."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor


@dataclass(frozen=True)
class Run:
    """Training loss at each of MARKS, and the test accuracy at the end."""

    losses: tuple[float, ...]
    accuracy: float


def load(flat: bool) -> Data:
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32) / 16
    x = x.flatten(1) if flat else x[:, None]
    y = torch.tensor(digits.target)
    held_out = torch.arange(len(y)) % 3 == 0
    return Data(x[~held_out], y[~held_out], x[held_out], y[held_out])


def batches(data: Data, steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randint(len(data.y), (BATCH,), generator=generator)
        yield data.x[rows], data.y[rows]


def loss_of(network: Network, data: Data) -> float:
    network.eval()
    with torch.no_grad():
        return float(cross_entropy(network(data.x)[0], data.y))


def train(network: Network, data: Data, steps: int, seed: int) -> Run:
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    losses = [loss_of(network, data)]
    for step, (x, y) in enumerate(batches(data, steps, seed), 1):
        network.train()
        optimizer.zero_grad()
        cross_entropy(network(x)[0], y).backward()
        optimizer.step()
        if step in MARKS:
            losses.append(loss_of(network, data))
    with torch.no_grad():
        right = network.eval()(data.test_x)[0].argmax(1) == data.test_y
    return Run(tuple(losses), float(right.float().mean()))


def untrained(spec: Spec, seed: int) -> Network:
    torch.manual_seed(seed)
    network = Network(spec, torch.float32).to_empty(device="cpu")
    for step in network.steps:
        if hasattr(step.module, "reset_parameters"):
            step.module.reset_parameters()
    return network


def state_of(network: Network) -> dict[str, Tensor]:
    return {
        f"{step.layer.name}.{name}": tensor.detach().clone()
        for step in network.steps
        for name, tensor in step.module.state_dict().items()
    }


def study(text: str, settings: dict[str, str], steps: int, seed: int) -> dict[str, Run]:
    """One seed of one task: every choice, and from scratch."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "teacher.yaml").write_text(text)
        spec = to_spec(read_document(folder / "teacher.yaml"))
        data = load(flat=len(spec.inputs[0].shape) == 1)
        teacher = untrained(spec, seed)
        train(teacher, data, TEACHER_STEPS, seed)
        save_file(state_of(teacher), folder / "teacher.safetensors")
        model = api.open_model(str(folder / "teacher.safetensors"))
        plan = None
        for label, choices in CHOICES.items():
            seeded = api.Choices(choices.expansion, choices.split, seed, choices.noise)
            plan = api.make_plan(model, settings=settings, choices=seeded)
            out = folder / "student.safetensors"
            api.apply_plan(plan, model, str(out), api.RunOptions(overwrite=True, verify=False))
            grown = to_spec(parse_document(plan.student, "student"))
            student = build(grown, load_file(out), torch.float32)
            found[label] = train(student, data, steps, seed + 1000)
        assert plan is not None
        found["the teacher, not grown"] = train(teacher, data, steps, seed + 1000)
        scratch = untrained(to_spec(parse_document(plan.student, "student")), seed + 2000)
        found["from scratch"] = train(scratch, data, steps, seed + 1000)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=600)
    given = parser.parse_args()
    marks = [m for m in MARKS if m <= given.steps]
    for task, (text, settings) in TASKS.items():
        runs = [study(text, settings, given.steps, seed) for seed in range(given.seeds)]
        print(f"\n{task}; Adam {RATE}, mean of {given.seeds} seeds\n")
        print(f"| new units | {' | '.join(f'loss at {m}' for m in marks)} | test accuracy |")
        print(f"| --- | {' | '.join('---' for _ in marks)} | --- |")
        for label in runs[0]:
            losses = [mean(run[label].losses[i] for run in runs) for i in range(len(marks))]
            shown = " | ".join(f"{loss:.4f}" for loss in losses)
            print(f"| {label} | {shown} | {mean(run[label].accuracy for run in runs):.4f} |")


if __name__ == "__main__":
    main()
