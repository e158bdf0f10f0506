"""Teachers of GPT-2, GPT-NeoX, OPT and BLOOM, and how each of them grows or is refused."""

from __future__ import annotations

from tests.families.sizes import (
    COPIES,
    EPS,
    MORE_TOKENS,
    POSITIONS,
    SIZES,
    TOKENS,
    USUAL,
    Growths,
    growths,
    refusals,
)
from tests.support.families import Case, Settings

GPT2_NAMES = {"hidden": "n_embd", "heads": "n_head", "mlp": "n_inner", "depth": "n_layer"}
GPT2: Settings = {
    **TOKENS,
    "n_embd": 24,
    "n_head": 3,
    "n_inner": 20,
    "n_layer": 3,
    "n_positions": 40,
    "layer_norm_epsilon": EPS,
}
GPT2_GROWTHS = growths(GPT2_NAMES)
GPT2_CASES = (
    Case(
        "gpt2",
        "GPT2LMHeadModel",
        GPT2,
        GPT2_GROWTHS,
        refusals(
            GPT2_NAMES,
            positions=({"n_positions": 80}, POSITIONS),
            eps=({"layer_norm_epsilon": 1e-5}, "layer_norm_epsilon"),
        ),
        exact=True,
    ),
    Case(
        "gpt2",
        "GPT2LMHeadModel",
        {**GPT2, "n_inner": None},
        {"hidden": {"n_embd": 33}, "mlp": {"n_inner": 101}, "both": {"n_embd": 30, "n_inner": 123}},
        exact=True,
        label="mlp-of-4",
    ),
    Case(
        "gpt2",
        "GPT2LMHeadModel",
        {**GPT2, "tie_word_embeddings": False},
        GPT2_GROWTHS,
        exact=True,
        label="untied",
    ),
    Case(
        "gpt2",
        "GPT2LMHeadModel",
        {**GPT2, "scale_attn_by_inverse_layer_idx": True},
        {"hidden": {"n_embd": 33}},
        {"depth": ({"n_layer": 5}, "scale_attn_by_inverse_layer_idx")},
        exact=True,
        label="scaled-by-layer",
    ),
    Case("gpt2", "GPT2Model", GPT2, GPT2_GROWTHS, exact=True),
    Case(
        "gpt2", "GPT2ForSequenceClassification", {**GPT2, "num_labels": 3}, GPT2_GROWTHS, exact=True
    ),
    Case("gpt2", "GPT2ForTokenClassification", {**GPT2, "num_labels": 3}, GPT2_GROWTHS, exact=True),
)

NEOX: Settings = {**TOKENS, **SIZES, "max_position_embeddings": 40, "layer_norm_eps": EPS}
NEOX_GROWTHS: Growths = {
    "hidden_and_heads": {"hidden_size": 40, "num_attention_heads": 5},
    "mlp": {"intermediate_size": 29},
    "depth": {"num_hidden_layers": 5},
    **MORE_TOKENS,
    "everything": {
        "hidden_size": 32,
        "num_attention_heads": 4,
        "intermediate_size": 41,
        "num_hidden_layers": 4,
        "vocab_size": 71,
    },
}
NEOX_CASES = (
    Case(
        "gpt_neox",
        "GPTNeoXForCausalLM",
        NEOX,
        NEOX_GROWTHS,
        refusals(USUAL, hidden_alone=({"hidden_size": 48}, "rotary")),
        exact=True,
    ),
    Case(
        "gpt_neox",
        "GPTNeoXForCausalLM",
        {
            **NEOX,
            "use_parallel_residual": False,
            "tie_word_embeddings": True,
            "attention_bias": False,
        },
        NEOX_GROWTHS,
        exact=True,
        label="tied-in-series",
    ),
    Case(
        "gpt_neox",
        "GPTNeoXForCausalLM",
        NEOX,
        NEOX_GROWTHS,
        exact=True,
        old={"rope_parameters": None, "rotary_pct": 0.25, "attention_bias": None},
        label="2023",
    ),
    Case("gpt_neox", "GPTNeoXModel", NEOX, NEOX_GROWTHS, exact=True),
    Case(
        "gpt_neox",
        "GPTNeoXForSequenceClassification",
        {**NEOX, "num_labels": 3},
        NEOX_GROWTHS,
        exact=True,
    ),
)

OPT_NAMES = {**USUAL, "mlp": "ffn_dim"}
OPT: Settings = {
    **TOKENS,
    "hidden_size": 24,
    "num_attention_heads": 3,
    "ffn_dim": 20,
    "num_hidden_layers": 3,
    "max_position_embeddings": 40,
}
OPT_CASES = (
    Case(
        "opt",
        "OPTForCausalLM",
        OPT,
        growths(OPT_NAMES),
        refusals(OPT_NAMES, positions=({"max_position_embeddings": 80}, POSITIONS)),
        exact=True,
    ),
    Case(
        "opt",
        "OPTForCausalLM",
        {**OPT, "tie_word_embeddings": False, "enable_bias": False},
        growths(OPT_NAMES),
        exact=True,
        label="untied-unbiased",
    ),
    Case(
        "opt",
        "OPTForCausalLM",
        {**OPT, "do_layer_norm_before": False},
        {},
        {"post_norm": ({"ffn_dim": 29}, "do_layer_norm_before")},
        label="post-norm",
    ),
    Case("opt", "OPTModel", OPT, growths(OPT_NAMES), exact=True),
    Case(
        "opt",
        "OPTForSequenceClassification",
        {**OPT, "num_labels": 3},
        growths(OPT_NAMES),
        exact=True,
    ),
)

BLOOM_NAMES = {"hidden": "hidden_size", "heads": "n_head", "depth": "n_layer"}
BLOOM: Settings = {
    **TOKENS,
    "hidden_size": 24,
    "n_head": 3,
    "n_layer": 3,
    "layer_norm_epsilon": EPS,
}
BLOOM_GROWTHS = growths(BLOOM_NAMES, hidden=72, heads=False)
BLOOM_CASES = (
    Case(
        "bloom",
        "BloomForCausalLM",
        BLOOM,
        BLOOM_GROWTHS,
        refusals(
            BLOOM_NAMES,
            hidden=({"hidden_size": 36}, COPIES),
            heads_too=({"hidden_size": 48, "n_head": 6}, "ALiBi"),
            heads_alone=({"n_head": 6}, "ALiBi"),
        ),
        exact=True,
    ),
    Case(
        "bloom",
        "BloomForCausalLM",
        {**BLOOM, "tie_word_embeddings": False},
        BLOOM_GROWTHS,
        exact=True,
        label="untied",
    ),
    Case(
        "bloom",
        "BloomForCausalLM",
        {**BLOOM, "apply_residual_connection_post_layernorm": True},
        {"hidden_doubled": {"hidden_size": 48}},
        {"depth": ({"n_layer": 5}, "apply_residual_connection_post_layernorm")},
        exact=True,
        label="residual-behind-norm",
    ),
    Case(
        "bloom",
        "BloomForCausalLM",
        BLOOM,
        {"hidden": {"n_embed": 72}, "depth": {"n_layer": 5}},
        exact=True,
        old={"hidden_size": None, "n_embed": 24, "n_head": None, "num_attention_heads": 3},
        label="2022",
    ),
    Case("bloom", "BloomModel", BLOOM, BLOOM_GROWTHS, exact=True),
    Case(
        "bloom",
        "BloomForSequenceClassification",
        {**BLOOM, "num_labels": 3},
        BLOOM_GROWTHS,
        exact=True,
    ),
)

CASES: tuple[Case, ...] = (*GPT2_CASES, *NEOX_CASES, *OPT_CASES, *BLOOM_CASES)
