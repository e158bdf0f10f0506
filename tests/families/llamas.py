"""Teachers whose structure is Llama's: Llama and its like, Qwen, Phi."""

from __future__ import annotations

from tests.families.common import (
    ALONE,
    DIVIDED,
    HEADED,
    OLD,
    TINY,
    UNDIVIDED,
    WINDOW,
    growths,
    refusals,
)
from tests.support.families import Case

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
ALONE_GROWTHS = growths(
    kv_heads=None,
    query_groups=None,
    hidden={"hidden_size": 28},
    heads={"num_attention_heads": 6, "num_key_value_heads": 6},
    everything={
        "vocab_size": 67,
        "hidden_size": 30,
        "intermediate_size": 53,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "num_key_value_heads": 6,
    },
)
LLAMA = (
    Case("llama", "LlamaForCausalLM", TINY, DIVIDED, refusals(**UNDIVIDED)),
    Case(
        "llama",
        "LlamaForCausalLM",
        {
            **TINY,
            **ALONE,
            "tie_word_embeddings": True,
            "attention_bias": True,
            "mlp_bias": True,
            "rope_parameters": LLAMA3_ROPE,
        },
        ALONE_GROWTHS,
        label="tied-biased",
    ),
    Case(
        "llama",
        "LlamaForCausalLM",
        {**TINY, **ALONE},
        {
            "heads": {"num_attention_heads": 6},
            "hidden": {"hidden_size": 28},
            "both": {"hidden_size": 30, "num_attention_heads": 5},
        },
        old={**OLD, "head_dim": None, "num_key_value_heads": None},
        label="2023",
    ),
    Case("llama", "LlamaModel", TINY, DIVIDED),
    Case("llama", "LlamaForSequenceClassification", {**TINY, "num_labels": 3}, DIVIDED),
    Case("llama", "LlamaForTokenClassification", {**TINY, "num_labels": 3}, DIVIDED),
    Case("llama", "LlamaForQuestionAnswering", TINY, DIVIDED),
    Case("mistral", "MistralForCausalLM", {**HEADED, "sliding_window": 4}, growths(), refusals()),
    Case(
        "granite",
        "MinistralForCausalLM",
        {
            **HEADED,
            "sliding_window": 4,
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention"],
        },
        growths(),
    ),
    Case("granite", "Ministral3ForCausalLM", HEADED, growths()),
    Case(
        "granite",
        "GraniteForCausalLM",
        {
            **TINY,
            "tie_word_embeddings": True,
            "embedding_multiplier": 3.0,
            "attention_multiplier": 0.3,
            "residual_multiplier": 0.5,
            "logits_scaling": 2.0,
        },
        growths(),
    ),
    Case("granite", "SeedOssForCausalLM", {**HEADED, "attention_out_bias": True}, growths()),
)

QWEN = (
    Case("qwen2", "Qwen2ForCausalLM", TINY, growths(), refusals()),
    Case(
        "qwen2", "Qwen2ForCausalLM", {**TINY, "tie_word_embeddings": True}, growths(), label="tied"
    ),
    Case(
        "qwen2",
        "Qwen2ForCausalLM",
        TINY,
        growths(),
        old={**OLD, "layer_types": None, "max_window_layers": 3},
        label="2024",
    ),
    Case(
        "qwen2",
        "Qwen2ForCausalLM",
        {**TINY, **WINDOW},
        growths(),
        refusals(),
        label="windows",
    ),
    Case("qwen3", "Qwen3ForCausalLM", HEADED, growths(), refusals()),
    Case(
        "qwen3",
        "Qwen3ForCausalLM",
        {**HEADED, "tie_word_embeddings": True, "attention_bias": True},
        growths(),
        label="tied-biased",
    ),
    Case(
        "qwen3",
        "Qwen3ForCausalLM",
        {**HEADED, **WINDOW},
        growths(),
        refusals(),
        label="windows",
    ),
)

LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "partial_rotary_factor": 1.0,
    "short_factor": [1.0, 1.25, 1.5],
    "long_factor": [1.0, 2.0, 3.0],
}

PHI = (
    Case(
        "phi3",
        "Phi3ForCausalLM",
        {
            **TINY,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 0.67,
            },
        },
        growths(),
        refusals(),
    ),
    Case("phi3", "Phi3ForCausalLM", {**TINY, "tie_word_embeddings": True}, growths(), label="tied"),
    Case(
        "phi3",
        "Phi3ForCausalLM",
        {**TINY, "rope_parameters": LONG_ROPE, "original_max_position_embeddings": 32},
        {
            "mlp": {"intermediate_size": 53},
            "vocabulary": {"vocab_size": 67},
            "depth": {"num_hidden_layers": 5},
        },
        {
            "hidden": ({"hidden_size": 28}, "short_factor"),
            "heads": ({"num_attention_heads": 6}, "short_factor"),
        },
        label="long",
    ),
)
