"""What the decoders' cases share: tiny sizes, and how every one of them grows or does not."""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.families import Settings

TINY: Settings = {
    "vocab_size": 61,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-3,  # so large that an error in it shows
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
HEADED: Settings = {**TINY, "head_dim": 8}


def growths(**changes: Settings | None) -> Mapping[str, Settings]:
    """Every width alone, depth, and all of them at once; None leaves one out."""
    found: dict[str, Settings | None] = {
        "mlp": {"intermediate_size": 53},
        "kv_heads": {"num_key_value_heads": 3, "num_attention_heads": 6},
        "query_groups": {"num_attention_heads": 6},
        "hidden": {"hidden_size": 31},
        "hidden_doubled": {"hidden_size": 48},
        "vocabulary": {"vocab_size": 67},
        "depth": {"num_hidden_layers": 5},
        "everything": {
            "vocab_size": 67,
            "hidden_size": 27,
            "intermediate_size": 53,
            "num_hidden_layers": 5,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
        },
    }
    return {label: said for label, said in {**found, **changes}.items() if said is not None}


def refusals(**changes: tuple[Settings, str] | None) -> Mapping[str, tuple[Settings, str]]:
    """What no decoder bears."""
    rope = {"rope_type": "default", "rope_theta": 5e5}
    found: dict[str, tuple[Settings, str] | None] = {
        "rope": ({"rope_parameters": rope}, "rope_parameters"),
        "positions": ({"max_position_embeddings": 128}, "max_position_embeddings"),
        "eps": ({"rms_norm_eps": 1e-5}, "rms_norm_eps"),
        "head_dim": ({"head_dim": 16}, "rotary"),
        "fewer_units": ({"intermediate_size": 32}, "shrinks"),
        "fewer_blocks": ({"num_hidden_layers": 2}, "shrinks"),
        "fewer_groups": ({"num_key_value_heads": 4}, "shrinks"),
    }
    return {label: said for label, said in {**found, **changes}.items() if said is not None}


# their config classes want a hidden size that is a multiple of the number of heads
DIVIDED = growths(hidden={"hidden_size": 28})
UNDIVIDED = {"undivided": ({"hidden_size": 31}, "num_attention_heads")}

ALONE = {"num_key_value_heads": 4}  # each query head has keys and values of its own
OLD = {"rope_parameters": None, "rope_theta": 10000.0}

WINDOW = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}
