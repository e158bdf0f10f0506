"""How training resumes with AdamW after growth: with the optimizer's state, and without.

    python -m tests.benchmarks.resuming

Two networks learn scikit-learn's digits, are grown three times as wide by the tool, and learn on
at the same rate on the same batches. After each step the loss of the whole training set is taken;
the figure that counts is its largest rise above where the student began, in the first 50 steps.
Prints the README's table, and writes all figures to results/resuming.json.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from net2net_cli import api

SEEDS, STEPS, BATCH, TAUGHT = 5, 50, 64, 300
TRAINED = 800
"""Images in the training set."""

NETWORKS = ("mlp", "conv")
RATES = (1e-3, 3e-3, 1e-2)
UNITS = {"fresh": ("auto", "signed"), "signed copies": ("duplicate", "signed"),
         "even copies": ("duplicate", "even")}  # fmt: skip
STATES = ("fresh", "gradient", "step", "restart")
RESULTS = Path(__file__).parent / "results" / "resuming.json"


def mlp(width: int) -> nn.Sequential:
    """64 pixels to ten digits."""
    return nn.Sequential(OrderedDict(
        fc1=nn.Linear(64, width), relu1=nn.ReLU(), fc2=nn.Linear(width, width), relu2=nn.ReLU(),
        out=nn.Linear(width, 10),
    ))  # fmt: skip


def conv(width: int) -> nn.Sequential:
    """The same images, with BatchNorm."""
    return nn.Sequential(OrderedDict(
        conv1=nn.Conv2d(1, width, 3, padding=1, bias=False), bn1=nn.BatchNorm2d(width),
        relu1=nn.ReLU(),
        conv2=nn.Conv2d(width, width, 3, padding=1, stride=2, bias=False),
        bn2=nn.BatchNorm2d(width), relu2=nn.ReLU(), flat=nn.Flatten(),
        fc=nn.Linear(width * 16, 10),
    ))  # fmt: skip


MAKE: dict[str, tuple[Callable[[int], nn.Sequential], int]] = {"mlp": (mlp, 24), "conv": (conv, 6)}
SPECS = {
    "mlp": """net2net: 1
input: [64]
layers:
  fc1: {{type: Linear, out_features: {0}}}
  relu1: {{type: ReLU}}
  fc2: {{type: Linear, out_features: {0}}}
  relu2: {{type: ReLU}}
  out: {{type: Linear, out_features: 10}}
""",
    "conv": """net2net: 1
input: [1, 8, 8]
layers:
  conv1: {{type: Conv2d, out_channels: {0}, kernel_size: 3, padding: 1, bias: false}}
  bn1: {{type: BatchNorm2d}}
  relu1: {{type: ReLU}}
  conv2: {{type: Conv2d, out_channels: {0}, kernel_size: 3, padding: 1, stride: 2, bias: false}}
  bn2: {{type: BatchNorm2d}}
  relu2: {{type: ReLU}}
  flat: {{type: Flatten}}
  fc: {{type: Linear, out_features: 10}}
""",
}


def digits(name: str) -> tuple[Tensor, Tensor]:
    """Images and labels of the training set."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32)[:TRAINED] / 16
    labels = torch.tensor(data.target)[:TRAINED]
    return (images.flatten(1) if name == "mlp" else images[:, None]), labels


class Training:
    """A network, its optimizer, and batches that depend on the seed alone."""

    def __init__(self, name: str, network: nn.Module, rate: float, seed: int) -> None:
        self.network = network
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=rate)
        self.images, self.labels = digits(name)
        self.draw = torch.Generator().manual_seed(seed)

    def step(self) -> None:
        """One batch."""
        self.network.train()
        at = torch.randint(len(self.labels), (BATCH,), generator=self.draw)
        self.optimizer.zero_grad()
        scores = self.network(self.images[at])
        nn.functional.cross_entropy(scores, self.labels[at]).backward()
        self.optimizer.step()

    @torch.no_grad()
    def loss(self) -> float:
        """Of the whole training set, as a deployed network computes it."""
        self.network.eval()
        return float(nn.functional.cross_entropy(self.network(self.images), self.labels))


def resumed(name: str, rate: float, seed: int, folder: Path) -> dict[str, dict[str, list[float]]]:
    """units -> state -> the loss before each step, and after the last."""
    make, width = MAKE[name]
    torch.manual_seed(seed)
    teacher = Training(name, make(width), rate, seed)
    for _ in range(TAUGHT):
        teacher.step()
    weights = folder / "teacher.pt"
    torch.save(
        {"model": teacher.network.state_dict(), "optimizer": teacher.optimizer.state_dict()},
        weights,
    )
    weights.with_suffix(".yaml").write_text(SPECS[name].format(width))
    (folder / "wider.yaml").write_text(SPECS[name].format(3 * width))
    return {
        units: {state: _curve(name, rate, seed, folder, how, state) for state in STATES}
        for units, how in UNITS.items()
    }


def _curve(
    name: str, rate: float, seed: int, folder: Path, how: tuple[str, str], state: str
) -> list[float]:
    model = api.open_model(str(folder / "teacher.pt"))
    choices = api.Choices(*how, seed=seed)
    plan = api.make_plan(model, folder / "wider.yaml", choices=choices)
    carried = None if state == "fresh" else api.StateOptions(map=state)  # type: ignore[arg-type]
    options = api.RunOptions(overwrite=True, verify=False, state=carried)
    api.apply_plan(plan, model, str(folder / "student.pt"), options)
    make, width = MAKE[name]
    student = Training(name, make(3 * width), rate, seed + 1000)
    saved = torch.load(folder / "student.pt")
    student.network.load_state_dict(saved["model"] if carried else saved)
    if carried:
        student.optimizer.load_state_dict(saved["optimizer"])
    found = [student.loss()]
    for _ in range(STEPS):
        student.step()
        found.append(student.loss())
    return found


def rise(curve: list[float]) -> float:
    """How far the loss rose above where it began."""
    return max(curve) - curve[0]


def measure() -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """network and rate -> units -> state -> medians over the seeds."""
    table = {}
    for name in NETWORKS:
        for rate in RATES:
            curves: dict[str, dict[str, list[list[float]]]] = {}
            for seed in range(SEEDS):
                with tempfile.TemporaryDirectory() as folder:
                    for units, states in resumed(name, rate, seed, Path(folder)).items():
                        for state, curve in states.items():
                            of_units = curves.setdefault(units, {}).setdefault(state, [])
                            of_units.append(curve)
            table[f"{name}, {rate:g}"] = {
                units: {state: _medians(found) for state, found in states.items()}
                for units, states in curves.items()
            }
            print(name, rate, flush=True)
    return table


def _medians(curves: list[list[float]]) -> dict[str, float]:
    return {
        "start": statistics.median(c[0] for c in curves),
        "rise": statistics.median(map(rise, curves)),
        "worst": max(map(rise, curves)),
        "end": statistics.median(c[-1] for c in curves),
    }


def render(table: dict[str, dict[str, dict[str, dict[str, float]]]]) -> str:
    """As the README shows it."""
    did = ("fresh state", "gradient", "step", "restart")
    heads = ["network, rate", "new units", *(f"rise: {d}" for d in did)]
    heads += [f"change: {d}" for d in did]
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for title, units in table.items():
        for name, states in units.items():
            rises = [f"{states[state]['rise']:.4f}" for state in STATES]
            ends = [f"{states[state]['end'] - states[state]['start']:+.4f}" for state in STATES]
            lines.append("| " + " | ".join([title, name, *rises, *ends]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = measure()
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print(render(found))
