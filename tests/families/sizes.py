"""What the cases of GPT-2's, BERT's and T5's relatives share: sizes, growths, refusals."""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.families import Case, Settings

Growths = Mapping[str, Settings]
Refusals = Mapping[str, tuple[Settings, str]]

TOKENS: Settings = {"vocab_size": 61, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
MORE_TOKENS: Growths = {"vocabulary": {"vocab_size": 67}}
EPS = 1e-3  # so large that an error in it shows

COPIES = "copies in equal number"
POSITIONS = "more positions would have to be learned"

USUAL = {
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "mlp": "intermediate_size",
    "depth": "num_hidden_layers",
}
SIZES: Settings = {
    "hidden_size": 24,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "num_hidden_layers": 3,
}


class Deepened(Case):
    """Post-norm blocks that come in where eps is 1e-5: a norm behind another sees it.

    What is normalised twice differs by (eps / 2) * (1 / v - 1), v being its first variance.
    """

    @property
    def tolerance(self) -> float:
        return 1e-5


def growths(
    names: Mapping[str, str], *, hidden: int = 33, vocabulary: bool = True, heads: bool = True
) -> dict[str, Settings]:
    """Every width alone, depth, and all of them at once.

    ``names`` are the config's for hidden, heads, mlp and depth (24, 3, 20 and 3 in the teachers);
    ``hidden`` is what the hidden size can become.
    """
    found: dict[str, Settings] = {
        "hidden": {names["hidden"]: hidden},
        "hidden_doubled": {names["hidden"]: 48},
        "depth": {names["depth"]: 5},
    }
    everything = {names["hidden"]: 48, names["depth"]: 4}
    if "mlp" in names:
        found["mlp"] = {names["mlp"]: 29}
        everything[names["mlp"]] = 41
    if heads:
        found["heads_too"] = {names["hidden"]: 48, names["heads"]: 6}
        everything[names["heads"]] = 4
    if vocabulary:
        found |= MORE_TOKENS
        everything["vocab_size"] = 71
    return {**found, "everything": everything}


def refusals(names: Mapping[str, str], **more: tuple[Settings, str]) -> Refusals:
    """What none of them bears."""
    return {
        "heads_alone": ({names["heads"]: 6}, "shrinks"),
        "fewer_channels": ({names["hidden"]: 21}, "shrinks"),
        "fewer_blocks": ({names["depth"]: 2}, "shrinks"),
        "undivided": ({names["hidden"]: 31}, "multiple"),
        **more,
    }
