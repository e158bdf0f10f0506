"""Valid inputs, made once, which the subjects spoil."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

SPEC = """\
net2net: 1
input: [3, 6, 6]
layers:
  conv: {type: Conv2d, out_channels: 4, kernel_size: 3, padding: 1, bias: false}
  bn: {type: BatchNorm2d}
  act: {type: ReLU}
  mixed:
    type: Concat
    branches:
      a: {one: {type: Conv2d, out_channels: 3, kernel_size: 1}, relu: {type: ReLU}}
      b: {two: {type: Conv2d, out_channels: 2, kernel_size: 3, padding: 1}}
      c: {}
  pool: {type: AdaptiveAvgPool2d, output_size: 1}
  flat: {type: Flatten}
  fc1: {type: Linear, out_features: 6}
  relu1: {type: ReLU}
  out: {type: Linear, out_features: 4}
"""
TARGET = """\
net2net: 1
extends: source
layers:
  conv: {out_channels: 6}
  fc1: {out_features: 9}
  fc1b: {type: Linear, out_features: 6, after: relu1}
  relu1b: {type: ReLU}
"""
SHAPES = {
    "conv.weight": (4, 3, 3, 3), "bn.weight": (4,), "bn.bias": (4,), "bn.running_mean": (4,),
    "bn.running_var": (4,), "bn.num_batches_tracked": (), "mixed.a.one.weight": (3, 4, 1, 1),
    "mixed.a.one.bias": (3,), "mixed.b.two.weight": (2, 4, 3, 3), "mixed.b.two.bias": (2,),
    "fc1.weight": (6, 9), "fc1.bias": (6,), "out.weight": (4, 6), "out.bias": (4,),
}  # fmt: skip
STAGES = (
    """\
net2net: 1
input: [3, 8, 8]
layers:
  conv1: {type: Conv2d, out_channels: 4, kernel_size: 3, padding: 1, bias: false}
  bn1: {type: BatchNorm2d}
  relu: {type: ReLU}
  layer1:
"""
    + "".join(
        f"""\
    {i}:
      type: Add
      branches:
        - conv1: {{type: Conv2d, out_channels: 4, kernel_size: 3, padding: 1}}
          relu: {{type: ReLU}}
          conv2: {{type: Conv2d, out_channels: 4, kernel_size: 3, padding: 1}}
        - {{}}
    relu{i}: {{type: ReLU}}
"""
        for i in range(2)
    )
    + """\
  pool: {type: AdaptiveAvgPool2d, output_size: 1}
  flat: {type: Flatten}
  fc: {type: Linear, out_features: 4}
"""
)
LARGER = """\
net2net: 1
extends: source
width: x1.4
depth: {layer1: +1}
layers:
  layer1.*.conv1: {out_channels: x1.5}
  "**.conv2": {bias: true}
  layer1.0.conv1: {out_channels: 12}
"""
NETS = """\
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4, depth=1, bias=True, config=None):
        super().__init__()
        self.first = nn.Linear(3, width, bias=bias)
        self.rest = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.last = nn.Linear(width, 2)

    def forward(self, x):
        x = torch.relu(self.first(x))
        for layer in self.rest:
            x = x + torch.tanh(layer(x))
        return self.last(x)

class Image(nn.Module):
    def __init__(self, channels=4, size=1):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(size)
        self.fc = nn.Linear(channels * size * size, 2)

    def forward(self, x):
        return self.fc(self.pool(torch.relu(self.conv(x))).flatten(1))

class Ids(nn.Module):
    def __init__(self, count=7, width=4):
        super().__init__()
        self.embed = nn.Embedding(count, width)
        self.fc = nn.Linear(width, 2)

    def forward(self, ids):
        return self.fc(self.embed(ids).mean(1))

class Strange(Net):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return {"a": [x.numpy()]}

made = Net()
number = 3

def build(**options):
    return Net(**options)

def nothing():
    return None

def raises(*args, **options):
    raise RuntimeError("\\x1b[2J" + "no\\n" * 50)

def ends():
    raise SystemExit(0)

def interrupted():
    raise KeyboardInterrupt

def deep():
    return deep()
"""
LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8,
    "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "vocab_size": 11, "rms_norm_eps": 1e-5, "tie_word_embeddings": False,
    "max_position_embeddings": 32, "hidden_act": "silu", "torch_dtype": "float32",
}  # fmt: skip


@dataclass(frozen=True)
class Valid:
    """Valid inputs, made once."""

    folder: Path

    def make(self) -> None:
        """Write them."""
        generator = torch.Generator().manual_seed(0)
        state = {n: torch.rand(s, generator=generator) + 0.1 for n, s in SHAPES.items()}
        state["bn.num_batches_tracked"] = torch.tensor(3)
        save_file(state, self.folder / "ckpt.safetensors")
        torch.save(state, self.folder / "ckpt.pt")
        (self.folder / "ckpt.yaml").write_text(SPEC)
        (self.folder / "target.yaml").write_text(TARGET)
        chain = {n: t for n, t in state.items() if n.startswith(("fc1", "out"))}
        save_file(chain, self.folder / "chain.safetensors")
        self._llama(generator)
        self._stages(generator)
        self._training(chain)
        (self.folder / "nets.py").write_text(NETS)

    def _stages(self, generator: torch.Generator) -> None:
        state = {n: torch.rand(4, generator=generator) + 0.1 for n in ("bn1.weight", "bn1.bias")}
        state |= {f"bn1.running_{n}": torch.rand(4, generator=generator) for n in ("mean", "var")}
        state["conv1.weight"] = torch.rand(4, 3, 3, 3, generator=generator)
        for name in (f"layer1.{i}.conv{j}" for i in range(2) for j in (1, 2)):
            state[f"{name}.weight"] = torch.rand(4, 4, 3, 3, generator=generator)
            state[f"{name}.bias"] = torch.rand(4, generator=generator)
        state |= {"fc.weight": torch.rand(4, 4, generator=generator), "fc.bias": torch.rand(4)}
        save_file(state, self.folder / "stages.safetensors")
        (self.folder / "stages.yaml").write_text(STAGES)

    def _training(self, chain: dict[str, torch.Tensor]) -> None:
        """A run's file, its optimizer's alone, and its folder of torch.distributed.checkpoint."""
        from torch.distributed.checkpoint.state_dict_saver import save as save_dcp

        network = nn.ModuleDict({"fc1": nn.Linear(9, 6), "out": nn.Linear(6, 4)})
        network.load_state_dict(chain)
        optimizer = torch.optim.AdamW(network.parameters())
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        weights, state = network.state_dict(), optimizer.state_dict()
        run = {"model": weights, "optimizer": state, "epoch": 1, "ema": dict(weights)}
        torch.save(state, self.folder / "opt.pt")
        torch.save(run, self.folder / "run.pt")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of there being no process group
            save_dcp(run, checkpoint_id=self.folder / "run.dcp", no_dist=True)

    def _llama(self, generator: torch.Generator) -> None:
        folder = self.folder / "llama"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(LLAMA))
        state: dict[str, torch.Tensor] = {}

        def add(name: str, *shape: int) -> None:
            state[name] = torch.rand(shape, generator=generator)

        for i in range(2):
            for name in "qkvo":
                add(f"model.layers.{i}.self_attn.{name}_proj.weight", 8, 8)
            add(f"model.layers.{i}.mlp.gate_proj.weight", 12, 8)
            add(f"model.layers.{i}.mlp.up_proj.weight", 12, 8)
            add(f"model.layers.{i}.mlp.down_proj.weight", 8, 12)
            add(f"model.layers.{i}.input_layernorm.weight", 8)
            add(f"model.layers.{i}.post_attention_layernorm.weight", 8)
        add("model.embed_tokens.weight", 11, 8)
        add("model.norm.weight", 8)
        add("lm_head.weight", 11, 8)
        names = sorted(state)
        parts = {"model-1.safetensors": names[:9], "model-2.safetensors": names[9:]}
        for file, own in parts.items():
            save_file({n: state[n] for n in own}, folder / file, {"format": "pt"})
        where = {n: file for file, own in parts.items() for n in own}
        index = {"metadata": {"total_size": 1}, "weight_map": where}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    def read(self, name: str) -> bytes:
        """One of them."""
        return (self.folder / name).read_bytes()
