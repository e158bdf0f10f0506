"""The networks of the study, in all sizes: made from specs by the tool, or by transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from net2net_cli.spec import Spec, parse_document, to_spec
from net2net_cli.verify.network import Network, build

Size = Literal["teacher", "wider", "deeper", "both"]
State = dict[str, Tensor]


class Family(Protocol):
    """Networks of one kind in four sizes, as modules and as checkpoints."""

    def untrained(self, size: Size, seed: int) -> nn.Module:
        """As its library initialises it; maps a batch of inputs to scores [..., classes]."""
        ...

    def state_of(self, network: nn.Module) -> State:
        """The tensors by the checkpoint's names, cloned."""
        ...

    def with_state(self, size: Size, state: State) -> nn.Module:
        """The network with those tensors."""
        ...

    def named(self, network: nn.Module) -> list[tuple[str, nn.Parameter]]:
        """The parameters by the checkpoint's names."""
        ...

    def save(self, network: nn.Module, folder: Path) -> Path:
        """Writes the teacher, and the specs of what it grows into, into a folder."""
        ...

    def target(self, size: Size, folder: Path) -> tuple[Path | None, Mapping[str, str]]:
        """What ``api.make_plan`` takes: a spec and settings."""
        ...

    def read(self, path: Path) -> State:
        """The tensors of a student that the tool wrote."""
        ...


class Scores(nn.Module):
    """A network of one output, given as it is."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)[0]


@dataclass(frozen=True)
class Layered:
    """Networks that layer specs describe; ``texts`` are theirs, by size."""

    texts: Mapping[Size, str]

    def _spec(self, size: Size) -> Spec:
        return to_spec(parse_document(self.texts[size], size))

    def untrained(self, size: Size, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        network = Network(self._spec(size), torch.float32).to_empty(device="cpu")
        for step in network.steps:
            if hasattr(step.module, "reset_parameters"):
                step.module.reset_parameters()
        return Scores(network)

    def state_of(self, network: nn.Module) -> State:
        assert isinstance(network, Scores)
        return {
            f"{step.layer.name}.{name}": tensor.detach().clone()
            for step in network.network.steps
            for name, tensor in step.module.state_dict().items()
        }

    def with_state(self, size: Size, state: State) -> nn.Module:
        cloned = {name: tensor.clone() for name, tensor in state.items()}  # training changes them
        return Scores(build(self._spec(size), cloned, torch.float32))

    def named(self, network: nn.Module) -> list[tuple[str, nn.Parameter]]:
        assert isinstance(network, Scores)
        return [
            (f"{step.layer.name}.{name}", parameter)
            for step in network.network.steps
            for name, parameter in step.module.named_parameters()
        ]

    def save(self, network: nn.Module, folder: Path) -> Path:
        for size, text in self.texts.items():
            (folder / f"{size}.yaml").write_text(text)
        save_file(self.state_of(network), folder / "teacher.safetensors")
        return folder / "teacher.safetensors"

    def target(self, size: Size, folder: Path) -> tuple[Path | None, Mapping[str, str]]:
        return folder / f"{size}.yaml", {}

    def read(self, path: Path) -> State:
        return load_file(path)


class Logits(nn.Module):
    """A language model of transformers, giving its logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        return self.model(input_ids=ids, use_cache=False).logits


@dataclass(frozen=True)
class Gpt:
    """GPT-2 as transformers builds it; ``base`` is the teacher's config, ``grown`` what changes."""

    base: Mapping[str, int]
    grown: Mapping[Size, Mapping[str, int]]

    def _config(self, size: Size):
        from transformers import GPT2Config

        from tests.support import vision  # noqa: F401  (what transformers imports of torchvision)

        sizes = {**self.base, **self.grown.get(size, {})}
        return GPT2Config(
            **sizes,
            initializer_range=0.08,  # 0.02 is made for widths of hundreds
            layer_norm_epsilon=1e-5 * self.base["n_embd"] / sizes["n_embd"],  # as the plan has it
            **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
            **dict.fromkeys(("bos_token_id", "eos_token_id"), 0),
        )

    def untrained(self, size: Size, seed: int) -> nn.Module:
        config = self._config(size)
        from transformers import GPT2LMHeadModel

        torch.manual_seed(seed)
        return Logits(GPT2LMHeadModel(config))

    def state_of(self, network: nn.Module) -> State:
        assert isinstance(network, Logits)
        return {
            name: tensor.detach().clone()
            for name, tensor in network.model.state_dict().items()
            if name != "lm_head.weight"  # tied
        }

    def with_state(self, size: Size, state: State) -> nn.Module:
        network = self.untrained(size, 0)
        missing, unused = network.model.load_state_dict(state, strict=False)
        assert not unused and set(missing) <= {"lm_head.weight"}, (missing, unused)
        return network

    def named(self, network: nn.Module) -> list[tuple[str, nn.Parameter]]:
        assert isinstance(network, Logits)
        return list(network.model.named_parameters())

    def save(self, network: nn.Module, folder: Path) -> Path:
        network.model.save_pretrained(folder / "teacher")
        return folder / "teacher"

    def target(self, size: Size, folder: Path) -> tuple[Path | None, Mapping[str, str]]:
        return None, {key: str(value) for key, value in self.grown[size].items()}

    def read(self, path: Path) -> State:
        return load_file(path / "model.safetensors")
