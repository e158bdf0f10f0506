"""The tools that people train with save a run, it grows, and they go on from it.

Slow, and of packages that the program does without: NET2NET_ALL=1 runs them, those whose package is
there (``pip install accelerate pytorch-lightning``).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim

from tests.optimizer.nets import MLP_SPEC, Run, apart, mlp, save, trained
from tests.support.command import Net2Net, environment

pytestmark = pytest.mark.skipif(not os.environ.get("NET2NET_ALL"), reason="slow: NET2NET_ALL=1")

WIDER = ("--set", "fc1.out_features=17", "--set", "fc2.out_features=30")
EVEN = ("--expansion", "duplicate", "--split", "even")


@pytest.fixture
def spec(folder: Path) -> Path:
    path = folder / "teacher.yaml"
    path.write_text(MLP_SPEC)
    return path


def test_trainer_resumes_from_a_grown_folder(net2net: Net2Net, folder: Path) -> None:
    """Hugging Face's: weights, optimizer, scheduler and random states are its own files."""
    pytest.importorskip("accelerate")
    from tests.support import vision  # noqa: F401  (what transformers imports of torchvision)

    import transformers as hf  # isort: skip

    ids = torch.arange(96).reshape(8, 12) * 7 % 31
    data = [{"input_ids": row, "labels": row} for row in ids]

    def trainer(model: Any, out: str, steps: int) -> Any:
        given = hf.TrainingArguments(
            out, max_steps=steps, per_device_train_batch_size=4, save_steps=4, logging_steps=1,
            learning_rate=1e-3, lr_scheduler_type="constant_with_warmup", warmup_steps=2,
            report_to=[], use_cpu=True, disable_tqdm=True, dataloader_pin_memory=False,
        )  # fmt: skip
        return hf.Trainer(model, given, train_dataset=data)

    def losses(done: Any) -> list[float]:
        return [line["loss"] for line in done.state.log_history if "loss" in line]

    torch.manual_seed(0)
    config = hf.LlamaConfig(
        vocab_size=31, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32,
    )  # fmt: skip
    run = trainer(hf.LlamaForCausalLM(config), "run", 4)
    run.train()
    net2net("grow", "run/checkpoint-4", "--set", "intermediate_size=27",
            "--set", "num_hidden_layers=3", "-o", "student")  # fmt: skip
    model = hf.LlamaForCausalLM.from_pretrained("student")
    student = trainer(model, "later", 8)
    student.train(resume_from_checkpoint="student")
    teacher = trainer(hf.LlamaForCausalLM.from_pretrained("run/checkpoint-4"), "same", 8)
    teacher.train(resume_from_checkpoint="run/checkpoint-4")
    assert student.state.global_step == 8
    assert len(losses(student)) == len(losses(teacher)) == 8
    assert losses(student)[4] == pytest.approx(losses(teacher)[4], rel=1e-4)
    assert losses(student)[-1] < losses(student)[0]
    counts = {int(values["step"]) for values in student.optimizer.state.values()}
    assert counts == {4, 8}, "old parameters count on, those of the new block begin"


def test_lightning_resumes_from_a_grown_checkpoint(net2net: Net2Net, folder: Path) -> None:
    pl = pytest.importorskip("pytorch_lightning")

    class Module(pl.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.model = network

        def training_step(self, batch: Any, _number: int) -> Tensor:
            loss: Tensor = ((self.model(batch[0]) - batch[1]) ** 2).mean()
            self.seen = float(loss.detach())
            return loss

        def configure_optimizers(self) -> optim.Optimizer:
            return optim.AdamW(self.parameters(), lr=1e-3)

    def fit(module: Any, steps: int, path: str | None = None) -> Any:
        trainer = pl.Trainer(
            max_steps=steps, logger=False, enable_checkpointing=False, accelerator="cpu",
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module, loader, ckpt_path=path)
        return trainer

    torch.manual_seed(0)
    pairs = torch.utils.data.TensorDataset(
        torch.randn(8, 7, dtype=torch.float64), torch.randn(8, 3, dtype=torch.float64)
    )
    loader = torch.utils.data.DataLoader(pairs, batch_size=8)
    fit(Module(mlp()), 3).save_checkpoint("run.ckpt")
    lines = MLP_SPEC.replace("  fc", "  model.fc").replace("  out", "  model.out")
    (folder / "run.yaml").write_text(lines)
    net2net("widen", "run.ckpt", "--layer", "model.fc1", "--to", 17, "-o", "wider.ckpt")
    student, teacher = Module(mlp(17)), Module(mlp())
    done = fit(student, 4, "wider.ckpt")
    fit(teacher, 4, "run.ckpt")
    assert done.global_step == 4
    assert student.seen == pytest.approx(teacher.seen, rel=1e-12)
    (optimizer,) = done.optimizers
    assert {int(values["step"]) for values in optimizer.state.values()} == {4}
    assert optimizer.state[student.model.fc1.weight]["exp_avg"].shape == (17, 7)


RANKS = """
import sys, torch, torch.distributed as dist, torch.distributed.checkpoint as dcp
from torch import optim
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from tests.optimizer.nets import mlp

what, path, a, b = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
dist.init_process_group("gloo")
mesh = init_device_mesh("cpu", (dist.get_world_size(),))
torch.manual_seed(0)
network = mlp(a, b)
for layer in (network.fc1, network.fc2, network.out):
    fully_shard(layer, mesh=mesh)
fully_shard(network, mesh=mesh)
optimizer = optim.AdamW(network.parameters(), lr=1e-2)
x = torch.linspace(-1, 1, 112, dtype=torch.float64).reshape(16, 7)

def step():
    optimizer.zero_grad()
    loss = network(x).square().mean()
    loss.backward()
    optimizer.step()
    return float(loss.detach())

if what == "save":
    for _ in range(3):
        step()
    weights, state = get_state_dict(network, optimizer)
    dcp.save({"model": weights, "optim": state}, checkpoint_id=path)
else:
    weights, state = get_state_dict(network, optimizer)
    held = {"model": weights, "optim": state}
    dcp.load(held, checkpoint_id=path)
    set_state_dict(network, optimizer, model_state_dict=held["model"],
                   optim_state_dict=held["optim"])
counts = {int(values["step"]) for values in optimizer.state.values()}
print("loss", repr(step()), counts, flush=True)
dist.destroy_process_group()
"""


def test_fsdp_of_two_ranks_goes_on_from_a_grown_folder(net2net: Net2Net, folder: Path) -> None:
    """What two ranks saved in parts grows into what two ranks load: torch's fully_shard."""
    (folder / "net.yaml").write_text(MLP_SPEC)
    (folder / "ranks.py").write_text(RANKS)

    def ranks(*words: object) -> tuple[float, str]:
        done = subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2",
             "--master_port=0", "--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0",
             "ranks.py", *map(str, words)],
            capture_output=True, text=True, check=False, cwd=folder,
            env=environment(OMP_NUM_THREADS="1"),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        said = [line.split() for line in done.stdout.splitlines() if line.startswith("loss")]
        return float(said[0][1]), said[0][2]

    went_on, _ = ranks("save", "run", 10, 13)
    assert len(list(Path("run").glob("*.distcp"))) == 2
    net2net("grow", "run", "--source-spec", "net.yaml", *WIDER, "-o", "grown.dcp")
    loss, counts = ranks("load", "grown.dcp", 17, 30)
    assert loss == pytest.approx(went_on, rel=1e-12)
    assert counts == "{3}"


def test_muon_beside_adam(net2net: Net2Net, folder: Path, spec: Path) -> None:
    """Torch's Muon takes matrices alone. Its momentum is linear in the gradients: a step and
    growth commute."""
    if not hasattr(optim, "Muon"):
        pytest.skip("this torch has no Muon")

    def two(network: nn.Module) -> dict[str, optim.Optimizer]:
        matrices = [p for p in network.parameters() if p.ndim == 2]
        others = [p for p in network.parameters() if p.ndim != 2]
        return {"muon": optim.Muon(matrices, lr=1e-3), "adam": optim.Adam(others, lr=1e-3)}

    def step(network: nn.Module, optimizers: dict[str, optim.Optimizer]) -> None:
        for optimizer in optimizers.values():
            optimizer.zero_grad()
        ((network(run.batch) - run.wanted) ** 2).mean().backward()
        for optimizer in optimizers.values():
            optimizer.step()

    def kept(name: str, network: nn.Module, optimizers: dict[str, optim.Optimizer]) -> None:
        states = {key: optimizer.state_dict() for key, optimizer in optimizers.items()}
        torch.save({"model": network.state_dict(), **states}, name)

    run = trained(mlp(), optim.SGD)
    teacher, both = run.network, two(run.network)
    for _ in range(3):
        step(teacher, both)
    kept("teacher.pt", teacher, both)
    how = (*EVEN, "--optimizer-map", "gradient", "--source-spec", spec, *WIDER)
    net2net("grow", "teacher.pt", *how, "-o", "student.pt")
    saved = torch.load("student.pt")
    student = mlp(17, 30)
    student.load_state_dict(saved["model"])
    theirs = two(student)
    for key, optimizer in theirs.items():
        optimizer.load_state_dict(saved[key])
    step(student, theirs)
    step(teacher, both)
    kept("later.pt", teacher, both)
    net2net("grow", "later.pt", *how, "-o", "wanted.pt")
    wanted = torch.load("wanted.pt")
    for key, optimizer in theirs.items():
        assert apart(wanted[key], optimizer.state_dict()) <= 1e-10, key


@pytest.mark.parametrize("relative", [True, False])
def test_transformers_adafactor(net2net: Net2Net, folder: Path, spec: Path, relative: bool) -> None:
    """Its factored second moments grow as torch's do; it takes the result, and learns on."""
    from tests.support import vision  # noqa: F401  (what transformers imports of torchvision)

    from transformers.optimization import Adafactor  # isort: skip

    def make(parameters: Any) -> optim.Optimizer:
        made: optim.Optimizer = Adafactor(
            parameters, lr=None if relative else 1e-3, relative_step=relative,
            scale_parameter=relative, warmup_init=False, beta1=None if relative else 0.9,
        )  # fmt: skip
        return made

    teacher = trained(mlp(), make)
    save(teacher, folder)
    net2net("grow", "teacher.pt", *WIDER, "-o", "s.pt", "--optimizer", "teacher.opt.pt")
    student: Run = teacher.goes_on(mlp(17, 30), make, Path("s.pt"), Path("s.optimizer.pt"))
    state = student.optimizer.state[student.network.fc2.weight]
    assert state["step"] == 5
    assert state["exp_avg_sq_row"].shape == (30,)
    assert state["exp_avg_sq_col"].shape == (17,)
    first = student.step()
    assert first == pytest.approx(teacher.step(), rel=1e-12)
    assert student.step(20) < first
