"""Each command on a transformer's folder, end to end."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from safetensors.torch import load_file, save_file

from net2net_cli import report
from tests.families.growing import config_of, first_of
from tests.support.command import Net2Net, process
from tests.support.families import difference, load, make_teacher

SCHEMA = json.loads((Path(report.__file__).parent / "document.schema.json").read_text())
SAME = "the student computes what the teacher computes"
BIGGER = {
    "hidden_size": 36, "intermediate_size": 53, "num_hidden_layers": 5, "num_attention_heads": 9,
    "num_key_value_heads": 3, "vocab_size": 67,
}  # fmt: skip
MLP = ("--set", "intermediate_size=53")

pytestmark = pytest.mark.filterwarnings("ignore:`past_key_values`:FutureWarning")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Teachers, to be copied."""
    root = tmp_path_factory.mktemp("made")
    for family in ("llama", "gpt2", "bert", "t5"):
        make_teacher(first_of(family), root / family)
    return {path.name: path for path in root.iterdir()}


@pytest.fixture
def teachers(folder: Path, made: Mapping[str, Path]) -> Path:
    """The folders ``llama``, ``gpt2``, ``bert`` and ``t5``, in a folder that is entered."""
    for name, path in made.items():
        (folder / name).mkdir()
        for file in path.iterdir():
            (folder / name / file.name).write_bytes(file.read_bytes())
    return folder


def settings(values: Mapping[str, object]) -> list[str]:
    return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]


def read(text: str) -> dict[str, Any]:
    """A JSON document, held against its schema."""
    document: dict[str, Any] = json.loads(text)
    jsonschema.validate(document, SCHEMA)
    return document


def files(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def equal(teacher: str, student: str, architecture: str = "LlamaForCausalLM") -> bool:
    """Whether two folders compute the same, by transformers alone."""
    found = difference(load(Path(teacher), architecture), load(Path(student), architecture))
    return found <= 2e-6


@pytest.mark.usefixtures("teachers")
def test_grow_by_settings_as_people_type_it(net2net: Net2Net) -> None:
    ended = net2net("grow", "llama", *settings(BIGGER), "-o", "bigger")
    assert ended.out.splitlines()[-1] == SAME
    assert "wrote bigger, " in ended.out
    assert "6 tokens are new" in ended.err
    said = config_of(Path("bigger"))
    assert {key: said[key] for key in BIGGER} == BIGGER
    assert equal("llama", "bigger")


@pytest.mark.usefixtures("teachers")
def test_without_an_output_the_name_follows_from_the_teachers(net2net: Net2Net) -> None:
    net2net("grow", "llama", *MLP)
    net2net("widen", "llama/", "--layer", "mlp", "--to", 53)
    net2net("deepen", "llama", "--after", 1)
    for name in ("llama-grown", "llama-widened", "llama-deepened"):
        assert Path(name, "config.json").is_file()


@pytest.mark.usefixtures("teachers")
def test_grow_by_a_spec_that_names_what_changes(net2net: Net2Net) -> None:
    text = "\n".join(f"  {key}: {value}" for key, value in BIGGER.items())
    head = "net2net: 1\nfamily: llama\nsource: ../llama\noutput: ../by-spec\nconfig:\n"
    Path("specs").mkdir()
    Path("specs/bigger.yaml").write_text(head + text)
    assert net2net("grow", "--spec", "specs/bigger.yaml").out.splitlines()[-1] == SAME
    net2net("grow", "llama", *settings(BIGGER), "-o", "by-settings")
    assert files("by-spec") == files("by-settings")


@pytest.mark.usefixtures("teachers")
def test_grow_by_another_models_config(net2net: Net2Net) -> None:
    net2net("grow", "llama", *settings(BIGGER), "-o", "bigger")
    Path("like.yaml").write_text("net2net: 1\nconfig: bigger/config.json\n")
    net2net("grow", "llama", "--spec", "like.yaml", "-o", "alike")
    assert files("alike")["model.safetensors"] == files("bigger")["model.safetensors"]
    other = {**config_of(Path("bigger")), "rope_parameters": {"rope_type": "default", "rope_theta":
             5e5}}  # fmt: skip
    Path("other.json").write_text(json.dumps(other))
    Path("like.yaml").write_text("net2net: 1\nconfig: other.json\n")
    ended = net2net("grow", "llama", "--spec", "like.yaml", "-o", "no", code=3)
    assert "`rope_parameters`" in ended.err
    assert not Path("no").exists()


@pytest.mark.usefixtures("teachers")
def test_settings_stand_above_a_spec(net2net: Net2Net) -> None:
    Path("s.yaml").write_text("net2net: 1\nconfig: {intermediate_size: 44, vocab_size: 67}\n")
    net2net("grow", "llama", "--spec", "s.yaml", *MLP, "-o", "out")
    said = config_of(Path("out"))
    assert (said["intermediate_size"], said["vocab_size"]) == (53, 67)


@pytest.mark.usefixtures("teachers")
def test_a_plan_is_saved_and_applied(net2net: Net2Net) -> None:
    before = files("llama")
    document = read(net2net("plan", "llama", *settings(BIGGER), "-o", "plan.json", "--json").out)
    assert document["plan"]["changes"]
    kinds = {item["kind"] for item in document["plan"]["operations"]}
    assert kinds == {"widen", "insert", "rescale"}
    net2net("apply", "plan.json", "llama", "-o", "applied")
    net2net("grow", "llama", *settings(BIGGER), "-o", "grown")
    assert files("applied") == files("grown")
    assert files("llama") == before
    assert "made for another checkpoint" in net2net("apply", "plan.json", "gpt2", code=2).err
    assert net2net("plan", "llama", *MLP, "--exit-code", code=5).code == 5
    assert net2net("plan", "llama", "--set", "intermediate_size=40", "--exit-code").code == 0


WIDTHS = ["intermediate_size", "mlp", "model.layers.0.mlp.up_proj", "model.layers.*.mlp.gate_proj"]


@pytest.mark.usefixtures("teachers")
@pytest.mark.parametrize("name", WIDTHS)
def test_widen_takes_a_key_a_width_or_a_module(net2net: Net2Net, name: str) -> None:
    ended = net2net("widen", "llama", "--layer", name, "--to", 53, "-o", "out")
    assert "widen intermediate_size" in ended.out
    assert config_of(Path("out"))["intermediate_size"] == 53
    assert load_file("out/model.safetensors")["model.layers.2.mlp.down_proj.weight"].shape[1] == 53


@pytest.mark.usefixtures("teachers")
@pytest.mark.parametrize("after", ["1", "layers.1", "model.layers.1"])
def test_deepen_takes_a_block_by_number_or_name(net2net: Net2Net, after: str) -> None:
    ended = net2net("deepen", "llama", "--after", after, "--count", 2, "-o", "out")
    assert config_of(Path("out"))["num_hidden_layers"] == 5
    assert "insert model.layers.2" in ended.out
    assert "insert model.layers.3" in ended.out
    assert not load_file("out/model.safetensors")["model.layers.3.mlp.down_proj.weight"].any()
    assert equal("llama", "out")


@pytest.mark.usefixtures("teachers")
def test_deepen_tells_encoder_and_decoder_apart(net2net: Net2Net) -> None:
    net2net("deepen", "t5", "--after", "decoder.block.1", "-o", "out")
    said = config_of(Path("out"))
    assert (said["num_layers"], said["num_decoder_layers"]) == (3, 3)


@pytest.mark.usefixtures("teachers")
def test_a_student_is_a_teacher_again(net2net: Net2Net) -> None:
    net2net("grow", "llama", *settings(BIGGER), "-o", "second")
    net2net("grow", "second", "--set", "hidden_size=45", "--set", "num_hidden_layers=6",
            "--where", "start", "-o", "third")  # fmt: skip
    assert equal("llama", "third")
    told = net2net("inspect", "third").out
    assert "teacher: blake3:" in told
    assert "spec: third/config.json" in told


@pytest.mark.usefixtures("teachers")
def test_inspect_tells_tensors_widths_and_size(net2net: Net2Net) -> None:
    document = read(net2net("inspect", "llama", "--json").out)
    assert document["teacher"]["parameters"] == 16_920
    assert document["teacher"]["dtypes"] == ["float32"]
    grows = {tuple(width["grows"]) for width in document["widths"]}
    assert ("even", "zero") in grows
    assert () in grows
    shown = net2net("inspect", "llama").out
    assert "(kv group head_dim) <- hidden" in shown
    assert "the rotary embedding's frequencies depend on it" in shown


@pytest.mark.usefixtures("teachers")
@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "t5"])
def test_a_spec_describes_a_file_without_config(net2net: Net2Net, family: str) -> None:
    net2net("spec", family, "-o", "own.yaml")
    printed = net2net("spec", family).out
    assert printed.rstrip("\n") == Path("own.yaml").read_text().rstrip("\n")
    Path("alone").mkdir()
    Path("alone/m.safetensors").write_bytes(Path(family, "model.safetensors").read_bytes())
    again = net2net("spec", "alone/m.safetensors", "--source-spec", "own.yaml").out
    assert again == printed
    assert not read(net2net("plan", family, "--spec", "own.yaml", "--json").out)["plan"]["changes"]
    assert "no differences" in net2net("diff", family, "own.yaml").out


@pytest.mark.usefixtures("teachers")
def test_diff_tells_the_keys_that_differ(net2net: Net2Net) -> None:
    net2net("grow", "llama", *MLP, "--set", "vocab_size=67", "-o", "out")
    Path("target.yaml").write_text("net2net: 1\nconfig: {intermediate_size: 53, vocab_size: 67}\n")
    for other in ("out", "target.yaml", "out/config.json"):
        document = read(net2net("diff", "llama", other, "--json", "--exit-code", code=5).out)
        changes = {item["what"]: (item["before"], item["after"])
                   for item in document["differences"]}  # fmt: skip
        assert changes == {"intermediate_size": ("40", "53"), "vocab_size": ("61", "67")}
    assert "no differences" in net2net("diff", "out", "out").out


@pytest.mark.usefixtures("teachers")
def test_verify_compares_two_folders(net2net: Net2Net) -> None:
    net2net("grow", "llama", *settings(BIGGER), "-o", "out")
    document = read(net2net("verify", "llama", "out", "--json").out)
    assert document["verification"]["passed"]
    assert document["verification"]["probes"][0]["dtype"] == "float64 with parts in float32"
    state = load_file("out/model.safetensors")
    state["model.layers.0.mlp.up_proj.weight"][0, 0] += 1
    save_file(state, "out/model.safetensors", {"format": "pt"})
    ended = net2net("verify", "llama", "out", code=4)
    assert "differ" in ended.err
    assert SAME not in ended.out


@pytest.mark.usefixtures("teachers")
@pytest.mark.parametrize("command", ["grow", "widen", "deepen"])
def test_documents_follow_the_schema(net2net: Net2Net, command: str) -> None:
    what = {
        "grow": settings(BIGGER),
        "widen": ["--layer", "mlp", "--to", "53"],
        "deepen": ["--after", "2"],
    }[command]
    document = read(net2net(command, "llama", *what, "-o", "out", "--json").out)
    assert document["command"] == command
    assert document["exit_code"] == 0
    assert document["verification"]["passed"]
    assert document["verification"]["proof"]["holds"]
    assert document["student"]["checkpoint"] == "out"
    again = read(net2net("grow", "llama", "--set", "rope_theta=1", "--json", code=3).out)
    assert again["diagnostics"][0]["severity"] == "error"


@pytest.mark.usefixtures("teachers")
def test_a_dry_run_writes_nothing(net2net: Net2Net) -> None:
    before = sorted(Path.cwd().rglob("*"))
    ended = net2net("grow", "llama", *settings(BIGGER), "--dry-run")
    assert "widen hidden_size" in ended.out
    assert SAME not in ended.out
    assert sorted(Path.cwd().rglob("*")) == before


@pytest.mark.usefixtures("teachers")
def test_without_verification_nothing_is_claimed(net2net: Net2Net) -> None:
    ended = net2net("grow", "llama", *MLP, "-o", "out", "--no-verify")
    assert "not probed: not asked for (--no-verify)" in ended.out
    assert SAME not in ended.out
    notes = json.loads(Path("out/net2net.json").read_text())
    assert notes["verification"]["probes"] == []


@pytest.mark.usefixtures("teachers")
def test_without_transformers_nothing_is_claimed(
    net2net: Net2Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    ended = net2net("grow", "llama", *MLP, "-o", "out")
    assert "not probed: " in ended.out
    assert "transformers" in ended.out
    assert "net2net[hf]" in ended.out
    assert SAME not in ended.out
    document = read(net2net("grow", "llama", *MLP, "-o", "two", "--json").out)
    assert document["verification"]["probes"] == []
    assert "transformers" in document["verification"]["skipped"]
    ended = net2net("verify", "llama", "out", code=2)
    assert "not probed: " in ended.out
    assert "error: nothing was compared" in ended.err
    assert SAME not in ended.out


@pytest.mark.usefixtures("teachers")
def test_a_single_file_goes_through_pipes(net2net: Net2Net) -> None:
    net2net("spec", "llama", "-o", "own.yaml")
    weights = Path("llama/model.safetensors").read_bytes()
    words = ("--layer", "mlp", "--to", 53, "--source-spec", "own.yaml", "-o", "-")
    wide = process("widen", "-", *words, given=weights)
    assert wide.returncode == 0, wide.stderr
    Path("wide.safetensors").write_bytes(wide.stdout)
    net2net("deepen", "wide.safetensors", "--after", 1, "-o", "piped.safetensors")
    net2net(
        "grow", "llama", *MLP, "--set", "num_hidden_layers=4", "--where", "after=1", "-o", "out"
    )
    piped, grown = load_file("piped.safetensors"), load_file("out/model.safetensors")
    assert {n: t.shape for n, t in piped.items()} == {n: t.shape for n, t in grown.items()}
    assert SAME in net2net("verify", "llama", "piped.safetensors").out


@pytest.mark.usefixtures("teachers")
def test_shards_are_as_large_as_asked_for(net2net: Net2Net) -> None:
    net2net("grow", "llama", *MLP, "-o", "out", "--max-shard-size", "20kB")
    assert len(list(Path("out").glob("model-*.safetensors"))) > 2
    assert equal("llama", "out")


@pytest.mark.usefixtures("teachers")
def test_a_teacher_can_be_insisted_on(net2net: Net2Net) -> None:
    digest = read(net2net("inspect", "llama", "-v", "--json").out)["teacher"]["digest"]
    net2net("grow", "llama", *MLP, "-o", "out", "--expect-teacher", digest)
    net2net("grow", "gpt2", "--set", "n_inner=31", "--expect-teacher", digest, code=2)


@pytest.mark.usefixtures("teachers")
@pytest.mark.parametrize("ending", [".html", ".md", ".json", ".svg"])
def test_a_report_is_written(net2net: Net2Net, ending: str) -> None:
    net2net("grow", "llama", *settings(BIGGER), "-o", "out", "--report", f"r{ending}")
    text = Path(f"r{ending}").read_text()
    assert "hidden_size" in text.replace("\\_", "_") or ending == ".svg"


@pytest.mark.usefixtures("teachers")
def test_a_family_of_ones_own(net2net: Net2Net) -> None:
    from importlib import resources

    text = (resources.files("net2net_cli.families") / "data" / "llama.yaml").read_text()
    Path("mine.yaml").write_text(text.replace("model_types: [llama", "model_types: [mine, llama"))
    config = config_of(Path("llama"))
    Path("llama/config.json").write_text(json.dumps({**config, "model_type": "mine"}))
    assert "--family-file" in net2net("grow", "llama", *MLP, code=2).err
    net2net("grow", "llama", *MLP, "--family-file", "mine.yaml", "-o", "out")
    assert "--family-file" in net2net("verify", "llama", "out", code=2).err
    net2net("verify", "llama", "out", "--family-file", "mine.yaml")
    net2net("inspect", "out")  # the family lies in the metadata
    net2net("grow", "out", "--set", "vocab_size=67", "-o", "again")
    for name in ("llama", "again"):
        said = config_of(Path(name))
        Path(name, "config.json").write_text(json.dumps({**said, "model_type": "llama"}))
    assert equal("llama", "again")
