"""What is learned: four tasks of real data, each with its teacher and what it grows into.

digits-mlp        scikit-learn's handwritten digits, a multilayer perceptron
digits-inception  the same images, a BatchNorm convnet with an Inception module (the paper's case)
diamonds-mlp      the cut of 53,940 diamonds from their other nine columns (from plotnine)
python-gpt        the Python documentation's topics by characters (from the standard library),
                  a small GPT-2
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from tests.benchmarks.learning.networks import Family, Gpt, Layered, Size


@dataclass(frozen=True)
class Data:
    """Inputs [N, ...] and labels [N] or [N, T], for training and for the test."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor


@dataclass(frozen=True)
class Task:
    """One task: ``rates`` is the teacher's initial learning rate by optimizer, ``steps`` how long
    a student learns, ``teacher_steps`` how long its teacher did. Where steps are dear, not
    ``every_arm`` is run."""

    name: str
    title: str
    data: Callable[[], Data]
    family: Family
    rates: Mapping[str, float]
    batch: int
    teacher_steps: int
    steps: int
    every_arm: bool = True


def _split(x: Tensor, y: Tensor, every: int) -> Data:
    held_out = torch.arange(len(y)) % every == 0
    return Data(x[~held_out], y[~held_out], x[held_out], y[held_out])


@cache
def _digits(*, flat: bool) -> Data:
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32) / 16
    return _split(x.flatten(1) if flat else x[:, None], torch.tensor(digits.target), 3)


@cache
def _diamonds() -> Data:
    """Numbers standardised, names one-hot; the label is the cut (five classes)."""
    package = find_spec("plotnine")
    assert package is not None and package.origin is not None, "the study needs plotnine"
    with (Path(package.origin).parent / "data" / "diamonds.csv").open() as file:
        rows = list(csv.DictReader(file))
    columns = []
    for name in ("carat", "depth", "table", "price", "x", "y", "z"):
        values = torch.tensor([float(row[name]) for row in rows])
        columns.append(((values - values.mean()) / values.std()).clamp(-5, 5)[:, None])
    columns += [_one_hot([row[name] for row in rows]) for name in ("color", "clarity")]
    labels = _one_hot([row["cut"] for row in rows]).argmax(1)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    return _split(torch.cat(columns, 1)[order], labels[order], 5)


def _one_hot(values: list[str]) -> Tensor:
    known = {value: at for at, value in enumerate(sorted(set(values)))}
    return torch.nn.functional.one_hot(torch.tensor([known[v] for v in values])).float()


CONTEXT = 32


@cache
def _text() -> Data:
    """Windows of the documentation's topics by characters; the last tenth is for the test."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[name] for name in sorted(topics))
    known = {char: at for at, char in enumerate(sorted(set(text)))}
    ids = torch.tensor([min(known[char], VOCABULARY - 1) for char in text])
    count = (len(ids) - 1) // CONTEXT
    x = ids[: count * CONTEXT].view(count, CONTEXT)
    y = ids[1 : count * CONTEXT + 1].view(count, CONTEXT)
    cut = count * 9 // 10
    return Data(x[:cut], y[:cut], x[cut:], y[cut:])


VOCABULARY = 112


def _mlp(inputs: int, classes: int, width: int, layers: int) -> str:
    lines = ["net2net: 1", f"input: [{inputs}]", "layers:"]
    for name in ("1", "2", "1b", "2b")[:layers] if layers < 3 else ("1", "1b", "2", "2b"):
        lines.append(f"  fc{name}: {{type: Linear, out_features: {width}}}")
        lines.append(f"  relu{name}: {{type: ReLU}}")
    return "\n".join([*lines, f"  out: {{type: Linear, out_features: {classes}}}", ""])


def _mlps(inputs: int, classes: int, width: int, times: int) -> Layered:
    def text(by: int, layers: int) -> str:
        return _mlp(inputs, classes, width * by, layers)

    return Layered({
        "teacher": text(1, 2), "wider": text(times, 2), "deeper": text(1, 4), "both": text(times, 4)
    })  # fmt: skip


def _conv(name: str, channels: int, kernel: int, indent: str) -> list[str]:
    sizes = f"out_channels: {channels}, kernel_size: {kernel}, padding: {kernel // 2}"
    return [
        f"{indent}conv{name}: {{type: Conv2d, {sizes}, bias: false}}",
        f"{indent}bn{name}: {{type: BatchNorm2d}}",
        f"{indent}relu{name}: {{type: ReLU}}",
    ]


def _module(name: str, width: int, *, deeper: bool) -> list[str]:
    """An Inception module: 1 x 1, 3 x 3 and 5 x 5 kernels and a pool side by side; the deeper one
    has one more 3 x 3 kernel in its second branch."""
    inner = " " * 8
    lines = [f"  {name}:", "    type: Concat", "    branches:", "      b1:"]
    lines += _conv("", width, 1, inner)
    lines += ["      b3:", *_conv("0", width, 1, inner), *_conv("1", width, 3, inner)]
    lines += _conv("2", width, 3, inner) if deeper else []
    lines += ["      b5:", *_conv("0", width // 2, 1, inner), *_conv("1", width // 2, 5, inner)]
    pool = inner + "pool: {type: MaxPool2d, kernel_size: 3, stride: 1, padding: 1}"
    return [*lines, "      pool:", pool, *_conv("", width // 2, 1, inner)]


def _inception(width: int, *, deeper: bool) -> str:
    return "\n".join([
        "net2net: 1", "input: [1, 8, 8]", "layers:",
        *_conv("1", width, 3, "  "),
        "  down: {type: MaxPool2d, kernel_size: 2}",
        *_module("mixed", width, deeper=deeper),
        "  pool: {type: AdaptiveAvgPool2d, output_size: 1}",
        "  flat: {type: Flatten}",
        "  out: {type: Linear, out_features: 10}", "",
    ])  # fmt: skip


def _inceptions(width: int, times: int) -> Layered:
    return Layered({
        "teacher": _inception(width, deeper=False),
        "wider": _inception(width * times, deeper=False),
        "deeper": _inception(width, deeper=True),
        "both": _inception(width * times, deeper=True),
    })  # fmt: skip


_GPT = {"vocab_size": VOCABULARY, "n_positions": CONTEXT, "n_layer": 2, "n_embd": 32, "n_head": 2,
        "n_inner": 64}  # fmt: skip
_WIDER = {"n_embd": 64, "n_head": 4, "n_inner": 128}
_SIZES: Mapping[Size, Mapping[str, int]] = {
    "wider": _WIDER, "deeper": {"n_layer": 3}, "both": {**_WIDER, "n_layer": 3}
}  # fmt: skip

TASKS = {
    task.name: task
    for task in (
        Task("digits-mlp", "digits, MLP 64-8-8-10, three times as wide",
             lambda: _digits(flat=True), _mlps(64, 10, 8, 3), {"sgd": 0.05, "adamw": 3e-3},
             64, 800, 800),
        Task("diamonds-mlp", "diamonds' cut, MLP 22-16-16-5, three times as wide",
             _diamonds, _mlps(22, 5, 16, 3), {"sgd": 0.1, "adamw": 3e-3}, 128, 1000, 1000),
        Task("digits-inception", "digits, BatchNorm Inception net, twice as wide",
             lambda: _digits(flat=False), _inceptions(6, 2), {"sgd": 0.02, "adamw": 3e-3},
             32, 300, 300, every_arm=False),
        Task("python-gpt", "Python's documentation by characters, GPT-2, twice as wide",
             _text, Gpt(_GPT, _SIZES), {"sgd": 0.1, "adamw": 3e-3}, 16, 400, 400,
             every_arm=False),
    )
}  # fmt: skip
