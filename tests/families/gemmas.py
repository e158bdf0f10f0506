"""Teachers of the three Gemma families."""

from __future__ import annotations

from tests.families.common import DIVIDED, HEADED, OLD, UNDIVIDED, growths, refusals
from tests.support.families import Case

CAPPED = {
    **HEADED,
    "num_hidden_layers": 4,
    "sliding_window": 4,
    "query_pre_attn_scalar": 10,
    "attn_logit_softcapping": 5.0,
    "final_logit_softcapping": 7.0,
}

GEMMA = (
    Case("gemma", "GemmaForCausalLM", HEADED, growths(), refusals()),
    Case(
        "gemma",
        "GemmaForCausalLM",
        {**HEADED, "tie_word_embeddings": False, "attention_bias": True},
        growths(),
        label="untied-biased",
    ),
    Case("gemma", "GemmaForSequenceClassification", {**HEADED, "num_labels": 3}, growths()),
    Case("gemma2", "Gemma2ForCausalLM", CAPPED, DIVIDED, refusals(**UNDIVIDED)),
    Case(
        "gemma2",
        "Gemma2ForCausalLM",
        CAPPED,
        {"depth": {"num_hidden_layers": 7}, "mlp": {"intermediate_size": 53}},
        old={**OLD, "layer_types": None},
        label="2024",
    ),
    Case(
        "gemma2",
        "Gemma2ForCausalLM",
        {**CAPPED, "tie_word_embeddings": False},
        DIVIDED,
        label="untied",
    ),
    Case(
        "gemma3",
        "Gemma3ForCausalLM",
        {
            **CAPPED,
            "layer_types": [
                "sliding_attention",
                "full_attention",
                "sliding_attention",
                "sliding_attention",
            ],
        },
        DIVIDED,
        refusals(**UNDIVIDED),
    ),
    Case(
        "gemma3",
        "Gemma3ForCausalLM",
        {**CAPPED, "num_hidden_layers": 7},
        {"depth": {"num_hidden_layers": 9}, "hidden": {"hidden_size": 28}},
        old={
            "layer_types": None,
            "_sliding_window_pattern": None,
            "sliding_window_pattern": 6,
            "rope_parameters": None,
            "rope_theta": 1e6,
            "rope_local_base_freq": 1e4,
        },
        label="2025",
    ),
    Case(
        "gemma3",
        "Gemma3TextForSequenceClassification",
        {**CAPPED, "num_labels": 3, "attention_bias": True},
        DIVIDED,
    ),
)
