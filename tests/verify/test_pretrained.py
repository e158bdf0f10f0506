"""The probe by transformers itself: what it sees, and how it runs."""

from __future__ import annotations

import inspect

import pytest
import torch
import transformers

from net2net_cli.errors import DifferenceError, UsageError
from net2net_cli.verify import pretrained, pretrained_outputs
from net2net_cli.verify.pretrained import unavailable
from net2net_cli.verify.pretrained_inputs import draw_inputs
from net2net_cli.verify.tolerance import tolerance
from tests.verify.tiny_pretrained import (
    GPT2,
    MODELS,
    POOLED,
    STATES,
    changed,
    compare,
    opened,
    save,
)


@pytest.mark.parametrize("architecture", MODELS)
def test_a_model_is_itself(architecture, tmp_path):
    _, outputs, dtype = MODELS[architecture]
    save(tmp_path, architecture)
    assert unavailable(opened(tmp_path).config) is None
    found = compare(opened(tmp_path), opened(tmp_path), probes=5)
    assert found.comparison.within(0)
    assert found.comparison.dtype == dtype
    assert found.comparison.mode == "evaluation"
    assert found.comparison.probes == 5
    assert tuple(o.name for o in found.comparison.outputs) == outputs
    assert found.comparison.spread > 0.1
    assert all(o.compared == 1 for o in found.comparison.outputs)  # padding makes nothing NaN
    assert found.notes == ()


@pytest.mark.parametrize(
    "name",
    ["transformer.h.1.mlp.c_proj.bias", "transformer.wte.weight", "transformer.ln_f.weight"],
)
def test_a_slightly_changed_weight_is_found(gpt2, tmp_path, name):
    student = changed(gpt2, tmp_path / "s", lambda t, _: t[name].mul_(1.0001))
    found = compare(opened(gpt2), student).comparison
    assert tolerance(["float32"], evaluated_in=found.dtype) == 1e-10
    assert 1e-7 < found.relative_error < 1e-2


def test_an_error_that_only_the_pooled_output_sees_is_found(bert, tmp_path):
    student = changed(bert, tmp_path / "s", lambda t, _: t["pooler.dense.weight"].mul_(1.01))
    states, pooled = compare(opened(bert), student).comparison.outputs
    assert states.relative_error == 0
    assert pooled.relative_error > 1e-4


@pytest.mark.parametrize(("table", "row"), [("position", 0), ("position", 16), ("token_type", 1)])
def test_types_and_places_reach_the_network(bert, tmp_path, table, row):

    def change(tensors, _):
        tensors[f"embeddings.{table}_embeddings.weight"][row] += 0.1 * torch.randn(24)

    assert compare(opened(bert), changed(bert, tmp_path / "s", change)).comparison.max_error > 1e-3


def test_a_grown_vocabulary_is_compared_at_the_old_tokens(gpt2, tmp_path):
    def grow(tensors, config):
        tensors["transformer.wte.weight"] = torch.cat(
            [tensors["transformer.wte.weight"], torch.randn(9, 24)]
        )
        config["vocab_size"] = 70

    assert compare(opened(gpt2), changed(gpt2, tmp_path / "s", grow)).comparison.within(1e-12)


def test_a_student_with_fewer_tokens_is_told(gpt2, tmp_path):
    def cut(tensors, config):
        tensors["transformer.wte.weight"] = tensors["transformer.wte.weight"][:50]
        config["vocab_size"] = 50

    with pytest.raises(DifferenceError, match="knows 61 tokens, the student only 50"):
        compare(opened(gpt2), changed(gpt2, tmp_path / "s", cut))


def test_a_wider_stream_is_compared_at_the_old_channels(bert, tmp_path):
    save(tmp_path / "wide", "BertModel", hidden_size=32)
    found = compare(opened(bert), opened(tmp_path / "wide")).comparison
    assert [o.name for o in found.outputs] == [STATES, POOLED]
    assert found.relative_error > 0.1
    with pytest.raises(DifferenceError, match="output last_hidden_state has the shape"):
        compare(opened(tmp_path / "wide"), opened(bert))


def test_more_classes_are_another_answer(tmp_path):
    save(tmp_path / "two", "ViTForImageClassification", num_labels=2)
    save(tmp_path / "three", "ViTForImageClassification", num_labels=3)
    with pytest.raises(DifferenceError, match=r"output logits has the shape \[2\] in the teacher"):
        compare(opened(tmp_path / "two"), opened(tmp_path / "three"))


def test_the_second_step_goes_through_the_cache(gpt2, monkeypatch):
    """An error in what is cached is seen there and nowhere else."""
    kind = transformers.GPT2LMHeadModel
    forward, second = kind.forward, []

    def wrong(self, *args, **options):
        given = forward(self, *args, **options)
        if options["input_ids"].shape[1] == 1:
            second.append(options)
            if len(second) > 1:  # the student's
                given.logits += 1
        return given

    wrong.__signature__ = inspect.signature(forward)
    monkeypatch.setattr(kind, "forward", wrong)
    first, then = compare(opened(gpt2), opened(gpt2)).comparison.outputs
    assert first.relative_error == 0
    assert then.max_error == pytest.approx(1)
    assert second[0]["attention_mask"].shape == (4, 18)


def test_padding_is_not_compared(bert, monkeypatch):
    found = {}

    def kept(network, inputs, *rest):
        found.update(inputs)
        return runner(network, inputs, *rest)

    runner = pretrained.Runner
    monkeypatch.setattr(pretrained, "Runner", kept)
    compare(opened(bert), opened(bert), probes=6)
    mask = found["attention_mask"]
    assert mask[0].all()
    assert mask[1, 0] == 1
    assert mask[1, -1] == 0
    assert mask[2, 0] == 0
    assert mask[2, -1] == 1
    assert (found["input_ids"][mask == 0] == 0).all()  # BERT's padding token
    assert (found["input_ids"][mask == 1] != 0).all()
    states = torch.randn(6, 17, 4)
    seen = pretrained_outputs._seen("last_hidden_state", states, found)
    assert torch.equal(seen, states[mask.bool()])
    labels = torch.randn(6, 17)
    assert pretrained_outputs._seen("logits", labels, found) is labels


def test_parts_that_fit_memory_give_the_same(gpt2, tmp_path, monkeypatch):
    student = changed(gpt2, tmp_path / "s", lambda t, _: t["transformer.ln_f.weight"].mul_(1.1))
    whole = compare(opened(gpt2), student, probes=7).comparison
    rows, call = [], pretrained_outputs._call

    def counted(network, part, following):
        rows.append(len(following))
        return call(network, part, following)

    monkeypatch.setattr(pretrained_outputs, "_call", counted)
    compare(opened(gpt2), opened(gpt2), probes=7)
    assert rows == [7, 7]
    rows.clear()
    alone = compare(opened(gpt2), student, probes=7, memory=least_of(gpt2)).comparison
    assert alone.relative_error == pytest.approx(whole.relative_error, rel=1e-9)
    assert alone.spread == pytest.approx(whole.spread, rel=1e-9)
    assert rows[:2] == [1, 1]
    assert sum(rows) == 14
    with pytest.raises(UsageError, match=r"for one row of inputs, and .* --probe-memory allows"):
        compare(opened(gpt2), student, probes=7, memory=least_of(gpt2) - 1)


def least_of(folder):
    """What one row is told to take."""
    model = opened(folder)
    kind = transformers.GPT2LMHeadModel
    return pretrained._least(model, draw_inputs(kind, pretrained.model_config(model), 7, 0))


def test_heads_that_pool_without_a_padding_token_get_whole_rows_one_by_one(tmp_path):
    save(tmp_path, "GPT2ForSequenceClassification", GPT2, pad_token_id=None)
    assert compare(opened(tmp_path), opened(tmp_path)).comparison.within(0)


def test_a_row_is_told_to_take_what_its_results_take(gpt2):
    network, _ = pretrained.load(opened(gpt2), "cpu")
    inputs = draw_inputs(type(network), network.config, 6, 0)
    runner = pretrained_outputs.Runner(network, inputs, "cpu")
    outputs = runner.run(0, torch.full((6, 1), 7))
    length, vocabulary = inputs["input_ids"].shape[1], GPT2["vocab_size"]
    assert runner.output_bytes == (length + 1) * vocabulary * 8
    assert runner.output_bytes < runner.row_bytes < least_of(gpt2)
    assert sum(value.nbytes for value in outputs.values()) <= 6 * runner.output_bytes
    del outputs
    assert runner.watch.held == sum(value.nbytes for value in inputs.values())
