"""What models of transformers are probed with: drawn by a seed, or given in a file."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from net2net_cli.errors import CheckpointError, UsageError
from net2net_cli.verify.pretrained import probe_pretrained
from tests.verify.tiny_pretrained import (
    changed,
    compare,
    opened,
    save,
)


def test_inputs_can_be_given(gpt2, tmp_path):
    file = tmp_path / "inputs.safetensors"
    mask = torch.ones(3, 5, dtype=torch.int64)
    mask[0, :2] = 0
    save_file({"input_ids": torch.arange(15).reshape(3, 5), "attention_mask": mask}, file)
    found = compare(opened(gpt2), opened(gpt2), data=file).comparison
    assert found.probes == 3
    assert found.within(0)


def test_a_decoder_given_nothing_gets_drawn_ids(tmp_path):
    save(tmp_path / "t5", "T5ForConditionalGeneration")
    file = tmp_path / "inputs.safetensors"
    save_file({"input_ids": torch.arange(10, dtype=torch.int32).reshape(2, 5)}, file)
    model = opened(tmp_path / "t5")
    assert compare(model, model, data=file).comparison.probes == 2


IDS = torch.arange(6).reshape(2, 3)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"input_ids": IDS + 60}, "input_ids holds 60 to 65, not 0 to 60"),
        ({"input_ids": IDS - 1}, "input_ids holds -1 to 4"),
        ({"input_ids": IDS.float()}, "holds float32, not whole numbers"),
        ({"input_ids": IDS[0]}, r"has the shape \[3\]"),
        ({"input_ids": IDS, "attention_mask": IDS}, "attention_mask holds 0 to 5, not 0 to 1"),
        ({"input_ids": IDS, "attention_mask": IDS[:1] * 0}, "different numbers of examples"),
        ({"input_ids": IDS, "labels": IDS}, "is not probed with an input `labels`"),
        ({"attention_mask": IDS * 0}, "the input `input_ids` of GPT2LMHeadModel is missing"),
    ],
)
def test_inputs_that_do_not_fit_are_named(gpt2, tmp_path, held, message):
    file = tmp_path / "inputs.safetensors"
    save_file({name: value.clone() for name, value in held.items()}, file)
    with pytest.raises(CheckpointError, match=message):
        compare(opened(gpt2), opened(gpt2), data=file)


def test_inputs_that_are_no_file_of_tensors(gpt2, tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        compare(opened(gpt2), opened(gpt2), data=tmp_path / "none")
    (tmp_path / "text").write_text("text")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        compare(opened(gpt2), opened(gpt2), data=tmp_path / "text")
    with pytest.raises(UsageError, match="too few"):
        compare(opened(gpt2), opened(gpt2), probes=0)


def test_the_seed_alone_tells_the_probes(gpt2, tmp_path):
    student = changed(gpt2, tmp_path / "s", lambda t, _: t["transformer.ln_f.weight"].mul_(1.1))

    def found(seed):
        return probe_pretrained(opened(gpt2), student, probes=2, seed=seed)

    assert found(1) == found(1)
    assert found(1) != found(2)
