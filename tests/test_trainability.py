"""What cannot learn is found, and what can is not called dead: by the real command."""

from __future__ import annotations

import json
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tests.support.command import Net2Net

MLP = """net2net: 1
input: [7]
layers:
  fc1: {type: Linear, out_features: 10}
  relu1: {type: ReLU}
  fc2: {type: Linear, out_features: 12}
  norm: {type: LayerNorm}
  out: {type: Linear, out_features: 3}
"""


@pytest.fixture
def network(folder: Path) -> nn.Sequential:
    torch.manual_seed(0)
    (folder / "net.yaml").write_text(MLP)
    return nn.Sequential(OrderedDict(
        fc1=nn.Linear(7, 10), relu1=nn.ReLU(), fc2=nn.Linear(10, 12), norm=nn.LayerNorm(12),
        out=nn.Linear(12, 3),
    ))  # fmt: skip


def found(net2net: Net2Net, name: str, *options: str) -> set[tuple[str, str, int, int]]:
    ended = net2net("inspect", name, "--train", "--json", *options)
    items = json.loads(ended.out)["training"]
    return {(i["trouble"], i["layer"], i["count"], i["of"]) for i in items}


def test_nothing_is_wrong(net2net: Net2Net, network: nn.Sequential) -> None:
    with torch.no_grad():
        network.fc1.bias.add_(3)  # every unit is awake
    torch.save(network.state_dict(), "net.pt")
    assert found(net2net, "net.pt") == set()
    assert "nothing was found that cannot learn" in net2net("inspect", "net.pt", "--train").out


def test_dead_units(net2net: Net2Net, network: nn.Sequential) -> None:
    with torch.no_grad():
        network.fc1.bias.add_(3)
        network.fc1.bias[:4] = -50
    torch.save(network.state_dict(), "net.pt")
    assert found(net2net, "net.pt") == {("no gradient", "fc1", 4, 10)}
    save_file(
        {"input": torch.full((4, 7), -90.0) * network.fc1.weight[0].sign()}, "data.safetensors"
    )
    awake = found(net2net, "net.pt", "--probe-data", "data.safetensors")
    assert ("no gradient", "fc1", 4, 10) not in awake


def test_fresh_units_wake_up_and_copies_do_not_part(
    net2net: Net2Net, network: nn.Sequential
) -> None:  # fmt: skip
    with torch.no_grad():
        network.fc1.bias.add_(3)
    torch.save(network.state_dict(), "net.pt")
    for how, split, wanted in (
        ("fresh", "signed", set()),
        ("duplicate", "even", {("copies", "fc1", 10, 20)}),
        ("duplicate", "signed", set()),
    ):
        net2net("widen", "net.pt", "--layer", "fc1", "--to", 20, "--expansion", how, "--split",
                split, "--overwrite", "-o", "wide.safetensors")  # fmt: skip
        troubles = {item for item in found(net2net, "wide.safetensors") if item[0] == "copies"}
        assert troubles == wanted
    net2net("widen", "net.pt", "--layer", "fc1", "--to", 20, "--overwrite", "-o", "w.safetensors")
    dead = [item for item in found(net2net, "w.safetensors") if item[0] == "no gradient"]
    assert all(item[2] < 10 for item in dead)  # fresh ones may be dead, but not for their zeros


def test_a_gain_of_zero_in_front_of_zeros(
    net2net: Net2Net, network: nn.Sequential
) -> None:  # fmt: skip
    with torch.no_grad():
        network.fc1.bias.add_(3)
        network.norm.weight.zero_()
        network.norm.bias.zero_()
    torch.save(network.state_dict(), "net.pt")
    assert ("gain", "norm", 12, 12) in found(net2net, "net.pt")
    assert not any(item[0] == "no gradient" for item in found(net2net, "net.pt"))
    with torch.no_grad():
        network.out.weight.zero_()
    torch.save(network.state_dict(), "net.pt")
    stuck = {item[1] for item in found(net2net, "net.pt") if item[0] == "no gradient"}
    assert {"fc1", "fc2", "norm"} <= stuck


def llama(**sizes: int) -> nn.Module:
    from tests.support import vision  # noqa: F401

    # isort: split
    import transformers

    config = {"vocab_size": 31, "hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 2,
              "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4}  # fmt: skip
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**config, **sizes}))


def test_weights_of_transformers(net2net: Net2Net, folder: Path) -> None:
    model = llama()
    with torch.no_grad():
        model.model.layers[1].input_layernorm.weight[:5] = 0
    model.save_pretrained("llama")
    layer = "model.layers.1.input_layernorm"
    assert found(net2net, "llama") == {("gain", layer, 5, 16)}
    net2net("grow", "llama", "--set", "intermediate_size=40", "--expansion", "duplicate", "--split",
            "even", "-o", "wide")  # fmt: skip
    assert {i[0] for i in found(net2net, "wide")} == {"gain", "copies"}


def test_inputs_beyond_memory_are_refused_with_the_figure(net2net: Net2Net, folder: Path) -> None:
    (folder / "net.yaml").write_text(
        "net2net: 1\ninput: [3, 800000, 800000]\nlayers:\n"
        "  conv: {type: Conv2d, out_channels: 2, kernel_size: 1}\n"
    )
    state = {f"conv.{n}": t for n, t in nn.Conv2d(3, 2, 1).state_dict().items()}
    save_file(state, "net.safetensors")
    said = net2net("inspect", "net", "--train", code=2).err
    assert "the probe takes about" in said
    assert "GB for" in said


def test_units_of_transformers_that_are_dead_for_good(net2net: Net2Net, folder: Path) -> None:
    """Padding with zeros, as naive surgery does: of a gated unit neither part moves the other."""
    model = llama()
    blocks = [block.mlp for block in model.model.layers]
    with torch.no_grad():
        for block, dead in zip(blocks, (8, 12), strict=True):
            block.gate_proj.weight[dead:] = 0
            block.up_proj.weight[dead:] = 0
            block.down_proj.weight[:, dead:] = 0
    model.save_pretrained("llama")
    assert {i for i in found(net2net, "llama") if i[0] == "no gradient"} == {
        ("no gradient", "model.layers.*.mlp.down_proj", 8, 20),  # in both blocks
        ("no gradient", "model.layers.0.mlp.down_proj", 4, 20),
    }
    with torch.no_grad():
        blocks[0].up_proj.weight[8:] = 1  # what is read is 0, but the gate is fed
        blocks[0].gate_proj.weight[8:] = 1
        blocks[1].down_proj.weight.zero_()  # the step wakes what comes before
    model.save_pretrained("llama")
    assert {i for i in found(net2net, "llama") if i[0] == "no gradient"} == {
        ("no gradient", "model.layers.1.mlp.down_proj", 8, 20),
    }
    with torch.no_grad():
        for block in blocks:
            block.gate_proj.weight.zero_()
            block.down_proj.weight.zero_()
    model.save_pretrained("llama")
    said = net2net("inspect", "llama", "--train", "--json")
    whole = [i for i in json.loads(said.out)["training"] if i["trouble"] == "no gradient"]
    parts = dict.fromkeys(("mlp.down_proj", "mlp.gate_proj", "mlp.up_proj"), 2 * 20 * 16)
    assert {i["what"]: i["count"] for i in whole} == {
        f"model.layers.*.{part}.weight gets no gradient in blocks 0, 1": count
        for part, count in {**parts, "post_attention_layernorm": 2 * 16}.items()
    }


@pytest.mark.parametrize("sizes", ["intermediate_size=30", "num_hidden_layers=3"])
def test_fresh_units_and_blocks_of_transformers_wake_up(
    net2net: Net2Net, folder: Path, sizes: str
) -> None:
    llama().save_pretrained("llama")
    net2net("grow", "llama", "--set", sizes, "--no-verify", "-o", "grown")
    assert found(net2net, "grown") == set()


def test_tokens_places_and_experts_that_no_input_reaches(
    net2net: Net2Net, folder: Path
) -> None:  # fmt: skip
    """They are none of the network's; the library merges the experts, and one is never chosen."""
    from tests.support import vision  # noqa: F401

    # isort: split
    import transformers

    sizes = {"vocab_size": 900, "n_embd": 16, "n_layer": 2, "n_head": 4}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    transformers.GPT2Model(transformers.GPT2Config(**sizes, **ends)).save_pretrained("gpt2")
    assert found(net2net, "gpt2") == set()
    torch.manual_seed(0)
    model = transformers.MixtralForCausalLM(transformers.MixtralConfig(
        vocab_size=31, hidden_size=16, intermediate_size=20, num_hidden_layers=1, head_dim=4,
        num_attention_heads=4, num_key_value_heads=2, num_local_experts=12,
    ))  # fmt: skip
    with torch.no_grad():
        for name, value in model.named_parameters():
            if "experts" in name:
                value[3].zero_()
    model.save_pretrained("mixtral")
    assert not [i for i in found(net2net, "mixtral") if i[2] == i[3]]


def test_without_gradients_it_is_said(
    net2net: Net2Net, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = llama()
    with torch.no_grad():
        model.model.norm.weight.zero_()
        model.lm_head.weight.zero_()  # neither moves the other
    model.save_pretrained("llama")
    (folder / "no.safetensors").write_bytes(b"")
    net2net("inspect", "llama", "--train", "--probe-data", "no.safetensors", code=2)

    def looked(free: int) -> tuple[set[str], list[str]]:
        monkeypatch.setattr("net2net_cli.verify.memory.free_memory", lambda: free)
        document = json.loads(net2net("inspect", "llama", "--train", "--json").out)
        return {i["trouble"] for i in document["training"]}, [
            d["message"] for d in document["diagnostics"]
        ]

    assert looked(200_000) == ({"gain", "no gradient"}, [])
    note = (
        "no gradients were taken, only weights were looked at: weights and gradients take about"
        " 72448 bytes in float64, and half of the memory that is free is 50000 bytes"
    )
    assert looked(100_000) == ({"gain"}, [note])
    monkeypatch.setitem(sys.modules, "transformers", None)
    troubles, said = looked(200_000)
    assert troubles == {"gain"}
    assert "transformers is not installed (pip install 'net2net[hf]')" in said[0]
