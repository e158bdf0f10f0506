"""Transformers that cannot be read, and growths that cannot be: exit code, place and remedy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.families.growing import first_of
from tests.support.command import Net2Net
from tests.support.families import make_teacher

State = dict[str, torch.Tensor]
MLP = ("--set", "intermediate_size=53")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A llama and a gpt2, to be copied."""
    root = tmp_path_factory.mktemp("made")
    for family in ("llama", "gpt2"):
        make_teacher(first_of(family), root / family)
    return {path.name: path for path in root.iterdir()}


def copy(made: Path, to: Path) -> Path:
    to.mkdir()
    for path in made.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


@pytest.fixture
def llama(folder: Path, made: Mapping[str, Path]) -> Path:
    """``llama`` in an empty folder, entered."""
    return copy(made["llama"], folder / "llama")


@pytest.fixture
def gpt2(folder: Path, made: Mapping[str, Path]) -> Path:
    return copy(made["gpt2"], folder / "gpt2")


def reconfigure(folder: Path, **changes: object) -> None:
    """Change keys of config.json; None takes one out."""
    path = folder / "config.json"
    config = {**json.loads(path.read_text("utf-8")), **changes}
    kept = {key: value for key, value in config.items() if value is not None}
    path.write_text(json.dumps(kept), "utf-8")


def edit(folder: Path, change: Callable[[State], object]) -> None:
    """Change the tensors."""
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors", {"format": "pt"})


def everything() -> dict[str, bytes]:
    """Every file below the working folder."""
    return {str(p): p.read_bytes() for p in Path.cwd().rglob("*") if p.is_file()}


def refused(net2net: Net2Net, *arguments: object, code: int = 2) -> str:
    """What is said, of one to four lines without a traceback, and that nothing is left behind."""
    before = everything()
    ended = net2net(*arguments, code=code)
    assert everything() == before
    assert ended.out == ""
    assert "Traceback" not in ended.err
    lines = [line for line in ended.err.splitlines() if not line.startswith(("note:", "warning:"))]
    assert 1 <= len(lines) <= 4, ended.err
    assert lines[0].startswith("error: ")
    return "\n".join(lines)


def test_a_folder_without_config(net2net: Net2Net, llama: Path) -> None:
    (llama / "config.json").unlink()
    said = refused(net2net, "grow", "llama", *MLP)
    assert "config.json" in said


def test_a_config_that_counts_without_end(net2net: Net2Net, llama: Path) -> None:
    path = llama / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_hidden_layers": 2**63}))
    for words in (["inspect", llama], ["plan", llama, "--set", "intermediate_size=99"]):
        said = net2net(*words, code=2).err
        assert "blocks of `layers`, which no model has" in said


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"model_type": 3}', "\xff"])
def test_a_config_that_is_none(net2net: Net2Net, llama: Path, text: str) -> None:
    (llama / "config.json").write_bytes(text.encode("latin-1"))
    assert "config" in refused(net2net, "grow", "llama", *MLP)


@pytest.mark.parametrize(
    ("kind", "near"), [("llamma", "`llama`"), ("qwen4", "`qwen2`"), ("unheard_of", "")]
)
def test_an_unknown_model_type_names_the_nearest(
    net2net: Net2Net, llama: Path, kind: str, near: str
) -> None:
    reconfigure(llama, model_type=kind)
    said = refused(net2net, "grow", "llama", *MLP)
    assert f"`{kind}`" in said
    assert near in said
    assert "--family-file" in said


MISFITS: list[tuple[str, dict[str, object], str]] = [
    ("another MLP", {"intermediate_size": 44}, "mlp."),
    ("another hidden size", {"hidden_size": 28, "head_dim": 6}, "[61, 24]"),
    ("fewer heads", {"num_attention_heads": 2}, "self_attn.o_proj"),
    ("fewer blocks", {"num_hidden_layers": 2}, "`num_hidden_layers`"),
    ("more blocks", {"num_hidden_layers": 4}, "model.layers.3."),
    ("more tokens", {"vocab_size": 62}, "[62, 24]"),
    ("no size at all", {"hidden_size": None}, "`hidden_size`"),
    ("a size that is none", {"hidden_size": "24"}, "`hidden_size`"),
    ("a size of nothing", {"intermediate_size": 0}, "positive"),
    ("a negative size", {"intermediate_size": -40}, "positive"),
    ("no whole number", {"num_key_value_heads": 3}, "whole"),
    ("division by nothing", {"num_key_value_heads": 0}, "num_key_value_heads"),
]


@pytest.mark.parametrize(("what", "changes", "named"), MISFITS, ids=[m[0] for m in MISFITS])
def test_config_and_tensors_that_disagree(
    net2net: Net2Net, llama: Path, what: str, changes: dict[str, object], named: str
) -> None:
    reconfigure(llama, **changes)
    for arguments in (("grow", "llama", *MLP), ("inspect", "llama")):
        assert named in refused(net2net, *arguments)


TENSORS: list[tuple[str, Callable[[State], Any], str]] = [
    ("an unknown one", lambda s: s.update({"model.layers.0.mlp.extra.weight": torch.zeros(2)}),
     "model.layers.0.mlp.extra.weight"),
    ("one is missing", lambda s: s.pop("model.layers.1.mlp.up_proj.weight"),
     "model.layers.1.mlp.up_proj.weight"),
    ("a norm is missing", lambda s: s.pop("model.norm.weight"), "model.norm.weight"),
    ("another shape", lambda s: s.update({"model.norm.weight": torch.zeros(25)}), "[25]"),
    ("another rank", lambda s: s.update({"model.norm.weight": torch.zeros(24, 1)}), "[24, 1]"),
    ("GPTQ", lambda s: s.update({"model.layers.0.mlp.up_proj.qweight": torch.zeros(2).int()}),
     "quantised"),
    ("bitsandbytes", lambda s: s.update({"model.layers.0.mlp.up_proj.weight.absmax":
                                         torch.zeros(2)}), "quantised"),
    ("fp8", lambda s: s.update({"model.layers.0.mlp.up_proj.weight":
        s["model.layers.0.mlp.up_proj.weight"].to(torch.float8_e4m3fn)}), "quantised"),
    ("an adapter beside", lambda s: s.update(
        {"base_model.model.model.layers.0.mlp.up_proj.lora_A.weight": torch.zeros(2, 24)}), "lora"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "change", "named"), TENSORS, ids=[t[0] for t in TENSORS])
def test_tensors_that_are_not_the_familys(
    net2net: Net2Net, llama: Path, what: str, change: Callable[[State], Any], named: str
) -> None:
    edit(llama, change)
    said = refused(net2net, "grow", "llama", *MLP)
    assert named in said
    assert "  --> llama" in said


def test_tensors_of_integers_do_not_grow(net2net: Net2Net, llama: Path) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    edit(llama, lambda s: s.update({name: s[name].to(torch.int8)}))
    said = refused(net2net, "grow", "llama", *MLP, code=3)
    assert name in said
    assert "int8" in said


@pytest.mark.parametrize("method", ["gptq", "awq", "bitsandbytes", "fp8"])
def test_a_quantised_checkpoint_is_named(net2net: Net2Net, llama: Path, method: str) -> None:
    reconfigure(llama, quantization_config={"quant_method": method, "bits": 4})
    for arguments in (("grow", "llama", *MLP), ("plan", "llama", *MLP), ("inspect", "llama")):
        said = refused(net2net, *arguments)
        assert "quantised" in said
        assert method in said


def test_an_adapter_alone(net2net: Net2Net, llama: Path) -> None:
    for path in llama.iterdir():
        path.unlink()
    state = {"base_model.model.model.layers.0.mlp.up_proj.lora_A.weight": torch.zeros(4, 24)}
    save_file(state, llama / "adapter_model.safetensors")
    (llama / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    said = refused(net2net, "grow", "llama", *MLP)
    assert "adapter" in said


@pytest.mark.parametrize("kind", ["llama", "my_llama"])
def test_code_of_the_checkpoint_is_never_run(net2net: Net2Net, llama: Path, kind: str) -> None:
    code = "open('ran', 'w')\nclass A: pass\nLlamaConfig = LlamaForCausalLM = A\n"
    (llama / "modeling_mine.py").write_text(code)
    auto = {"AutoConfig": "modeling_mine.A", "AutoModelForCausalLM": "modeling_mine.A"}
    reconfigure(llama, model_type=kind, auto_map=auto)
    ended = net2net("grow", "llama", *MLP, "-o", "out", code=None)
    assert ended.code == (0 if kind == "llama" else 2)
    assert "Traceback" not in ended.err
    assert not list(Path.cwd().rglob("ran"))


SETTINGS = [
    ("rope_theta=1e6", 3, "changes the function"),
    ("rms_norm_eps=1e-5", 3, "changes the function"),
    ("hidden_act=gelu", 3, "changes the function"),
    ("hiden_size=64", 2, "did you mean `hidden_size`?"),
    ("frobnicate=64", 2, "sizes are "),
    ("intermediate_size=32", 3, "shrinks from 40 to 32"),
    ("num_hidden_layers=2", 3, "shrinks from 3 to 2"),
    ("hidden_size=20", 3, "shrinks from 24 to 20"),
    ("hidden_size=21", 3, "shrinks from 24 to 21"),
    ("hidden_size=31", 3, "use 28 or 32"),
    ("hidden_size=abc", 2, "whole number, not `abc`"),
    ("hidden_size=true", 2, "whole number, not `true`"),
    ("hidden_size=48.5", 2, "whole number, not `48.5`"),
    ("hidden_size=", 2, "whole number"),
    ("hidden_size=[", 2, "is no value"),
    ("hidden_size=[48]", 2, "whole number"),
    ("hidden_size=&a [*a]", 2, "is no value"),
    ("hidden_size=0", None, "hidden_size"),
    ("hidden_size=-24", None, "hidden_size"),
    ("head_dim=8", 3, "rotary"),
    ("num_attention_heads=5", None, "num_attention_heads"),
    ("family=gpt2", 3, "cannot become"),
    ("family=lama", 2, "did you mean `llama`"),
    ("fc1.out_features=3", 2, "fc1.out_features"),
]


@pytest.mark.parametrize(("pair", "code", "said"), SETTINGS, ids=[s[0] for s in SETTINGS])
def test_settings_that_cannot_be(
    net2net: Net2Net, llama: Path, pair: str, code: int | None, said: str
) -> None:
    for command in ("grow", "plan"):
        if code is None:
            code = net2net("plan", "llama", "--set", pair, code=None).code
            assert code in (2, 3)
        assert said in refused(net2net, command, "llama", "--set", pair, code=code)


def test_heads_must_divide_the_hidden_size(net2net: Net2Net, gpt2: Path) -> None:
    for pair in ("n_embd=31", "n_head=5"):
        said = refused(net2net, "grow", "gpt2", "--set", pair, code=3)
        assert "`n_head`" in said
        assert "hint: use" in said


@pytest.mark.parametrize("place", ["nonsense", "after=", "after=x", "after=²", "after=-1", ""])
@pytest.mark.parametrize("pair", ["num_hidden_layers=5", "intermediate_size=53"])
def test_a_place_that_is_none(net2net: Net2Net, llama: Path, place: str, pair: str) -> None:
    said = refused(net2net, "grow", "llama", "--set", pair, "--where", place)
    assert "--where" in said


def test_a_place_behind_the_last_block(net2net: Net2Net, llama: Path) -> None:
    deeper = ("--set", "num_hidden_layers=5", "--where", "after=99")
    assert "0 to 2" in refused(net2net, "grow", "llama", *deeper)


FAMILY = """\
net2net_family: 1
model_types: [llama]
prefix: model.
stream: {width: hidden, norm: rms, eps: rms_norm_eps}
widths:
  hidden: hidden_size
  mlp: intermediate_size
blocks:
  layers: {count: num_hidden_layers, zero: [self_attn.o_proj, mlp.down_proj]}
tensors:
  norm.weight: hidden | gain final
"""

FILES = [
    ("no family", "hello: 1\n", "this is no family", ""),
    ("empty", "", "this is no family", ""),
    ("no YAML", "net2net_family: [1\n", "mine.yaml", ""),
    ("a later version", FAMILY.replace("family: 1", "family: 99"), "this is no family", ""),
    ("a mistyped key", FAMILY.replace("tensors:", "tensor:"), "did you mean `tensors`", ":10"),
    ("a mistyped width", FAMILY.replace("norm.weight: hidden", "norm.weight: hiden"),
     "did you mean `hidden`", ":11"),
    ("a mistyped flag", FAMILY.replace("gain final", "gian final"), "did you mean `gain`", ":11"),
    ("a mistyped norm", FAMILY.replace("norm: rms", "norm: rmss"), "there is no norm `rmss`", ":4"),
    ("no notation", FAMILY.replace("hidden | gain", "hidden <- <- | gain"), "norm.weight", ":11"),
    ("no expression", FAMILY.replace("intermediate_size", "4 ** hidden"), "`mlp`", ":7"),
    ("no widths", FAMILY.replace("widths:\n  hidden: hidden_size\n  mlp: intermediate_size\n", ""),
     "has no `widths`", ""),
    ("a tensor too few", FAMILY, "does not know the tensor", ""),
]  # fmt: skip


@pytest.mark.parametrize(("what", "text", "said", "line"), FILES, ids=[f[0] for f in FILES])
def test_a_family_file_that_is_wrong(
    net2net: Net2Net, llama: Path, what: str, text: str, said: str, line: str
) -> None:
    Path("mine.yaml").write_text(text)
    found = refused(net2net, "grow", "llama", *MLP, "--family-file", "mine.yaml")
    assert said in found
    if line:
        assert f"  --> mine.yaml{line}" in found


def test_a_family_file_that_is_not_there(net2net: Net2Net, llama: Path) -> None:
    assert "mine.yaml" in refused(net2net, "grow", "llama", *MLP, "--family-file", "mine.yaml")
    Path("mine.yaml").mkdir()
    assert "mine.yaml" in refused(net2net, "grow", "llama", *MLP, "--family-file", "mine.yaml")


def shard(folder: Path, weights: Mapping[str, str]) -> None:
    """One file as the only shard of an index, whose names for some tensors' files are others."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    names = {name: weights.get(name, "model-00001-of-00001.safetensors") for name in state}
    index = {"metadata": {"total_size": 1}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    "file", ["model-00002-of-00002.safetensors", "../outside.safetensors", "/etc/passwd"]
)
def test_an_index_of_files_that_are_not_the_folders(
    net2net: Net2Net, llama: Path, file: str
) -> None:
    save_file({"model.norm.weight": torch.ones(24)}, "outside.safetensors")
    shard(llama, {"model.norm.weight": file})
    assert file in refused(net2net, "grow", "llama", *MLP)


def test_an_index_that_leaves_tensors_out(net2net: Net2Net, llama: Path) -> None:
    shard(llama, {})
    path = llama / "model.safetensors.index.json"
    index = json.loads(path.read_text("utf-8"))
    del index["weight_map"]["model.norm.weight"]
    path.write_text(json.dumps(index))
    assert "model.norm.weight" in refused(net2net, "grow", "llama", *MLP)


def test_an_output_that_exists(net2net: Net2Net, llama: Path) -> None:
    net2net("grow", "llama", *MLP, "-o", "out")
    for output in ("out", "out/", "llama"):
        said = refused(net2net, "grow", "llama", *MLP, "-o", output)
        assert output.rstrip("/") in said
    net2net("grow", "llama", *MLP, "-o", "out", "--overwrite")
    refused(net2net, "grow", "llama", *MLP, "-o", "llama", "--overwrite")


def test_a_folder_that_is_no_models_is_not_replaced(net2net: Net2Net, llama: Path) -> None:
    Path("mine").mkdir()
    Path("mine/diary.txt").write_text("dear diary")
    refused(net2net, "grow", "llama", *MLP, "-o", "mine", "--overwrite")


SPECS = [
    ("layers for a transformer", "net2net: 1\ninput: [4]\nlayers:\n  fc: {type: Flatten}\n",
     "llama", "transformer"),
    ("changes of layers", "net2net: 1\nextends: source\nlayers:\n  fc: {out_features: 3}\n",
     "llama", "transformer"),
    ("a config for layers", "net2net: 1\nconfig: {hidden_size: 48}\n", "mlp.safetensors",
     "layers"),
    ("a family for layers", "net2net: 1\nfamily: llama\nconfig: {hidden_size: 48}\n",
     "mlp.safetensors", "layers"),
    ("an unknown family", "net2net: 1\nfamily: lama\nconfig: {hidden_size: 48}\n", "llama",
     "target.yaml:2"),
    ("a config of no keys", "net2net: 1\nconfig: 5\n", "llama", "target.yaml:2"),
    ("a config that is missing", "net2net: 1\nconfig: none.json\n", "llama", "none.json"),
    ("an unknown key", "net2net: 1\nconfig: {hiden_size: 48}\n", "llama",
     "did you mean `hidden_size`"),
    ("a text for a size", "net2net: 1\nconfig: {hidden_size: big}\n", "llama", "`big`"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "text", "teacher", "said"), SPECS, ids=[s[0] for s in SPECS])
def test_a_target_that_does_not_go_with_the_checkpoint(
    net2net: Net2Net, llama: Path, what: str, text: str, teacher: str, said: str
) -> None:
    save_file({"fc1.weight": torch.ones(4, 3), "fc2.weight": torch.ones(2, 4)}, "mlp.safetensors")
    Path("target.yaml").write_text(text)
    assert said in refused(net2net, "grow", teacher, "--spec", "target.yaml")


def test_a_width_or_block_that_there_is_not(net2net: Net2Net, llama: Path) -> None:
    assert "mlp" in refused(net2net, "widen", "llama", "--layer", "mpl", "--to", 53)
    several = refused(
        net2net, "widen", "llama", "--layer", "model.layers.0.self_attn.q_proj", "--to", 64
    )
    assert "num_attention_heads" in several
    assert "0 to 2" in refused(net2net, "deepen", "llama", "--after", "7")
    assert "--name" in refused(net2net, "deepen", "llama", "--after", "1", "--name", "x")
    for name in ("mlp", "intermediate_size", "model.layers.0.mlp.up_proj"):
        said = refused(net2net, "widen", "llama", "--layer", name, "--to", 40)
        assert "40 wide already" in said
    refused(net2net, "widen", "llama", "--layer", "mlp", "--to", 39, code=3)


def test_two_networks_of_different_kinds(net2net: Net2Net, llama: Path) -> None:
    save_file({"fc1.weight": torch.ones(4, 3), "fc2.weight": torch.ones(2, 4)}, "mlp.safetensors")
    assert "transformer" in refused(net2net, "diff", "llama", "mlp.safetensors")
    ended = net2net("verify", "llama", "mlp.safetensors", code=None)
    assert ended.code in (2, 4)
    assert "transformer" in ended.err
