"""transformers as the verifier uses it: silent, offline, told of in one line where it fails."""

from __future__ import annotations

import builtins
import logging
import socket
import warnings

import huggingface_hub
import pytest
import torch
import transformers

from net2net_cli.errors import CheckpointError, DifferenceError
from net2net_cli.verify import pretrained, pretrained_library
from net2net_cli.verify.precision import full_precision
from net2net_cli.verify.pretrained import unavailable
from tests.verify.tiny_pretrained import (
    changed,
    compare,
    opened,
    save,
)


def lacking(name):
    return lambda tensors, _: tensors.pop(name)


def test_tensors_that_the_student_alone_lacks_are_named(gpt2, tmp_path):
    student = changed(gpt2, tmp_path / "s", lacking("transformer.h.1.attn.c_attn.bias"))
    with pytest.raises(DifferenceError, match=r"lacks `transformer.h.1.attn.c_attn.bias`") as told:
        compare(opened(gpt2), student)
    assert told.value.exit_code == 4


def test_tensors_that_the_student_alone_has_or_holds_otherwise_are_named(gpt2, tmp_path):
    def change(tensors, _):
        tensors["transformer.h.0.other"] = torch.ones(2)
        tensors["transformer.ln_f.bias"] = torch.ones(25)

    message = "no use for `transformer.h.0.other`; of another shape are `transformer.ln_f.bias`"
    with pytest.raises(DifferenceError, match=message):
        compare(opened(gpt2), changed(gpt2, tmp_path / "s", change))


@pytest.mark.parametrize("error", [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), MemoryError(),
    RuntimeError("CUDA error: unspecified launch failure"),
], ids=type)  # fmt: skip
def test_what_is_the_memorys_or_a_gpus_is_not_laid_on_the_checkpoint(gpt2, error):
    with pytest.raises(type(error)) as told, pretrained_library.told(opened(gpt2), "cannot run it"):
        raise error
    assert told.value is error


def test_a_probe_rounds_no_more_than_float32_does():
    """And leaves everything as it was."""
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = (matmul.fp32_precision, conv.fp32_precision)
    with full_precision():
        assert (matmul.fp32_precision, conv.fp32_precision) == ("ieee", "ieee")
        assert not matmul.allow_tf32
    assert (matmul.fp32_precision, conv.fp32_precision) == before


def test_what_the_teacher_lacks_likewise_is_noted(bert, tmp_path):
    """Else transformers would draw the pooler at random, and another one for each."""

    def change(tensors, _):
        tensors.pop("pooler.dense.weight")
        tensors["old.buffer"] = torch.ones(3)

    teacher = changed(bert, tmp_path / "t", change)
    found = compare(teacher, changed(bert, tmp_path / "s", change))
    assert found.comparison.within(0)
    made_up, unread = found.notes
    assert "finds no `pooler.dense.weight`" in made_up
    assert "does not read `old.buffer`" in unread


def test_nothing_is_printed_and_all_is_as_before(gpt2, tmp_path, capfd):
    student = changed(gpt2, tmp_path / "s", lacking("transformer.ln_f.bias"))
    capfd.readouterr()
    state = torch.get_rng_state()
    before = (logging.root.manager.disable, list(warnings.filters), torch.get_default_dtype())
    with pytest.raises(DifferenceError):
        compare(opened(gpt2), student)
    compare(opened(gpt2), opened(gpt2))
    assert capfd.readouterr() == ("", "")
    after = (logging.root.manager.disable, list(warnings.filters), torch.get_default_dtype())
    assert before == after
    assert transformers.utils.logging.is_progress_bar_enabled()
    assert not huggingface_hub.constants.HF_HUB_OFFLINE
    assert torch.equal(torch.get_rng_state(), state)


def test_nothing_is_fetched_and_no_code_of_the_checkpoint_is_run(gpt2, tmp_path, monkeypatch):
    def change(_, config):
        config["auto_map"] = {"AutoModelForCausalLM": "evil.Model", "AutoConfig": "evil.Config"}
        config["_name_or_path"] = "someone/something"

    def forbidden(*args):
        raise AssertionError("a connection")

    student = changed(gpt2, tmp_path / "s", change)
    (tmp_path / "s" / "evil.py").write_text("raise SystemExit('run')")
    (tmp_path / "s" / "custom_generate").mkdir()
    (tmp_path / "s" / "custom_generate" / "generate.py").write_text("raise SystemExit('run')")
    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    assert compare(opened(gpt2), student).comparison.within(0)


def test_the_type_tells_the_class_where_no_architecture_is_named(bert, tmp_path):
    model = changed(bert, tmp_path / "s", lambda _, config: config.pop("architectures"))
    assert unavailable(model.config) is None
    assert compare(opened(bert), model).comparison.within(0)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"architectures": ["NoSuchModel"]}, "has no model class NoSuchModel"),
        ({"architectures": ["BertConfig"]}, "has no model class BertConfig"),
        ({"architectures": ["logging"]}, "has no model class logging"),
        ({"model_type": "no_such"}, "has no model of the type no_such"),
        ({"architectures": [], "model_type": ["bert"]}, "has no model of the type"),
        ({}, "has no model of the type None"),
    ],
)
def test_a_class_that_transformers_lacks_is_a_reason(config, reason):
    assert reason in unavailable(config)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModuleNotFoundError("no", name="transformers"), "is not installed (pip install 'net2net["),
        (ModuleNotFoundError("No module named 'tokenizers'", name="tokenizers"), "'tokenizers'"),
        (RuntimeError("operator nms\ndoes not exist"), "cannot be imported: operator nms"),
        (ValueError(), "cannot be imported: ValueError"),
    ],
)
def test_an_import_that_fails_is_a_reason(monkeypatch, gpt2, error, reason):
    original = builtins.__import__

    def failing(name, *args, **options):
        if name == "transformers":
            raise error
        return original(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", failing)
    assert reason in unavailable({"architectures": ["GPT2LMHeadModel"]})
    with pytest.raises(CheckpointError):
        compare(opened(gpt2), opened(gpt2))


def test_a_class_whose_import_fails_is_told_by_its_cause(monkeypatch):
    def find(library, config):
        raise ModuleNotFoundError("requirements?") from RuntimeError("the real cause")

    monkeypatch.setattr(pretrained_library, "_find", find)
    assert unavailable({}) == "transformers cannot be imported: the real cause"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_head": 5}, "cannot load it as GPT2LMHeadModel: .*must be divisible"),
        (
            {"n_embd": "many"},
            "transformers (does not take the config.json|cannot load it as GPT2LMHeadModel): ",
        ),
        ({"activation_function": "none such"}, "cannot load it as GPT2LMHeadModel: "),
    ],
)
def test_a_config_that_transformers_rejects_is_told_in_one_line(gpt2, tmp_path, change, message):
    wrong = changed(gpt2, tmp_path / "s", lambda _, config: config.update(change))
    with pytest.raises(CheckpointError, match=message) as told:
        compare(wrong, wrong)
    assert "\n" not in told.value.message
    assert told.value.where == str(tmp_path / "s")


def test_a_model_that_fails_in_running_is_told_in_one_line(gpt2, monkeypatch):
    def failing(*args):
        raise RuntimeError("out of something\nat 0x0")

    monkeypatch.setattr(pretrained.Runner, "run", failing)
    with pytest.raises(CheckpointError, match=r"cannot run GPT2LMHeadModel: out of something$"):
        compare(opened(gpt2), opened(gpt2))


def test_a_student_that_takes_or_gives_something_else_is_a_difference(bert, gpt2, tmp_path):
    with pytest.raises(DifferenceError, match="gives the output `last_hidden_state`, the student"):
        compare(opened(bert), opened(gpt2))
    save(tmp_path / "roberta", "RobertaForMaskedLM")
    save(tmp_path / "vit", "ViTModel")
    with pytest.raises(DifferenceError, match="the student, ViTModel, takes no input `input_ids`"):
        compare(opened(tmp_path / "roberta"), opened(tmp_path / "vit"))
