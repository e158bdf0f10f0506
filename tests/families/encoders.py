"""Teachers of BERT, RoBERTa, DistilBERT and ViT, and how each of them grows or is refused."""

from __future__ import annotations

from tests.families.sizes import (
    COPIES,
    EPS,
    POSITIONS,
    SIZES,
    TOKENS,
    USUAL,
    Deepened,
    Growths,
    Refusals,
    growths,
    refusals,
)
from tests.support.families import Case, Settings

BERT: Settings = {
    **TOKENS,
    **SIZES,
    "max_position_embeddings": 40,
    "type_vocab_size": 3,
    "layer_norm_eps": EPS,
}
BERT_GROWTHS = {k: v for k, v in growths(USUAL, hidden=72).items() if "depth" not in k}
"""Blocks come in exactly where eps is small (a norm that stands behind another sees it)."""
BERT_GROWTHS["everything"] = {
    k: v for k, v in BERT_GROWTHS["everything"].items() if "layers" not in k
}
DEEP: Growths = {
    "depth": {"num_hidden_layers": 5},
    "everything": growths(USUAL)["everything"],
}
BERT_REFUSALS = refusals(
    USUAL,
    hidden=({"hidden_size": 36}, COPIES),
    positions=({"max_position_embeddings": 80}, POSITIONS),
    types=({"type_vocab_size": 4}, "token types"),
)


def _bert(family: str, architecture: str, refused: Refusals | None = None) -> tuple[Case, ...]:
    config: Settings = {**BERT, "num_labels": 3}
    small = {**config, "layer_norm_eps": 1e-12}
    return (
        Case(family, architecture, config, BERT_GROWTHS, refused or {}, exact=True),
        Case(family, architecture, small, DEEP, exact=True, label="deep"),
    )


BERT_CASES = (
    *_bert("bert", "BertForMaskedLM", BERT_REFUSALS),
    *_bert("bert", "BertModel"),
    *_bert("bert", "BertForSequenceClassification"),
    *_bert("bert", "BertForTokenClassification"),
    *_bert("bert", "BertForPreTraining"),
    Case(
        "bert",
        "BertForMaskedLM",
        {**BERT, "tie_word_embeddings": False},
        BERT_GROWTHS,
        exact=True,
        label="untied",
    ),
    *_bert("roberta", "RobertaForMaskedLM", BERT_REFUSALS),
    Deepened(
        "roberta",
        "RobertaForMaskedLM",
        {**BERT, "layer_norm_eps": 1e-5},
        DEEP,
        label="deep-as-usual",
    ),
    *_bert("roberta", "RobertaForSequenceClassification"),
    *_bert("roberta", "XLMRobertaForMaskedLM"),
)

DISTILBERT_NAMES = {"hidden": "dim", "heads": "n_heads", "mlp": "hidden_dim", "depth": "n_layers"}
DISTILBERT: Settings = {
    **TOKENS,
    "dim": 24,
    "n_heads": 3,
    "hidden_dim": 20,
    "n_layers": 3,
    "max_position_embeddings": 40,
}
DISTILBERT_GROWTHS = growths(DISTILBERT_NAMES, hidden=72)
DISTILBERT_CASES = (
    Case(
        "distilbert",
        "DistilBertForMaskedLM",
        DISTILBERT,
        DISTILBERT_GROWTHS,
        refusals(DISTILBERT_NAMES, hidden=({"dim": 36}, COPIES)),
        exact=True,
    ),
    Case("distilbert", "DistilBertModel", DISTILBERT, DISTILBERT_GROWTHS, exact=True),
    Case(
        "distilbert",
        "DistilBertForSequenceClassification",
        {**DISTILBERT, "num_labels": 3},
        DISTILBERT_GROWTHS,
        exact=True,
    ),
)

VIT: Settings = {
    **SIZES,
    "image_size": 12,
    "patch_size": 4,
    "num_channels": 2,
    "layer_norm_eps": EPS,
}
VIT_GROWTHS = growths(USUAL, vocabulary=False)
VIT_CASES = (
    Case(
        "vit",
        "ViTForImageClassification",
        {**VIT, "num_labels": 5},
        VIT_GROWTHS,
        refusals(USUAL, patches=({"patch_size": 6}, "patch_size")),
        exact=True,
    ),
    Case(
        "vit",
        "ViTModel",
        VIT,
        VIT_GROWTHS,
        {"pooled": ({"pooler_output_size": 30}, "output")},
        exact=True,
    ),
    Case(
        "vit",
        "ViTModel",
        {**VIT, "qkv_bias": False, "pooler_output_size": 10},
        VIT_GROWTHS,
        exact=True,
        label="unbiased",
    ),
    Case("vit", "ViTForMaskedImageModeling", {**VIT, "encoder_stride": 4}, VIT_GROWTHS, exact=True),
)

CASES: tuple[Case, ...] = (*BERT_CASES, *DISTILBERT_CASES, *VIT_CASES)
