"""How far a probe is: what is said of it goes up, and ends where it said that it would."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from net2net_cli.api import Model, open_model, verify
from net2net_cli.verification import ProbeOptions
from net2net_cli.verify import deferred, network
from tests.growth.joined_nets import RESIDUAL
from tests.growth.nets import Net, chain, teacher_of
from tests.verify.tiny_pretrained import save


class Told:
    """What was told of each stage."""

    def __init__(self) -> None:
        self.steps: dict[str, list[tuple[int, int]]] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        self.steps.setdefault(what, []).append((done, total))

    def check(self, what: str) -> int:
        """Bytes in all."""
        steps = self.steps[what]
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)
        assert all(done <= total for done, total in steps)
        assert steps[-1][0] == steps[-1][1]
        return steps[-1][1]


def bytes_of(model: Model) -> int:
    return sum(info.nbytes for info in model.source.tensors.values())


LINEAR = Net(
    "chain",
    """fc1: {type: Linear, out_features: $n, bias: false}
       fc2: {type: Linear, out_features: 50, bias: false}""",
    lambda n: chain(fc1=torch.nn.Linear(40, n, bias=False), fc2=torch.nn.Linear(n, 50, bias=False)),
    ((40,),),
)


@pytest.mark.parametrize("piece", [500, 2**20])
def test_of_layers_every_weight_counts_once(
    piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deferred, "PIECE", piece)
    model, told = teacher_of(LINEAR, tmp_path, 60).model, Told()
    assert verify(model, model, progress=told).passed
    assert told.check("probing") == told.check("looking for NaN") == 2 * bytes_of(model)
    assert told.steps["probing"][0] == (0, 2 * bytes_of(model))


@pytest.mark.parametrize("conv_bytes", [100_000, 2**26])
def test_of_convolutions_in_parts_and_in_two_modes_too(
    conv_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "CONV_BYTES", conv_bytes)
    model, told = teacher_of(RESIDUAL, tmp_path).model, Told()
    assert verify(model, model, progress=told).passed
    total = told.check("probing")
    assert {wanted for _, wanted in told.steps["probing"]} == {total}
    assert total > 2 * bytes_of(model)  # it normalises: evaluation, and training


@pytest.mark.parametrize("tied", [True, False])
def test_of_a_transformer_in_chunks(tied: bool, tmp_path: Path) -> None:
    save(tmp_path, "LlamaForCausalLM", vocab_size=901, tie_word_embeddings=tied)
    model, told = open_model(str(tmp_path)), Told()
    options = ProbeOptions(probes=6, memory=2_000_000)
    assert verify(model, model, options, progress=told).passed
    total = told.check("probing")
    first = told.steps["probing"][0][1]
    assert total >= first / 6
    table = model.source.tensors["model.embed_tokens.weight"].nbytes
    once = bytes_of(model) - (0 if tied else table)
    passes = 2 * 2  # both models, two steps
    assert total % passes < total * 0.2
    assert passes * once <= total <= 6 * passes * (once + table)
