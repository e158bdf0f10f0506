"""A folder as transformers' Trainer leaves it: weights, optimizer.pt in its two groups, the rest.

Its norms compute in float32 whatever the model's dtype; here they are made to compute in float64,
so that what the map gives can be told from what float32 rounds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import vision  # noqa: F401

# isort: split

import torch
import transformers
from torch import nn, optim
from transformers.trainer_pt_utils import get_parameter_names

from tests.optimizer.nets import apart
from tests.support.command import Net2Net

LLAMA = {
    "vocab_size": 31, "hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "head_dim": 4,
}  # fmt: skip
GPT2 = {"vocab_size": 31, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 32,
        "bos_token_id": 1, "eos_token_id": 2, "resid_pdrop": 0.0, "embd_pdrop": 0.0,
        "attn_pdrop": 0.0}  # fmt: skip
PATTERNS = ["bias", "layernorm", "rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]
IDS = torch.arange(24).reshape(2, 12) % 31


@pytest.fixture(autouse=True)
def wide_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: Any, states: torch.Tensor) -> torch.Tensor:
        mean = states.pow(2).mean(-1, keepdim=True)
        return self.weight * states * torch.rsqrt(mean + self.variance_epsilon)

    kind = transformers.models.llama.modeling_llama.LlamaRMSNorm
    monkeypatch.setattr(kind, "forward", forward)


def groups(model: nn.Module) -> list[dict[str, Any]]:
    """As Trainer makes them."""
    decayed = get_parameter_names(model, [nn.LayerNorm], PATTERNS)
    pairs = list(model.named_parameters())
    return [
        {"params": [p for n, p in pairs if n in decayed], "weight_decay": 0.01},
        {"params": [p for n, p in pairs if n not in decayed], "weight_decay": 0.0},
    ]


def step(model: Any, optimizer: optim.Optimizer, times: int = 1) -> float:
    loss = torch.zeros(())
    for _ in range(times):
        optimizer.zero_grad()
        loss = model(IDS, labels=IDS).loss
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def save(model: Any, optimizer: optim.Optimizer, folder: str) -> None:
    model.save_pretrained(folder)
    torch.save(optimizer.state_dict(), f"{folder}/optimizer.pt")
    torch.save({"last_epoch": 3, "base_lrs": [1e-3, 1e-3]}, f"{folder}/scheduler.pt")
    torch.save({"cpu": torch.get_rng_state()}, f"{folder}/rng_state.pth")
    Path(folder, "trainer_state.json").write_text(json.dumps({"global_step": 3}))


def teacher_of(architecture: str, config: dict[str, Any]) -> tuple[Any, optim.Optimizer]:
    torch.manual_seed(0)
    kind = getattr(transformers, architecture)
    model = kind(kind.config_class(**config)).double().train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    optimizer = optim.AdamW(groups(model), lr=1e-3)
    step(model, optimizer, 3)
    return model, optimizer


def goes_on(architecture: str, folder: str) -> tuple[Any, optim.Optimizer]:
    kind = getattr(transformers, architecture)
    model = kind.from_pretrained(folder, dtype=torch.float64).train()
    optimizer = optim.AdamW(groups(model), lr=1e-3)
    optimizer.load_state_dict(torch.load(f"{folder}/optimizer.pt"))
    return model, optimizer


@pytest.mark.parametrize(
    ("architecture", "config", "sizes"),
    [
        ("LlamaForCausalLM", LLAMA, {"intermediate_size": 27, "num_attention_heads": 8,
                                     "num_key_value_heads": 4, "hidden_size": 32}),
        ("GPT2LMHeadModel", GPT2, {"n_inner": 100, "n_embd": 32, "n_head": 8}),
    ],
)  # fmt: skip
def test_a_step_and_growth_commute(
    net2net: Net2Net, folder: Path, architecture: str, config: dict[str, Any], sizes: Any
) -> None:
    teacher, optimizer = teacher_of(architecture, config)
    save(teacher, optimizer, "teacher")
    wider = [w for key, n in sizes.items() for w in ("--set", f"{key}={n}")]
    how = ["--expansion", "duplicate", "--split", "even", "--optimizer-map", "gradient", *wider]
    net2net("grow", "teacher", *how, "-o", "student")
    for name in ("scheduler.pt", "rng_state.pth", "trainer_state.json"):
        assert Path("student", name).read_bytes() == Path("teacher", name).read_bytes()
    student, grown = goes_on(architecture, "student")
    assert step(student, grown) == pytest.approx(step(teacher, optimizer), rel=1e-10)
    save(teacher, optimizer, "later")
    net2net("grow", "later", *how, "-o", "later-student")
    assert apart(torch.load("later-student/optimizer.pt"), grown.state_dict()) <= 1e-10


def test_new_blocks_begin_with_no_state_in_their_groups(net2net: Net2Net, folder: Path) -> None:
    teacher, optimizer = teacher_of("LlamaForCausalLM", LLAMA)
    save(teacher, optimizer, "teacher")
    net2net("grow", "teacher", "--set", "num_hidden_layers=3", "--where", "start", "-o", "student")
    student, grown = goes_on("LlamaForCausalLM", "student")
    decayed = {id(p) for p in grown.param_groups[0]["params"]}
    for name, parameter in student.named_parameters():
        assert (id(parameter) in decayed) == (parameter.ndim > 1)
        assert bool(grown.state[parameter]) == (not name.startswith("model.layers.0."))
    old = dict(teacher.named_parameters())
    for name, parameter in student.named_parameters():
        if name.startswith("model.layers.2."):
            was = optimizer.state[old[name.replace("layers.2.", "layers.1.")]]
            assert torch.equal(grown.state[parameter]["exp_avg"], was["exp_avg"])
    step(student, grown)
    assert all(grown.state[p] for p in student.parameters())


def test_none_leaves_it_behind(net2net: Net2Net, folder: Path) -> None:
    save(*teacher_of("LlamaForCausalLM", LLAMA), "teacher")
    deeper = ("--set", "num_hidden_layers=3")
    net2net("grow", "teacher", *deeper, "--optimizer", "none", "-o", "student")
    assert not list(Path("student").glob("*.pt*"))


class Evil:
    def __reduce__(self) -> Any:
        return open, ("ran", "w")


def test_code_in_what_lies_beside_is_carried_and_never_run(net2net: Net2Net, folder: Path) -> None:
    """Schedulers and random states are copied, byte by byte; nothing of them is loaded."""
    model, optimizer = teacher_of("LlamaForCausalLM", LLAMA)
    step(model, optimizer)
    save(model, optimizer, "run")
    names = ("scheduler.pt", "rng_state.pth")
    for name in names:
        torch.save(Evil(), f"run/{name}")
    net2net("grow", "run", "--set", "intermediate_size=24", "--no-verify", "-o", "wider")
    for name in names:
        assert Path("wider", name).read_bytes() == Path("run", name).read_bytes()
    torch.save(Evil(), "run/optimizer.pt")
    said = net2net("grow", "run", "--set", "intermediate_size=24", "-o", "again", code=2).err
    assert "loading it would run" in said
    assert not Path("ran").exists()
    assert not Path("again").exists()


def test_a_link_out_of_the_folder_is_not_copied(net2net: Net2Net, folder: Path) -> None:
    """Whoever made the folder would else have another file of the user's in what is passed on."""
    save(*teacher_of("LlamaForCausalLM", LLAMA), "run")
    Path("secret").write_text("secret")
    Path("run/notes.txt").symlink_to("../secret")
    grow = ("grow", "run", "--set", "intermediate_size=24", "--no-verify")
    said = net2net(*grow, "-o", "wider").err
    assert "`notes.txt` is a link that leads out of the folder, and is not carried along" in said
    assert not Path("wider/notes.txt").exists()
    Path("run/scheduler.pt").unlink()
    Path("run/scheduler.pt").symlink_to("../secret")
    said = net2net(*grow, "-o", "again", code=2).err
    assert "`scheduler.pt` is a link that leads out of the folder" in said
    assert not Path("again").exists()


def test_code_in_a_lightning_checkpoint_is_never_run(net2net: Net2Net, folder: Path) -> None:
    weights = {"fc1.weight": torch.ones(3, 2), "fc2.weight": torch.ones(2, 3)}
    torch.save({"state_dict": weights, "callbacks": {"x": Evil()}}, "last.ckpt")
    said = net2net("widen", "last.ckpt", "--layer", "fc1", "--to", 5, "-o", "out.pt", code=2).err
    assert "loading it would run" in said
    assert "model.state_dict()" in said
    assert not Path("ran").exists()
