"""Teachers of all families that `decoders` leaves out; of Mamba in this file."""

from __future__ import annotations

from tests.families import encoders, layered, paired
from tests.families.sizes import (
    EPS,
    MORE_TOKENS,
    TOKENS,
    Growths,
)
from tests.support.families import Case, Settings

MAMBA: Settings = {
    **TOKENS,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "state_size": 5,
    "time_step_rank": 3,
    "conv_kernel": 3,
    "layer_norm_epsilon": EPS,
}
MAMBA_GROWTHS: Growths = {
    "hidden": {"hidden_size": 31},
    "hidden_doubled": {"hidden_size": 48},
    "inner": {"intermediate_size": 61},
    "rank": {"time_step_rank": 5},
    "state": {"state_size": 8},
    "depth": {"num_hidden_layers": 5},
    **MORE_TOKENS,
    "everything": {
        "hidden_size": 27,
        "intermediate_size": 53,
        "time_step_rank": 4,
        "state_size": 7,
        "num_hidden_layers": 4,
        "vocab_size": 71,
    },
}
MAMBA_CASES = (
    Case(
        "mamba",
        "MambaForCausalLM",
        MAMBA,
        MAMBA_GROWTHS,
        {
            "kernel": ({"conv_kernel": 5}, "conv_kernel"),
            "fewer_channels": ({"hidden_size": 16}, "shrinks"),
        },
    ),
    Case(
        "mamba",
        "MambaForCausalLM",
        {**MAMBA, "tie_word_embeddings": False, "use_bias": True, "use_conv_bias": False},
        MAMBA_GROWTHS,
        label="untied-biased",
    ),
    Case(
        "mamba",
        "MambaForCausalLM",
        MAMBA,
        {"hidden": {"hidden_size": 31}, "expand": {"expand": 3}},
        old={"intermediate_size": None},
        label="2024",
    ),
    Case("mamba", "MambaModel", MAMBA, MAMBA_GROWTHS),
)

CASES: tuple[Case, ...] = (*layered.CASES, *encoders.CASES, *paired.CASES, *MAMBA_CASES)
