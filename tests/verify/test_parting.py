"""Networks that part somewhere: the layer or block is named, whatever has grown around it."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from net2net_cli import api
from net2net_cli.api import Choices
from net2net_cli.spec import parse_document
from net2net_cli.verification import ProbeOptions
from net2net_cli.verify import network
from net2net_cli.verify.parting import ROWS, distance, first_parting, first_state
from tests.families.growing import Teachers, first_of, grow
from tests.growth.joined_nets import INCEPTION, RESIDUAL
from tests.growth.layer_nets import LAYER_NETS
from tests.support.command import process
from tests.support.memory import EXACT, Judge, built, model_of, teacher_of
from tests.verify.tiny_pretrained import save

NETS = {net.name: net for net in (*LAYER_NETS, INCEPTION, RESIDUAL)}


@pytest.mark.parametrize(("net", "spoilt", "named"), [
    ("ReLU", "last.weight", "last"),
    ("Conv2d:depthwise", "x.weight", "x"),
    ("Permute:channels last", "first.bias", "first"),
    ("LayerNorm:channels last", "first.weight", "first"),
    (RESIDUAL.name, "b.weight", "b"),
    (INCEPTION.name, "b.bias", "b"),
])  # fmt: skip
@pytest.mark.parametrize("size", [4, 8])
def test_the_first_layer_that_differs_is_named(net, spoilt, named, size):
    judge = Judge(teacher_of(parse_document(NETS[net].spec(4), net), 1))
    student = judge.grow(parse_document(NETS[net].spec(size), net), Choices("auto", "signed"))
    assert first_parting(judge.network, built(student.model), judge.inputs, EXACT) is None
    state = {**student.state, spoilt: student.state[spoilt] * 1.01 + 0.01}
    other = built(model_of(student.model.document, state))
    found = first_parting(judge.network, other, judge.inputs, EXACT)
    assert found is not None
    assert found.layer == named
    assert EXACT < found.relative_error < 1
    assert set(found.read) <= set(judge.model.spec.layer(named).inputs)


def test_slices_are_found_among_others_in_their_order():
    old = torch.randn(2, 3, 4)
    new = torch.randn(2, 2, 4)
    mixed = torch.cat([old[:, :1], new[:, :1], old[:, 1:], new[:, 1:]], 1)
    assert distance(old, mixed, 1e-9) == 0
    assert distance(old, mixed.flip(1), 1e-9) > 0.01
    assert distance(old, torch.randn(2, 5, 6), 1e-9) is None
    assert distance(old, None, 1e-9) is None
    assert distance(torch.zeros(2, 3), torch.ones(2, 3), 1e-9) == float("inf")


def test_blocks_that_add_nothing_are_passed_over():
    states = [torch.randn(2, 5, 8) for _ in range(4)]
    theirs = [torch.cat([s, torch.zeros(2, 5, 2)], -1) * 3 for s in states]
    assert first_state(states, [theirs[0], *theirs[:2], *theirs[1:]], 1e-6) is None
    theirs[2] = torch.randn(2, 5, 10)
    assert first_state(states, theirs, 1e-6)[0] == 2
    assert first_state(states, theirs[:2], 1e-6)[0] == 2


def test_verify_names_the_layer(tmp_path):
    generator = torch.Generator().manual_seed(0)
    state = {f"fc{i}.{n}": torch.randn(s, generator=generator)
             for i in range(3) for n, s in (("weight", (6, 6)), ("bias", (6,)))}  # fmt: skip
    save_file(state, tmp_path / "a.safetensors")
    save_file({**state, "fc1.bias": state["fc1.bias"] + 0.1}, tmp_path / "b.safetensors")
    ended = process("verify", "a.safetensors", "b.safetensors", cwd=tmp_path)
    assert ended.returncode == 4
    assert "  --> they part at `fc1`, by " in ended.stderr.decode()
    ended = process("verify", "a.safetensors", "b.safetensors", "--json", cwd=tmp_path)
    parting = json.loads(ended.stdout)["verification"]["probes"][0]["parting"]
    assert parting["layer"] == "fc1"


def test_verify_names_the_block(tmp_path):
    case = first_of("llama")
    teacher = Teachers(tmp_path).folder(case)
    grow(teacher, case.grown["everything"], tmp_path / "student")
    shutil.copytree(tmp_path / "student", tmp_path / "other")
    path = tmp_path / "other" / "model.safetensors"
    state = load_file(path)
    name = "model.layers.0.mlp.down_proj.weight"
    save_file({**state, name: state[name] * 1.1}, path, {"format": "pt"})
    models = [api.open_model(str(f)) for f in (teacher, tmp_path / "student", tmp_path / "other")]
    assert api.verify(models[0], models[1]).passed
    (judged,) = api.verify(models[0], models[2]).probes
    assert not judged.passed
    assert judged.parting is not None
    assert judged.parting.layer == "block 0"
    for model in models:
        model.source.close()


@pytest.mark.parametrize("memory", [1, 1000, 10**9])
def test_the_walk_holds_no_more_values_than_fit(memory, monkeypatch):
    judge = Judge(teacher_of(parse_document(NETS[RESIDUAL.name].spec(4), "x"), 1))
    held, whole = [], network.Network.forward_values

    def watched(self, *inputs, only=None):
        found = whole(self, *inputs, only=only)
        held.append(sum(value.nbytes for value in found.values()))
        return found

    monkeypatch.setattr(network.Network, "forward_values", watched)
    net, sizes = judge.network, judge.network.value_bytes
    assert first_parting(net, net, judge.inputs, EXACT, memory=memory) is None
    bound = max(memory, 2 * ROWS * max(sizes.values()))
    assert all(a + b <= bound for a, b in zip(held[::2], held[1::2], strict=True))
    assert sum(held) == 2 * ROWS * sum(sizes.values())
    assert (len(held) == 2) == (memory == 10**9)


def test_hidden_states_that_do_not_fit_are_not_looked_at(tmp_path):
    save(tmp_path / "a", "LlamaForCausalLM")
    state = load_file(tmp_path / "a" / "model.safetensors")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    state["model.layers.1.mlp.down_proj.weight"] += 1
    save_file(state, tmp_path / "b" / "model.safetensors", {"format": "pt"})
    a, b = (api.open_model(str(tmp_path / name)) for name in "ab")
    found = {
        memory: api.verify(a, b, ProbeOptions(probes=2, memory=memory))
        for memory in (100_000, 10**8)
    }
    assert not any(one.passed for one in found.values())
    parting = found[10**8].probes[0].parting
    assert parting is not None
    assert parting.layer == "block 1"
    assert found[100_000].probes[0].parting is None
    assert "which block differs first is not told" in found[100_000].notes[-1]
