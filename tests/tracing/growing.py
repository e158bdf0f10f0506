"""A network of the zoo traced, its checkpoint made, and grown from that: what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from net2net_cli.api import (
    Plan,
    ProbeOptions,
    RunOptions,
    apply_plan,
    deepen_plan,
    make_plan,
    open_model,
)
from net2net_cli.errors import UnreachableError
from net2net_cli.opening import Model
from net2net_cli.plan import kind_of
from net2net_cli.spec import dump
from net2net_cli.tracing import random_state, trace
from net2net_cli.verify.comparison import Comparison
from tests.tracing.zoo import Case


@dataclass(frozen=True)
class Found:
    """Largest relative errors, None where the network was refused (``refused`` says why, by the
    growth). ``spread`` is how far the probed outputs differ among themselves."""

    rebuilt: float
    wider: float | None
    deeper: float | None
    widths: int
    spread: float
    refused: dict[str, str]


def tried(case: Case, folder: Path) -> Found:
    """Traces a network and grows it, 1.25 times as wide and by one insertion, each by itself."""
    module = case.make()
    traced = trace(module, case.examples)
    state = random_state(module, torch.float64)
    (folder / "net.yaml").write_text(dump(traced.document))
    save_file({name: tensor.clone() for name, tensor in state.items()}, folder / "net.safetensors")
    del module, state
    model = open_model(str(folder / "net.safetensors"), str(folder / "net.yaml"))
    growths = {
        "wider": lambda: make_plan(model, width="x1.25"),
        "deeper": lambda: (
            make_plan(model, depth=(case.after,))
            if "=" in case.after
            else deepen_plan(model, case.after)
        ),
    }
    errors: dict[str, float] = {}
    refused: dict[str, str] = {}
    spread, widths = [], 0
    with model.source:
        for name, planned in growths.items():
            try:
                plan = planned()
            except UnreachableError as error:
                refused[name] = error.message
                continue
            widths += sum(kind_of(o) == "widen" for o in plan.operations) * (name == "wider")
            comparison = _compared(plan, model, folder / "student.safetensors")
            errors[name] = comparison.relative_error
            spread.append(comparison.spread)
    return Found(traced.agreement.error, errors.get("wider"), errors.get("deeper"), widths,
                 min(spread, default=0.0), refused)  # fmt: skip


def _compared(plan: Plan, model: Model, output: Path) -> Comparison:
    """The student beside its teacher, in evaluation mode."""
    options = RunOptions(device="cpu", probe=ProbeOptions(probes=4))
    verification = apply_plan(plan, model, str(output), options).verification
    output.unlink()
    assert verification is not None
    assert verification.passed
    found = [j.comparison for j in verification.probes if j.comparison.mode == "evaluation"]
    return found[0]
