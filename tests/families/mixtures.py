"""Teachers with experts, and dense ones that grow into them."""

from __future__ import annotations

from collections.abc import Mapping

from tests.families.common import ALONE, HEADED, OLD, TINY, WINDOW, growths, refusals
from tests.support.families import Case, Settings

EXPERTS = {"num_local_experts": 3, "num_experts_per_tok": 2}
MIXED_EXPERTS = {
    "num_experts": 3,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 10,
    "mlp_only_layers": [1],
}
DOUBLED = {"num_local_experts": 6}


def _experts(**changes: Settings | None) -> Mapping[str, Settings]:
    plain = growths()
    return growths(
        experts=DOUBLED,
        experts_with_their_number={**DOUBLED, "num_experts_per_tok": 4},
        everything={**plain["everything"], **DOUBLED},
        **changes,
    )


UNEVEN = {
    "uneven_experts": ({"num_local_experts": 4}, "equal number"),
    "chosen_experts": ({"num_experts_per_tok": 3}, "num_experts_per_tok"),
}

MIXTURES = (
    Case(
        "mixtral",
        "MixtralForCausalLM",
        {**TINY, **EXPERTS, "sliding_window": 4},
        _experts(),
        refusals(**UNEVEN),
    ),
    Case(
        "mixtral",
        "MixtralForCausalLM",
        {**TINY, **EXPERTS, "tie_word_embeddings": True},
        _experts(),
        label="tied",
    ),
    Case(
        "qwen3_moe",
        "Qwen3MoeForCausalLM",
        {**HEADED, **MIXED_EXPERTS, "norm_topk_prob": True},
        _experts(experts_mlp={"moe_intermediate_size": 13}),
        refusals(**UNEVEN),
    ),
    Case(
        "qwen3_moe",
        "Qwen3MoeForCausalLM",
        {**TINY, **MIXED_EXPERTS, "norm_topk_prob": False, "attention_bias": True},
        {
            "experts": {"num_experts": 6},
            "everything": {
                **growths()["everything"],
                "num_experts": 9,
                "moe_intermediate_size": 13,
            },
        },
        old={**OLD, "num_local_experts": None, "num_experts": 3},
        label="2025",
    ),
    Case(
        "qwen3_moe",
        "Qwen3MoeForCausalLM",
        {**HEADED, **MIXED_EXPERTS, "mlp_only_layers": [], "decoder_sparse_step": 2},
        growths(depth=None, everything=None),
        {"depth": ({"num_hidden_layers": 5}, "decoder_sparse_step")},
        label="sparse",
    ),
)


def _upcycled(family: str, experts: str, mlp: str) -> Mapping[str, Settings]:
    few: Settings = {"family": family, experts: 4, "num_experts_per_tok": 2}
    return {
        "experts_by_default": {"family": family},
        "experts": few,
        "one_expert_each": {**few, "num_experts_per_tok": 1},
        "all_experts": {**few, "num_experts_per_tok": 4},
        "experts_and_mlp": {**few, mlp: 53},
        "experts_and_hidden": {**few, "hidden_size": 28},
        "experts_and_everything": {**few, **growths()["everything"], mlp: 53},
    }


UPCYCLED: tuple[tuple[Case, str], ...] = (
    (
        Case(
            "llama",
            "LlamaForCausalLM",
            TINY,
            _upcycled("mixtral", "num_local_experts", "intermediate_size"),
        ),
        "MixtralForCausalLM",
    ),
    (
        Case(
            "llama",
            "LlamaForCausalLM",
            {**TINY, **ALONE, "rms_norm_eps": 1e-6, "tie_word_embeddings": True},
            {"experts": {"family": "mixtral"}},
            # every key whose default is another one in Mixtral
            old={
                "head_dim": None,
                "num_key_value_heads": None,
                "rms_norm_eps": None,
                "rope_parameters": None,
            },
            label="2023",
        ),
        "MixtralForCausalLM",
    ),
    (
        Case(
            "mistral",
            "MistralForSequenceClassification",
            {**HEADED, "sliding_window": 4, "num_labels": 3},
            {"experts": {"family": "mixtral"}},
        ),
        "MixtralForSequenceClassification",
    ),
    (
        Case(
            "llama",
            "LlamaForCausalLM",
            {**TINY, "mlp_bias": True},
            {},
            {"biases": ({"family": "mixtral"}, "mlp_bias")},
            label="biased",
        ),
        "MixtralForCausalLM",
    ),
    (
        Case(
            "granite",
            "GraniteForCausalLM",
            TINY,
            {},
            {"multipliers": ({"family": "mixtral"}, "cannot become")},
        ),
        "MixtralForCausalLM",
    ),
    (
        Case(
            "qwen3",
            "Qwen3ForCausalLM",
            HEADED,
            _upcycled("qwen3_moe", "num_experts", "moe_intermediate_size"),
        ),
        "Qwen3MoeForCausalLM",
    ),
    (
        Case(
            "qwen3",
            "Qwen3ForCausalLM",
            {**HEADED, **WINDOW},
            {},
            {"windows": ({"family": "qwen3_moe"}, "use_sliding_window")},
            label="windows",
        ),
        "Qwen3MoeForCausalLM",
    ),
)
"""Dense teachers and the class of the students with experts that they grow into."""
