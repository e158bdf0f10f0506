"""Tiny models of transformers on disk, and copies of them with something changed."""

from __future__ import annotations

import json

import torch
import transformers
from safetensors.torch import load_file, save_file

from net2net_cli.io import open_source
from net2net_cli.verify.pretrained import Pretrained, probe_pretrained
from net2net_cli.verify.tolerance import MIXED
from tests.support.families import randomise

SIZES = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
         "num_attention_heads": 4}  # fmt: skip
LLAMA = SIZES | {"vocab_size": 61, "num_key_value_heads": 2, "max_position_embeddings": 40,
                 "eos_token_id": 2}  # fmt: skip
BERT = SIZES | {"vocab_size": 61, "max_position_embeddings": 40}
GPT2 = {"vocab_size": 61, "n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 40,
        "bos_token_id": 1, "eos_token_id": 1}  # fmt: skip
T5 = {"vocab_size": 61, "d_model": 24, "d_ff": 40, "num_layers": 2, "num_heads": 4, "d_kv": 6}
VIT = SIZES | {"image_size": 16, "patch_size": 4}
BART = {"vocab_size": 61, "d_model": 24, "encoder_layers": 2, "decoder_layers": 2,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 40,
        "decoder_ffn_dim": 40}  # fmt: skip
WHISPER = BART | {"num_mel_bins": 8, "max_source_positions": 20, "max_target_positions": 30,
                  "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
                  "decoder_start_token_id": 1}  # fmt: skip
MAMBA = {"vocab_size": 61, "hidden_size": 24, "state_size": 4, "num_hidden_layers": 2,
         "time_step_rank": 3}  # fmt: skip

STATES, LOGITS, POOLED = "last_hidden_state", "logits", "pooler_output"


def twice(name):
    return (name, f"{name} (second step)")


MODELS = {
    "LlamaForCausalLM": (LLAMA, twice(LOGITS), MIXED),
    "LlamaForSequenceClassification": (LLAMA, (LOGITS,), MIXED),
    "MixtralForCausalLM": (LLAMA | {"num_local_experts": 4}, twice(LOGITS), MIXED),
    "GPT2LMHeadModel": (GPT2, twice(LOGITS), "float64"),
    "GPT2Model": (GPT2, twice(STATES), "float64"),
    "GPT2ForSequenceClassification": (GPT2 | {"pad_token_id": 3}, (LOGITS,), "float64"),
    "BertModel": (BERT, (STATES, POOLED), "float64"),
    "BertForMaskedLM": (BERT, (LOGITS,), "float64"),
    "BertForQuestionAnswering": (BERT, ("start_logits", "end_logits"), "float64"),
    "RobertaForMaskedLM": (BERT, (LOGITS,), "float64"),
    "T5ForConditionalGeneration": (T5, twice(LOGITS), MIXED),
    "T5Model": (T5, twice(STATES), MIXED),
    "T5EncoderModel": (T5, (STATES,), MIXED),
    "BartForConditionalGeneration": (BART, twice(LOGITS), "float64"),
    "BartForSequenceClassification": (BART, (LOGITS,), "float64"),
    "ViTModel": (VIT, (STATES, POOLED), MIXED),
    "ViTForImageClassification": (VIT, (LOGITS,), MIXED),
    "WhisperForConditionalGeneration": (WHISPER, twice(LOGITS), "float64"),
    "MambaForCausalLM": (MAMBA, twice(LOGITS), MIXED),
}


def save(folder, architecture, config=None, **changes):
    kind = getattr(transformers, architecture)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind(kind.config_class(**((config or MODELS[architecture][0]) | changes)))
        randomise(model)
    model.save_pretrained(folder)
    return model


def opened(folder):
    config = json.loads((folder / "config.json").read_text())
    return Pretrained(config, open_source(folder))


def changed(folder, target, change):
    """A copy of a folder whose tensors, or config, went through ``change(tensors, config)``."""
    target.mkdir()
    tensors = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    change(tensors, config)
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    (target / "config.json").write_text(json.dumps(config))
    return opened(target)


def compare(teacher, student, *, probes=4, **options):
    return probe_pretrained(teacher, student, probes=probes, seed=0, **options)
