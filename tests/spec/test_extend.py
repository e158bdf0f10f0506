"""Targets that say only what changes in another spec."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from net2net_cli.errors import SpecError
from net2net_cli.spec import (
    Document,
    Spec,
    dump,
    extend,
    parse_document,
    read_document,
    resolve,
    to_spec,
)
from tests.spec.texts import document, edges, meaning

BASE = """
conv1: {type: Conv2d, out_channels: 8, kernel_size: 3, padding: 1}
relu1: {type: ReLU}
layer1:
  0:
    type: Add
    branches:
      - {conv1: {type: Conv2d, out_channels: 8, kernel_size: 1}, bn1: {type: BatchNorm2d}}
      - {}
  1: {type: ReLU}
mixed:
  type: Concat
  branches:
    b1: {conv: {type: Conv2d, out_channels: 4, kernel_size: 1}, relu: {type: ReLU}}
    b2: {}
sum: {type: Add, inputs: [mixed, mixed]}
flat: {type: Flatten}
fc: {type: Linear, out_features: 3}
"""
FIRST = 4


def target(changes: str, tail: str = "") -> Document:
    body = indent(dedent(changes).strip("\n"), "  ")
    return parse_document(f"net2net: 1\nextends: source\nlayers:\n{body}\n{dedent(tail)}", "t.yaml")


def grown(changes: str, tail: str = "", base: str = BASE) -> Spec:
    doc = extend(target(changes, tail), document(base))
    assert doc.extends is None
    found = to_spec(doc)
    assert meaning(to_spec(parse_document(dump(doc), "again.yaml"))) == meaning(found)
    return found


def refused(changes: str, tail: str = "") -> SpecError:
    with pytest.raises(SpecError) as caught:
        grown(changes, tail)
    assert str(caught.value.where).startswith("t.yaml")
    assert caught.value.hint
    return caught.value


def test_no_changes_give_the_base() -> None:
    doc = parse_document("net2net: 1\nextends: source\nsource: a.pt\n", "t.yaml")
    found = extend(doc, document(BASE))
    assert meaning(to_spec(found)) == meaning(to_spec(document(BASE)))
    assert found.source == "a.pt"


@pytest.mark.parametrize(
    "changes",
    [
        "layer1.0.conv1: {out_channels: 16}",
        "layer1.0.conv1: {type: Conv2d, out_channels: 16}",
        "layer1: {0.conv1: {out_channels: 16}}",
        "layer1: {0: {conv1: {out_channels: 16}}}",
        "layer1.0: {conv1: {out_channels: 16}}",
        "layer1.0: {type: Add, branches: {conv1: {out_channels: 16}}}",
    ],
)
def test_an_argument_changes_however_the_layer_is_named(changes: str) -> None:
    found = grown(changes)
    assert found.layer("layer1.0.conv1").args["out_channels"] == 16
    assert found.layer("conv1").args["out_channels"] == 8
    assert edges(found) == edges(to_spec(document(BASE)))


@pytest.mark.parametrize(
    "changes",
    [
        "mixed.b1.conv: {out_channels: 16}",
        "mixed: {b1: {conv: {out_channels: 16}}}",
        "mixed: {branches: {b1: {conv: {out_channels: 16}}}}",
    ],
)
def test_layers_of_named_branches_change_too(changes: str) -> None:
    assert grown(changes).layer("mixed.b1.conv").args["out_channels"] == 16


def test_a_change_knows_its_line_in_the_target() -> None:
    found = grown("conv1:\n  out_channels: 16")
    assert str(found.layer("conv1").arg_places["out_channels"]) == f"t.yaml:{FIRST + 1}"
    assert str(found.layer("conv1").arg_places["kernel_size"]).startswith("net.yaml")


def test_a_wrong_value_is_refused_at_its_line_in_the_target() -> None:
    assert refused("\nconv1:\n  out_channels: x").where == f"t.yaml:{FIRST + 1}"


def test_a_layers_inputs_may_change() -> None:
    found = edges(grown("sum: {inputs: [mixed, b, mixed]}\nb: {type: ReLU, after: mixed}"))
    assert found["sum"] == ("mixed", "b", "mixed")


def test_new_layers_stand_after_what_they_name() -> None:
    found = edges(
        grown("""
        conv2: {type: Conv2d, out_channels: 8, kernel_size: 3, padding: 1, after: relu1}
        layer1.0.relu: {type: ReLU, after: layer1.0.bn1}
        head: {type: Linear, out_features: 3, after: fc}
        pre: {type: ReLU, after: input}
    """)
    )
    assert found["pre"] == ("input",)
    assert found["conv1"] == ("pre",)
    assert found["layer1.0.conv1"] == ("conv2",)
    assert found["layer1.0"] == ("layer1.0.relu", "conv2")
    assert found["head"] == ("fc",)


def test_a_new_entry_follows_the_new_entry_before_it() -> None:
    found = edges(
        grown("""
        conv2: {type: Conv2d, out_channels: 8, kernel_size: 3, padding: 1, after: relu1}
        relu2: {type: ReLU}
        block: {a: {type: ReLU}, b: {type: ReLU}}
        layer1: {2: {type: ReLU, after: 1}, 3: {type: ReLU}}
        relu3: {type: ReLU}
        conv1: {out_channels: 9}
    """)
    )
    assert found["relu2"] == ("conv2",)
    assert found["block.a"] == ("relu2",)
    assert found["layer1.0.conv1"] == ("block.b",)
    assert found["layer1.3"] == ("layer1.2",)
    assert found["relu3"] == ("layer1.3",)
    assert found["mixed"] == ("mixed.b1.relu", "relu3")


def test_a_changed_layer_ends_the_run_of_new_ones() -> None:
    error = refused("a: {type: ReLU, after: relu1}\nconv1: {out_channels: 9}\nb: {type: ReLU}")
    assert "b is new" in error.message
    assert error.where == f"t.yaml:{FIRST + 2}"


def test_names_after_are_sought_innermost_first() -> None:
    found = edges(grown("layer1: {0: {conv2: {type: ReLU, after: conv1}}}"))
    assert found["layer1.0.conv2"] == ("layer1.0.conv1",)


def test_new_groups_and_containers() -> None:
    found = edges(
        grown("""
        layer2: {after: layer1, 0: {type: ReLU}, 1: {type: ReLU}}
        layer1.0.se:
          after: layer1.0.bn1
          type: Multiply
          branches: [{}, {gate: {type: Sigmoid}}]
    """)
    )
    assert found["layer2.0"] == ("layer1.1",)
    assert found["mixed.b1.conv"] == ("layer2.1",)
    assert found["layer1.0.se"] == ("layer1.0.bn1", "layer1.0.se.gate")
    assert found["layer1.0"][0] == "layer1.0.se"


def test_a_new_block_of_a_group() -> None:
    found = edges(
        grown("""
        layer1.2: {after: layer1.1, type: Add, branches: [{conv: {type: ReLU}}, {}]}
        layer1.3: {type: ReLU}
    """)
    )
    assert found["layer1.2"] == ("layer1.2.conv", "layer1.1")
    assert found["layer1.3"] == ("layer1.2",)
    assert found["mixed"][1] == "layer1.3"


@pytest.mark.parametrize(
    ("changes", "container", "expected"),
    [
        ("mixed: {branches: {b3: {r: {type: ReLU}}}}", "mixed", "mixed.b3.r"),
        ("mixed: {branches: {b3: {}}}", "mixed", "layer1.1"),
        ("layer1.0: {branches: {new: {r: {type: ReLU}}}}", "layer1.0", "layer1.0.new.r"),
        ("layer1.0: {branches: {new: {}}}", "layer1.0", "relu1"),
        ("layer1.0: {branches: [{r: {type: ReLU}}]}", "layer1.0", "layer1.0.r"),
        ("layer1: {0: {branches: [{}]}}", "layer1.0", "relu1"),
    ],
)
def test_a_container_gets_a_new_branch(changes: str, container: str, expected: str) -> None:
    before = edges(to_spec(document(BASE)))[container]
    assert edges(grown(changes))[container] == (*before, expected)


def test_input_outputs_and_rename_of_the_target_win() -> None:
    found = grown(
        "conv1: {out_channels: 9}",
        tail="input: [3, 64, 64]\noutputs: [fc, layer1]\nrename: {fc: head}\n",
    )
    assert found.inputs[0].shape == (3, 64, 64)
    assert found.outputs == ("fc", "layer1.1")
    assert found.rename == {"fc": "head"}


def test_what_the_base_says_of_files_is_not_taken_over() -> None:
    base = document("a: {type: ReLU}", tail="source: a.pt\nrename: {a: b}")
    found = extend(parse_document("net2net: 1\nextends: source", "t.yaml"), base)
    assert (found.source, found.rename) == (None, {})


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ("conv2: {out_channels: 9}", "`conv2`", "`conv1`"),
        ("zzz: {}", "zzz is empty", "after: NAME"),
        ("conv1: 5", "`5`", "{argument: value}"),
        ("conv1: {out_chanels: 9}", "`out_chanels`", "`out_channels`"),
        ("conv1: {type: Conv1d}", "cannot become", "another name"),
        ("conv1: {after: relu1}", "cannot be moved", "after"),
        ("conv1: {x: {y: 1}}", "conv1.x", ""),
        ("layer1: {out_channels: 9}", "a group", "layer1.0"),
        ("layer1: {after: relu1}", "exists already", "another name"),
        ("new: {type: ReLU}", "where it goes", "after: NAME"),
        ("con1: {type: Conv2d, out_channels: 9}", "where it goes", "`conv1`"),
        ("new: {type: ReLU, after: rellu1}", "`rellu1`", "`relu1`"),
        ("new: {type: ReLU, after: [relu1]}", "a list", "after: NAME"),
        ("new: {type: RelU, after: relu1}", "`RelU`", "`ReLU`"),
        ("a: {type: ReLU, after: fc}\nb: {type: ReLU, after: fc}", "both", "after: a"),
        ("new: {type: ReLU, after: mixed.b1.relu}", "cannot stand", "`mixed.b1.`"),
        ("g: {after: fc, a: {type: ReLU, after: b}}", "`after:`", "where it belongs"),
        ("conv1: {branches: {}}", "no branches", "Concat"),
        ("sum: {branches: {a: {}}}", "no branches", "inputs"),
        ("mixed: {branches: [{}]}", "a mapping", "{new"),
        ("mixed: {branches: 3}", "`3`", "{new"),
        ("a b: {type: ReLU, after: fc}", "`a b`", "spaces"),
    ],
)
def test_a_change_that_does_not_fit_is_refused(changes: str, message: str, hint: str) -> None:
    error = refused(changes)
    assert message in error.message
    assert hint in str(error.hint)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text))
    return path


def test_files_are_found_relative_to_the_spec_that_names_them(tmp_path: Path) -> None:
    written(
        tmp_path, "a.yaml", "net2net: 1\ninput: [4]\nlayers: {fc: {type: Linear, out_features: 2}}"
    )
    written(tmp_path, "sub/b.yaml", "net2net: 1\nextends: ../a.yaml\nlayers: {fc: {bias: false}}")
    path = written(
        tmp_path, "c.yaml", "net2net: 1\nextends: sub/b.yaml\nlayers: {fc: {out_features: 3}}"
    )
    (layer,) = to_spec(resolve(read_document(path))).layers
    assert layer.args == {"out_features": 3, "bias": False}


def test_the_checkpoints_own_spec_is_handed_in(tmp_path: Path) -> None:
    path = written(
        tmp_path, "t.yaml", "net2net: 1\nextends: source\nlayers: {fc: {out_features: 5}}"
    )
    found = to_spec(resolve(read_document(path), document(BASE)))
    assert found.layer("fc").args["out_features"] == 5
    with pytest.raises(SpecError) as caught:
        resolve(read_document(path))
    assert caught.value.where == f"{path}:2"
    assert "--source-spec" in str(caught.value.hint)


def test_specs_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "a.yaml", "net2net: 1\nextends: b.yaml\n")
    written(tmp_path, "b.yaml", "net2net: 1\nextends: ./a.yaml\n")
    with pytest.raises(SpecError, match="in turn"):
        resolve(read_document(path))


@pytest.mark.parametrize("other", ["/etc/passwd", "../secret.yaml", "sub/../../secret.yaml"])
def test_a_spec_is_not_sent_outside_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    network = "net2net: 1\ninput: [4]\nlayers: {fc: {type: Linear, out_features: 2}}"
    written(tmp_path, "secret.yaml", network)
    path = written(tmp_path, "in/a.yaml", f"net2net: 1\nextends: {other}\n")
    with pytest.raises(SpecError, match="outside of its folder") as caught:
        resolve(read_document(path))
    assert caught.value.where == f"{path}:2"
    monkeypatch.chdir(tmp_path)
    if other == "../secret.yaml":
        assert to_spec(resolve(read_document(path))).layers


def test_a_missing_base_is_told_at_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "a.yaml", "net2net: 1\n\nextends: b.yaml\n")
    with pytest.raises(SpecError, match="no such file") as caught:
        resolve(read_document(path))
    assert caught.value.where == f"{path}:3"
