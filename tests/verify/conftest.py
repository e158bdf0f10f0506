"""Tiny models of transformers in folders, made once."""

from __future__ import annotations

import pytest

from tests.verify.tiny_pretrained import save


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt2")
    save(folder, "GPT2LMHeadModel")
    return folder


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    save(folder, "BertModel")
    return folder
