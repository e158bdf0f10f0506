"""Teachers of T5, Whisper and BART, and how each of them grows or is refused."""

from __future__ import annotations

from tests.families.sizes import (
    COPIES,
    EPS,
    MORE_TOKENS,
    POSITIONS,
    TOKENS,
    Deepened,
    Growths,
    Refusals,
)
from tests.support.families import Case, Settings

T5: Settings = {
    **{key: value for key, value in TOKENS.items() if key != "bos_token_id"},
    "d_model": 24,
    "d_kv": 6,
    "d_ff": 20,
    "num_heads": 3,
    "num_layers": 3,
    "num_decoder_layers": 2,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 10,
    "layer_norm_epsilon": EPS,
    "decoder_start_token_id": 0,
}
T5_GROWTHS: Growths = {
    "hidden": {"d_model": 31},
    "hidden_doubled": {"d_model": 48},
    "head_dim": {"d_kv": 10},
    "heads": {"num_heads": 5},
    "mlp": {"d_ff": 29},
    "encoder_depth": {"num_layers": 5},
    "decoder_depth": {"num_decoder_layers": 4},
    **MORE_TOKENS,
    "everything": {
        "d_model": 27,
        "d_kv": 7,
        "num_heads": 4,
        "d_ff": 41,
        "num_layers": 4,
        "num_decoder_layers": 4,
        "vocab_size": 71,
    },
}
T5_CASES = (
    Case(
        "t5",
        "T5ForConditionalGeneration",
        T5,
        T5_GROWTHS,
        {
            "buckets": ({"relative_attention_num_buckets": 16}, "bucket"),
            "fewer_channels": ({"d_model": 16}, "shrinks"),
            "fewer_blocks": ({"num_decoder_layers": 1}, "shrinks"),
            "gates": ({"feed_forward_proj": "gated-gelu"}, "feed_forward_proj"),
        },
    ),
    Case(
        "t5",
        "T5ForConditionalGeneration",
        {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
        T5_GROWTHS,
        label="1.1",
    ),
    Case(
        "t5",
        "T5ForConditionalGeneration",
        {**T5, "num_decoder_layers": None},
        {"depth": {"num_layers": 5}, "hidden": {"d_model": 31}},
        old={"num_decoder_layers": None, "scale_decoder_outputs": None},
        label="2020",
    ),
    Case("t5", "T5Model", T5, T5_GROWTHS),
    Case("t5", "T5ForQuestionAnswering", T5, T5_GROWTHS),
    Case("t5", "T5EncoderModel", T5, {"hidden": {"d_model": 31}, "depth": {"num_layers": 5}}),
)

ENCODER_DECODER: Settings = {
    **TOKENS,
    "d_model": 24,
    "encoder_attention_heads": 3,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 20,
    "decoder_ffn_dim": 28,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "decoder_start_token_id": 1,
}
WHISPER: Settings = {
    **ENCODER_DECODER,
    "num_mel_bins": 5,
    "max_source_positions": 7,
    "max_target_positions": 40,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
}
BOTH_GROWTHS: Growths = {
    "hidden": {"d_model": 72},
    "hidden_doubled": {"d_model": 48},
    "encoder_heads": {"d_model": 48, "encoder_attention_heads": 6},
    "decoder_heads": {"d_model": 48, "decoder_attention_heads": 4},
    "encoder_mlp": {"encoder_ffn_dim": 29},
    "decoder_mlp": {"decoder_ffn_dim": 31},
    **MORE_TOKENS,
}
BOTH_DEPTHS: Growths = {
    "encoder_depth": {"encoder_layers": 5},
    "decoder_depth": {"decoder_layers": 4},
    "everything": {
        "d_model": 48,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 3,
        "encoder_ffn_dim": 37,
        "decoder_ffn_dim": 41,
        "encoder_layers": 4,
        "decoder_layers": 3,
        "vocab_size": 71,
    },
}
BOTH_REFUSALS: Refusals = {
    "hidden": ({"d_model": 36}, COPIES),
    "heads_alone": ({"encoder_attention_heads": 6}, "shrinks"),
    "undivided": ({"d_model": 49}, "multiple"),
}
WHISPER_CASES = (
    Case(
        "whisper",
        "WhisperForConditionalGeneration",
        WHISPER,
        {**BOTH_GROWTHS, **BOTH_DEPTHS},
        {
            **BOTH_REFUSALS,
            "sound": ({"max_source_positions": 14}, "input"),
            "positions": ({"max_target_positions": 80}, POSITIONS),
        },
        exact=True,
    ),
    Case(
        "whisper",
        "WhisperForConditionalGeneration",
        WHISPER,
        {"encoder_depth": {"encoder_layers": 5}, "hidden": {"d_model": 48}},
        exact=True,
        old={"num_hidden_layers": 3},
        label="2022",
    ),
    Case("whisper", "WhisperModel", WHISPER, {**BOTH_GROWTHS, **BOTH_DEPTHS}, exact=True),
)

BART: Settings = {**ENCODER_DECODER, "max_position_embeddings": 40, "forced_eos_token_id": 2}
BART_CASES = (
    Case(
        "bart",
        "BartForConditionalGeneration",
        BART,
        BOTH_GROWTHS,
        {**BOTH_REFUSALS, "positions": ({"max_position_embeddings": 80}, POSITIONS)},
        exact=True,
    ),
    Case("bart", "BartModel", BART, BOTH_GROWTHS, exact=True),
    Case("bart", "BartForQuestionAnswering", BART, BOTH_GROWTHS, exact=True),
    Case(
        "bart",
        "BartForConditionalGeneration",
        {**BART, "scale_embedding": True},
        {},
        {"hidden": ({"d_model": 48}, "scale_embedding")},
        label="scaled-embedding",
    ),
    Deepened("bart", "BartForConditionalGeneration", BART, BOTH_DEPTHS, label="deep"),
)

CASES: tuple[Case, ...] = (*T5_CASES, *WHISPER_CASES, *BART_CASES)
