"""A transformer's folder is loaded by its class in transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import net2net_cli
from net2net_cli.errors import UsageError
from tests.families.growing import first_of
from tests.support import vision  # noqa: F401   before transformers is imported
from tests.support.families import load, make_teacher


def test_a_folder_is_loaded(tmp_path: Path) -> None:
    make_teacher(first_of("llama"), tmp_path / "llama")
    network = net2net_cli.load(tmp_path / "llama")
    assert type(network).__name__ == "LlamaForCausalLM"
    assert not network.training
    expected = load(tmp_path / "llama", "LlamaForCausalLM", torch.float32).state_dict()
    found = network.state_dict()
    assert all(torch.equal(found[name], value.to(found[name].dtype))
               for name, value in expected.items())  # fmt: skip
    with pytest.raises(UsageError, match="which is grown as a folder"):
        net2net_cli.widen(network, "intermediate_size", 99)
