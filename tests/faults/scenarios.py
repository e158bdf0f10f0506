"""What is run while things go wrong, and what must hold afterwards whatever went wrong."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.faults.zygote import Job, Run, Zygote

LEFT = re.compile(r"\.(?P<output>.+)\.net2net-\d+-[0-9a-f]{8}\.(tmp|old)(/.*)?")
"""A name that says whose it is: the next run of that output removes it."""

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Scenario:
    """A command, and the outputs that it makes. ``again`` is what a user adds who types it once
    more when outputs are there; ``over`` are outputs of an earlier run that it replaces."""

    name: str
    words: Sequence[str]
    outputs: Sequence[str]
    over: Sequence[str] | None = None
    torch: bool = True


SCENARIOS = (
    Scenario("wider", ["widen", "ckpt", "--layer", "fc0", "--to", "12", "-o", "out.safetensors"],
             ["out.safetensors"]),
    Scenario("deeper", ["deepen", "ckpt", "--after", "fc0", "--name", "new", "-o",
                        "out.safetensors", "--no-verify"], ["out.safetensors"], torch=False),
    Scenario("wider over another", ["widen", "ckpt", "--layer", "fc0", "--to", "12", "-o",
                                    "out.safetensors", "--overwrite"], ["out.safetensors"],
             over=["widen", "ckpt", "--layer", "fc1", "--to", "9", "-o", "out.safetensors"]),
    Scenario("a torch file", ["widen", "ckpt", "--layer", "fc0", "--to", "12", "-o", "out.pt"],
             ["out.pt"]),
    Scenario("with a report", ["widen", "ckpt", "--layer", "fc0", "--to", "12", "-o",
                               "out.safetensors", "--report", "seen.md"],
             ["out.safetensors", "seen.md"]),
    Scenario("a plan", ["plan", "ckpt", "--set", "fc0.out_features=12", "-o", "plan.json"],
             ["plan.json"], torch=False),
    Scenario("a spec", ["spec", "ckpt", "-o", "found.yaml"], ["found.yaml"], torch=False),
    Scenario("a folder", ["grow", "llama", "--set", "num_hidden_layers=3", "--no-verify", "-o",
                          "bigger"], ["bigger"], torch=False),
    Scenario("a folder over another", ["grow", "llama", "--set", "intermediate_size=40",
                                       "--no-verify", "-o", "bigger", "--overwrite"], ["bigger"],
             over=["grow", "llama", "--set", "num_hidden_layers=3", "--no-verify", "-o", "bigger"]),
    Scenario("with the optimizer", ["widen", "run.pt", "--layer", "fc0", "--to", "12", "-o",
                                    "out.safetensors"],
             ["out.safetensors", "out.optimizer.pt"]),
    Scenario("a distributed checkpoint", ["widen", "run.pt", "--layer", "fc0", "--to", "12", "-o",
                                          "out.dcp"], ["out.dcp"]),
    Scenario("a program", ["export", "ckpt", "-o", "net.py"], ["net.py"], torch=False),
)  # fmt: skip


class World:
    """A folder with sources, in which a scenario is run again and again."""

    def __init__(self, root: Path, zygote: Zygote, scenario: Scenario, llama: Path) -> None:
        self.folder, self.zygote, self.scenario = root / "work", zygote, scenario
        self.folder.mkdir(parents=True)
        generator = torch.Generator().manual_seed(0)
        state = {
            f"fc{i}.{name}": torch.randn(shape, generator=generator)
            for i in range(3)
            for name, shape in (("weight", (8, 8)), ("bias", (8,)))
        }
        save_file(state, self.folder / "ckpt.safetensors")
        torch.save({"model": state, "optimizer": _stepped(state)}, self.folder / "run.pt")
        shutil.copytree(llama, self.folder / "llama")
        self.sources = self.files()
        self.old: Files = {}
        if scenario.over is not None:
            assert self.run(scenario.over).code == 0
            self.old = self.outputs()
        done = self.run(scenario.words)
        assert done.code == 0, (done.code, done.err)
        self.calls, self.wanted = done.calls, self.outputs()
        assert self.wanted.keys() | self.sources.keys() == self.files().keys()

    def run(self, words: Sequence[str], fault: str = "count", at: int = 0, **limits: int) -> Run:
        """A run in the folder as it is."""
        return self.zygote.run(Job(words, str(self.folder), fault, at, limits=limits))

    def files(self) -> dict[str, bytes]:
        """All that lies in the folder."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }

    def outputs(self) -> dict[str, bytes]:
        """All but the sources and what a dead run left."""
        return {
            name: content
            for name, content in self.files().items()
            if name not in self.sources and not LEFT.fullmatch(name)
        }

    def reset(self) -> None:
        """Sources, and what an earlier run had made."""
        for path in self.folder.iterdir():
            if path.name.split("/")[0] not in {n.split("/")[0] for n in self.sources}:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name, content in self.old.items():
            path = self.folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)

    def check(self, run: Run, codes: Sequence[int]) -> None:
        """Nothing lost, nothing half written; what is left behind says whose it is, and is gone
        after the next run."""
        files = self.files()
        assert {n: files.get(n) for n in self.sources} == dict(self.sources), "a source changed"
        left = [n for n in files if (found := LEFT.fullmatch(n)) and found["output"]]
        self._whole(files, left)
        assert run.code in codes, (run.code, run.err)
        self._told(run)
        again = [*self.scenario.words]
        if any((self.folder / name).exists() for name in self.scenario.outputs):
            again = [*dict.fromkeys([*again, "--overwrite"])]
        done = self.run(again)
        assert done.code == 0, (done.code, done.err)
        made, wanted = self.files(), {**self.sources, **self.wanted}
        wrong = {n for n in {*made, *wanted} if made.get(n) != wanted.get(n)}
        assert not wrong, wrong

    def _whole(self, files: Files, left: Sequence[str]) -> None:
        for output in self.scenario.outputs:
            there = _of(files, output)
            allowed = [_of(self.wanted, output), _of(self.old, output)]
            if not there and self.old and any(".old" in name for name in left):
                continue  # a folder cannot be replaced in one step: the old one lies beside it
            assert there in allowed, f"{output} is half written"
        others = files.keys() - self.sources.keys() - self.wanted.keys() - self.old.keys()
        assert others == set(left), "something lies about that no run will remove"

    @staticmethod
    def _told(run: Run) -> None:
        assert "Traceback" not in run.err, run.err
        if run.code == 2:
            errors = run.err[run.err.index("error:") :]
            assert len(errors.splitlines()) <= 4


def _stepped(state: Mapping[str, torch.Tensor]) -> dict[str, object]:
    """What AdamW keeps for these parameters after a step."""
    parameters = [torch.nn.Parameter(tensor.clone()) for tensor in state.values()]
    optimizer = torch.optim.AdamW(parameters)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return optimizer.state_dict()


def _of(files: Files, output: str) -> dict[str, bytes]:
    return {n: c for n, c in files.items() if n == output or n.startswith(f"{output}/")}
