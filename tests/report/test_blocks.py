"""Transformers as graphs of their blocks, and every command that draws them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import torch
from safetensors.torch import save_file

from net2net_cli import api, families
from net2net_cli.families import LaidFamily
from net2net_cli.families.lay import expected_names
from net2net_cli.opening import FamilyModel
from net2net_cli.report.blocks import LONG, blocks_of, grown_blocks
from net2net_cli.report.drawing import svg
from net2net_cli.report.graph import Graph
from tests.support.command import Net2Net

LLAMA: Mapping[str, object] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 3,
    "vocab_size": 11,
    "tie_word_embeddings": True,
}
T5: Mapping[str, object] = {
    "model_type": "t5",
    "architectures": ["T5ForConditionalGeneration"],
    "d_model": 8,
    "num_heads": 2,
    "d_kv": 4,
    "d_ff": 12,
    "num_layers": 2,
    "num_decoder_layers": 1,
    "vocab_size": 11,
    "tie_word_embeddings": True,
}
BERT: Mapping[str, object] = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "max_position_embeddings": 16,
    "vocab_size": 11,
}
QWEN3_MOE: Mapping[str, object] = {
    **LLAMA,
    "model_type": "qwen3_moe",
    "moe_intermediate_size": 6,
    "num_experts": 3,
    "num_experts_per_tok": 2,
    "mlp_only_layers": [1],
}
BLOCK = "hidden 8, mlp 12, kv 2, group 2"
WIDER = "hidden 8, mlp 13, kv 2, group 2"


def laid_out(config: Mapping[str, object], without: str = "?") -> LaidFamily:
    """A family at a config's sizes, with the tensors that no checkpoint does without; those whose
    names begin with ``without`` are left out."""
    family, stored = families.family_of(str(config["model_type"]), "config"), {"labels": 2}
    outline = families.lay_out(family, config, (), "config", stored=stored)
    rules = [
        rule for rule in family.tensors if not rule.optional or rule.pattern == "shared.weight"
    ]
    names = [name for rule in rules for name in expected_names(rule, outline)]
    kept = [name for name in names if not name.startswith(without)]
    return families.lay_out(family, config, kept, "config", stored=stored)


Opens = Callable[..., FamilyModel]


@pytest.fixture
def opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opens:
    """Makes the folder ``teacher`` where the test runs, and opens it."""
    monkeypatch.chdir(tmp_path)

    def made(config: Mapping[str, object] = LLAMA, **changes: object) -> FamilyModel:
        laid = laid_out({**config, **changes})
        Path("teacher").mkdir()
        Path("teacher/config.json").write_text(json.dumps(laid.config))
        state = {name: torch.ones(t.shape) for name, t in laid.layout.tensors.items()}
        save_file(state, "teacher/model.safetensors", {"format": "pt"})
        model = api.open_model("teacher")
        assert isinstance(model, FamilyModel)
        return model

    return made


def grown(model: FamilyModel, where: str = "even", **settings: object) -> tuple[Graph, Graph]:
    """Teacher and student."""
    said = {key: str(value) for key, value in settings.items()}
    plan = api.make_plan(model, None, said, api.Choices(where=where))
    return grown_blocks(model.laid, plan)


def ranks(graph: Graph) -> dict[str, int]:
    """Each node's rank."""
    return {node.name: node.rank for node in graph.nodes}


def tones(graph: Graph) -> dict[str, str]:
    """Each node's tone."""
    return {node.name: node.tone for node in graph.nodes}


def test_a_decoder_is_a_chain_from_its_embeddings_to_its_head() -> None:
    graph = blocks_of(laid_out(LLAMA))
    assert [(node.name, node.label, node.rank, node.tone) for node in graph.nodes] == [
        ("embeddings", "hidden 8, vocab 11", 0, "plain"),
        ("layers.0", BLOCK, 1, "plain"),
        ("layers.1", BLOCK, 2, "plain"),
        ("layers.2", BLOCK, 3, "plain"),
        ("head", "hidden 8, vocab 11", 4, "plain"),
    ]
    names = [node.name for node in graph.nodes]
    assert list(graph.edges) == list(pairwise(names))


def test_a_base_model_has_no_head() -> None:
    assert [node.name for node in blocks_of(laid_out(BERT)).nodes] == [
        "embeddings", "encoder.layer.0", "encoder.layer.1",
    ]  # fmt: skip


def test_a_decoder_reads_its_encoder_and_the_embeddings() -> None:
    graph = blocks_of(laid_out(T5))
    assert [node.name for node in graph.nodes] == [
        "embeddings", "encoder.block.0", "encoder.block.1", "decoder.block.0", "head",
    ]  # fmt: skip
    assert set(graph.edges) == {
        ("embeddings", "encoder.block.0"),
        ("encoder.block.0", "encoder.block.1"),
        ("encoder.block.1", "decoder.block.0"),
        ("embeddings", "decoder.block.0"),
        ("decoder.block.0", "head"),
    }


def test_an_encoder_alone_is_drawn_alone() -> None:
    config = {**T5, "architectures": ["T5EncoderModel"]}
    graph = blocks_of(laid_out(config, without="decoder."))
    assert [node.name for node in graph.nodes] == [
        "embeddings", "encoder.block.0", "encoder.block.1",
    ]  # fmt: skip


def test_a_block_shows_the_sizes_that_it_has() -> None:
    config = {**QWEN3_MOE, "head_dim": 2}
    family = families.family_of("qwen3_moe", "config")
    outline = families.lay_out(family, config, (), "config", stored={"labels": 2})
    dense = (".mlp.gate_proj", ".mlp.up_proj", ".mlp.down_proj")  # of the second block alone
    names = [
        name
        for rule in family.tensors
        for name in expected_names(rule, outline)
        if not rule.head and (".1.mlp" in name) == rule.module.endswith(dense)
    ]
    graph = blocks_of(families.lay_out(family, config, names, "config", stored={"labels": 2}))
    labels = {node.name: node.label for node in graph.nodes}
    assert labels["layers.1"] == "hidden 8, mlp 12, kv 2, group 2"
    assert labels["layers.0"].startswith("hidden 8, moe 6, experts 3")


def test_new_blocks_are_marked_and_old_ones_stand_beside_what_they_became(opens: Opens) -> None:
    old, new = grown(opens(), where="after=0", num_hidden_layers=5)
    assert tones(new) == {
        "embeddings": "plain", "layers.0": "plain", "layers.1": "new", "layers.2": "new",
        "layers.3": "plain", "layers.4": "plain", "head": "plain",
    }  # fmt: skip
    assert set(tones(old).values()) == {"plain"}
    assert ranks(old) == {"embeddings": 0, "layers.0": 1, "layers.1": 4, "layers.2": 5, "head": 6}


def test_a_part_is_changed_where_its_sizes_are(opens: Opens) -> None:
    model = opens()
    _, new = grown(model, intermediate_size=13, num_hidden_layers=4)
    assert tones(new) == {
        "embeddings": "plain", "layers.0": "changed", "layers.1": "changed",
        "layers.2": "changed", "layers.3": "new", "head": "plain",
    }  # fmt: skip
    assert {node.label for node in new.nodes if node.name.startswith("layers")} == {WIDER}
    _, new = grown(model, vocab_size=12)
    assert [name for name, tone in tones(new).items() if tone != "plain"] == ["embeddings", "head"]


def test_each_row_of_an_encoder_decoder_grows_by_itself(opens: Opens) -> None:
    old, new = grown(opens(T5), num_layers=3)
    assert [name for name, tone in tones(new).items() if tone == "new"] == ["encoder.block.2"]
    assert ranks(old)["decoder.block.0"] == ranks(new)["decoder.block.0"] == 4


def test_an_mlp_that_becomes_experts_is_a_change(opens: Opens) -> None:
    _, new = grown(opens(), family="mixtral", num_local_experts=4)
    assert tones(new)["layers.1"] == "changed"
    assert "experts 4" in {node.name: node.label for node in new.nodes}["layers.1"]


def test_a_long_chain_is_folded_where_neighbours_are_alike(opens: Opens) -> None:
    model = opens(num_hidden_layers=LONG)
    old, new = grown(model, intermediate_size=13)
    assert len(new.nodes) == LONG + 2
    old, new = grown(model, where="after=3,30", num_hidden_layers=LONG + 3)
    assert tones(new) == {
        "embeddings": "plain", "layers.0 to layers.3": "plain", "layers.4 to layers.5": "new",
        "layers.6 to layers.32": "plain", "layers.33": "new", "layers.34 to layers.42": "plain",
        "head": "plain",
    }  # fmt: skip
    assert ranks(old) == {
        "embeddings": 0, "layers.0 to layers.3": 1, "layers.4 to layers.30": 3,
        "layers.31 to layers.39": 5, "head": 6,
    }  # fmt: skip


def test_boxes_are_as_wide_as_what_is_written_in_them() -> None:
    short, long = ({**LLAMA, "hidden_size": size} for size in (8, 8 * 10**9))
    widths = [
        float(ET.fromstring(svg([("network", blocks_of(laid_out(c)))])).attrib["width"])
        for c in (short, long)
    ]
    assert widths[0] < widths[1]


GROWTHS: list[tuple[object, ...]] = [
    ("plan", "teacher", "--set", "intermediate_size=13", "--set", "num_hidden_layers=4"),
    ("grow", "teacher", "--set", "intermediate_size=13", "--set", "num_hidden_layers=4"),
    ("widen", "teacher", "--layer", "intermediate_size", "--to", "13"),
    ("deepen", "teacher", "--after", "layers.2"),
    ("apply", "plan.json", "teacher"),
]


@pytest.mark.parametrize("words", GROWTHS, ids=[str(words[0]) for words in GROWTHS])
def test_every_command_that_grows_draws(
    words: tuple[object, ...], opens: Opens, capfd: pytest.CaptureFixture[str]
) -> None:
    opens()
    net2net, writes = Net2Net(capfd), words[0] != "plan"
    net2net("plan", "teacher", "--set", "num_hidden_layers=4", "-o", "plan.json")
    end = ("--no-verify", "-o", "student/", "--overwrite") if writes else ("--overwrite",)
    for ending in ("html", "svg", "md", "json"):
        net2net(*words, *end, "--report", f"r.{ending}")
    for form in ("mermaid", "markdown"):
        assert net2net(*words, *end, "--format", form).out.startswith(("flowchart", "## net2net"))

    root = ET.fromstring(Path("r.svg").read_text())
    said = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert said.count("layers.2") == 2
    wider = "widen" in words or "--set" in words
    assert (WIDER in said) == wider
    assert ("layers.3" in said) == ("widen" not in words)
    assert "<svg" in Path("r.html").read_text()
    assert "```mermaid\nflowchart TD" in Path("r.md").read_text()
    assert json.loads(Path("r.json").read_text())["plan"]["operations"]


def test_inspect_draws_the_network(opens: Opens, capfd: pytest.CaptureFixture[str]) -> None:
    opens()
    drawn = Net2Net(capfd)("inspect", "teacher", "--format", "mermaid").out
    assert f'["layers.2<br/>{BLOCK}"]' in drawn
    assert drawn.count("-->") == 4
    assert Net2Net(capfd)("inspect", "teacher", "--format", "markdown").out.startswith("## net2net")
