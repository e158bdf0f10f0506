"""The whole of net2net on real images, in a minute: train, grow, verify, train on.

A small BatchNorm convnet learns scikit-learn's handwritten digits; the command line grows it with
specs/digits_bigger.yaml; then teacher and student learn on for the same number of steps, on the
same batches.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import cross_entropy

from net2net_cli.spec import read_document, resolve, to_spec
from net2net_cli.verify.network import Network, build

ROOT = Path(__file__).parents[2]
SPECS = ROOT / "specs"
FOLDER = ROOT / "build" / "demo"
TEACHER_STEPS, FURTHER_STEPS, BATCH = 60, 100, 64


@dataclass(frozen=True)
class Digits:
    """Images [N, 1, 8, 8] between 0 and 1 and their labels [N], for training and for the test."""

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor


@dataclass(frozen=True)
class Course:
    """How a network fared: test accuracy before and after, and its loss on the first batch."""

    before: float
    first_loss: float
    after: float


def load() -> Digits:
    """Every third image is for the test."""
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(data.target)
    held_out = torch.arange(len(labels)) % 3 == 0
    return Digits(images[~held_out], labels[~held_out], images[held_out], labels[held_out])


def batches(digits: Digits, steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The same batches for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rows = torch.randint(len(digits.labels), (BATCH,), generator=generator)
        yield digits.images[rows], digits.labels[rows]


def accuracy(network: Network, digits: Digits) -> float:
    """The share of test images that are told right, in evaluation mode."""
    network.eval()
    with torch.no_grad():
        (scores,) = network(digits.test_images)
    return float((scores.argmax(1) == digits.test_labels).float().mean())


def train(network: Network, digits: Digits, steps: int, seed: int) -> Course:
    """Adam, from a fresh state."""
    before = accuracy(network, digits)
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses = []
    for images, labels in batches(digits, steps, seed):
        optimizer.zero_grad()
        (scores,) = network(images)
        loss = cross_entropy(scores, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    return Course(before, losses[0], accuracy(network, digits))


def untrained(spec_file: Path) -> Network:
    """The network of a spec, initialised as torch does."""
    network = Network(to_spec(read_document(spec_file)), torch.float32).to_empty(device="cpu")
    for step in network.steps:
        reset = getattr(step.module, "reset_parameters", None)
        if reset is not None:
            reset()
    return network


def state_of(network: Network) -> dict[str, Tensor]:
    """The state dict, by the spec's names."""
    return {
        f"{step.layer.name}.{name}": tensor.contiguous()
        for step in network.steps
        for name, tensor in step.module.state_dict().items()
    }


def net2net(*arguments: str) -> None:
    """Run the command as a person would, in the demo's folder, and show it."""
    print(f"\n$ net2net {' '.join(arguments)}", flush=True)
    subprocess.run([sys.executable, "-m", "net2net_cli", *arguments], cwd=FOLDER, check=True)


def main() -> None:
    """Train, grow, verify, train on, compare."""
    torch.manual_seed(0)
    digits = load()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for name in ("digits.yaml", "digits_bigger.yaml"):
        shutil.copy(SPECS / name, FOLDER)
    shutil.copy(SPECS / "digits.yaml", FOLDER / "teacher.yaml")

    print(f"training the teacher, {TEACHER_STEPS} steps on {len(digits.labels)} images of digits")
    teacher = untrained(FOLDER / "teacher.yaml")
    train(teacher, digits, TEACHER_STEPS, seed=1)
    save_file(state_of(teacher), FOLDER / "teacher.safetensors", {"format": "pt"})

    save_file({"input": digits.images}, FOLDER / "images.safetensors")

    data = ("--calibrate", "images.safetensors", "--probe-data", "images.safetensors")
    net2net("grow", "teacher.safetensors", "--spec", "digits_bigger.yaml", *data, "-o",
            "student.safetensors")  # fmt: skip
    net2net("verify", "teacher.safetensors", "student.safetensors", *data[2:])

    bigger = resolve(read_document(FOLDER / "digits_bigger.yaml"), None)
    student = build(to_spec(bigger), load_file(FOLDER / "student.safetensors"), torch.float32)
    print(f"\ntraining both on, {FURTHER_STEPS} steps on the same batches\n")
    print(f"{'':8}  accuracy  first loss  accuracy after")
    for name, network in (("teacher", teacher), ("student", student)):
        course = train(network, digits, FURTHER_STEPS, seed=2)
        print(f"{name:8}  {course.before:8.4f}  {course.first_loss:10.6f}  {course.after:14.4f}")


if __name__ == "__main__":
    main()
