"""What cannot learn is found, and what can is not called dead: by the real command."""

from __future__ import annotations

import json
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


def test_transformers_by_their_weights(net2net: Net2Net, folder: Path) -> None:
    from tests.support import vision  # noqa: F401

    # isort: split
    import transformers

    sizes = {"vocab_size": 31, "hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 2,
             "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4}  # fmt: skip
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes))
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
