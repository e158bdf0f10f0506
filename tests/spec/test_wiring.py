"""Which layer reads what: chains, groups, branches, names, and all that is wrong with them."""

from __future__ import annotations

import pytest

from tests.spec.texts import FIRST_LAYER_LINE, document, edges, layer_refusal, spec


def test_layers_read_the_one_before() -> None:
    found = spec("a: {type: ReLU}\nb: {type: Tanh}")
    assert edges(found) == {"a": ("input",), "b": ("a",)}
    assert found.outputs == ("b",)


def test_a_group_prefixes_names_and_passes_its_end_on() -> None:
    found = spec("""
        features:
          0: {type: ReLU}
          1: {block: {conv: {type: ReLU}}}
        fc: {type: ReLU}
    """)
    assert edges(found) == {
        "features.0": ("input",),
        "features.1.block.conv": ("features.0",),
        "fc": ("features.1.block.conv",),
    }


def test_named_branches_name_their_layers() -> None:
    found = spec("""
        stem: {type: ReLU}
        mixed:
          type: Concat
          branches:
            b1: {conv: {type: ReLU}, act: {type: Tanh}}
            b2: {}
        fc: {type: ReLU}
    """)
    assert edges(found) == {
        "stem": ("input",),
        "mixed.b1.conv": ("stem",),
        "mixed.b1.act": ("mixed.b1.conv",),
        "mixed": ("mixed.b1.act", "stem"),
        "fc": ("mixed",),
    }


def test_listed_branches_do_not() -> None:
    found = spec("""
        layer1:
          0:
            type: Add
            branches:
              - {conv1: {type: ReLU}, bn1: {type: Tanh}}
              - downsample: {0: {type: ReLU}}
          relu: {type: ReLU}
    """)
    assert edges(found) == {
        "layer1.0.conv1": ("input",),
        "layer1.0.bn1": ("layer1.0.conv1",),
        "layer1.0.downsample.0": ("input",),
        "layer1.0": ("layer1.0.bn1", "layer1.0.downsample.0"),
        "layer1.relu": ("layer1.0",),
    }


def test_branches_nest() -> None:
    found = spec("""
        outer:
          type: Add
          branches:
            - inner: {type: Concat, branches: {a: {r: {type: ReLU}}, b: {}}}
              last: {type: ReLU}
            - {}
    """)
    assert edges(found)["outer.inner"] == ("outer.inner.a.r", "input")
    assert edges(found)["outer"] == ("outer.last", "input")


def test_inputs_of_a_container_feed_its_branches() -> None:
    found = spec("""
        a: {type: ReLU}
        b: {type: ReLU}
        sum: {type: Add, inputs: a, branches: [{c: {type: ReLU}}, {}]}
    """)
    assert edges(found)["sum.c"] == ("a",)
    assert edges(found)["sum"] == ("sum.c", "a")


def test_groups_and_branches_may_say_what_they_read() -> None:
    found = spec("""
        a: {type: ReLU}
        b: {type: ReLU}
        group: {inputs: a, c: {type: ReLU}}
        sum: {type: Add, branches: [{inputs: b}, {inputs: a, d: {type: ReLU}}]}
    """)
    assert edges(found)["group.c"] == ("a",)
    assert edges(found)["sum"] == ("b", "sum.d")
    assert edges(found)["sum.d"] == ("a",)


def test_a_member_called_inputs_is_a_layer() -> None:
    found = spec("group: {inputs: {type: ReLU}, type: {type: Tanh}}")
    assert edges(found) == {"group.inputs": ("input",), "group.type": ("group.inputs",)}


def test_names_are_sought_innermost_first() -> None:
    found = spec("""
        conv: {type: ReLU}
        outer:
          conv: {type: ReLU}
          inner:
            act: {type: ReLU}
            sum: {type: Add, inputs: [conv, act, outer.inner.act, input]}
        other.sum: {type: Add, inputs: [conv, outer.conv]}
    """)
    assert edges(found)["outer.inner.sum"] == (
        "outer.conv", "outer.inner.act", "outer.inner.act", "input",
    )  # fmt: skip
    assert edges(found)["other.sum"] == ("conv", "outer.conv")


def test_a_name_in_full_means_what_a_nested_one_does() -> None:
    nested = spec("g: {a: {type: ReLU}, b: {type: Add, inputs: [a, input]}}")
    flat = spec("g.a: {type: ReLU}\ng.b: {type: Add, inputs: [a, input]}")
    assert edges(nested) == edges(flat)


def test_a_group_or_branch_stands_for_its_last_layer() -> None:
    found = spec("""
        layer1: {0: {type: ReLU}, 1: {type: ReLU}}
        mixed: {type: Concat, branches: {b1: {r: {type: ReLU}}, b2: {}}}
        sum: {type: Add, inputs: [layer1, mixed.b1, mixed.b2]}
    """)
    assert edges(found)["sum"] == ("layer1.1", "mixed.b1.r", "layer1.1")


def test_numbers_are_names() -> None:
    found = spec("0: {type: ReLU}\n1: {type: ReLU}\nsum: {type: Add, inputs: [0, 1]}")
    assert edges(found)["sum"] == ("0", "1")


def test_outputs_name_layers_and_groups() -> None:
    found = spec("a: {type: ReLU}\ng: {b: {type: ReLU}}", tail="outputs: [a, g]")
    assert found.outputs == ("a", "g.b")
    assert spec("a: {type: ReLU}\nb: {type: ReLU}", tail="outputs: a").outputs == ("a",)


def test_several_inputs_are_named() -> None:
    found = spec(
        "a: {type: ReLU, inputs: x}\nsum: {type: Add, inputs: [a, y]}", shape="{x: [4], y: [4]}"
    )
    assert [i.name for i in found.inputs] == ["x", "y"]
    assert edges(found) == {"a": ("x",), "sum": ("a", "y")}


def test_a_single_input_with_a_name_is_called_input_too() -> None:
    found = spec("a: {type: ReLU}\ns: {type: Add, inputs: [input, x]}", shape="{x: [4]}")
    assert edges(found) == {"a": ("x",), "s": ("x", "x")}


def test_a_layer_may_read_a_later_one_where_that_is_no_circle() -> None:
    found = spec("""
        a: {type: ReLU}
        b: {type: ReLU, inputs: c}
        c: {type: ReLU, inputs: a}
        d: {type: ReLU, inputs: b}
    """)
    assert [layer.name for layer in found.layers] == ["a", "c", "b", "d"]


def test_the_order_is_as_written_where_that_can_run() -> None:
    found = spec("z: {type: ReLU}\na: {type: ReLU, inputs: input}\nm: {type: ReLU, inputs: z}")
    assert [layer.name for layer in found.layers] == ["z", "a", "m"]


def test_an_anchor_may_stand_for_a_whole_block() -> None:
    found = spec("""
        a: &block {conv: {type: ReLU}, act: {type: Tanh}}
        b: *block
        c: {<<: *block, act: {type: ReLU}}
    """)
    assert edges(found)["b.conv"] == ("a.act",)
    assert [layer.type for layer in found.layers] == [
        "ReLU",
        "Tanh",
        "ReLU",
        "Tanh",
        "ReLU",
        "ReLU",
    ]


def test_layers_know_their_lines() -> None:
    found = spec("a: {type: ReLU}\nb:\n  type: Linear\n  out_features: 3")
    assert str(found.layer("b").place) == f"net.yaml:{FIRST_LAYER_LINE + 1}"
    assert found.layer("b").arg_places["out_features"].line == FIRST_LAYER_LINE + 3


@pytest.mark.parametrize(
    ("layers", "line", "message", "hint"),
    [
        ("a: {type: ReLU}\nb: {type: ReLU, inputs: c}", 1, "b reads `c`", "input, a"),
        ("relu1: {type: ReLU}\nb: {type: ReLU, inputs: relu}", 1, "`relu`", "`relu1`"),
        ("g: {conv1: {type: ReLU}, b: {type: ReLU, inputs: conv}}", 0, "`conv`", "`conv1`"),
        ("a: {type: ReLU, inputs: a}", 0, "circle: a -> a", "inputs"),
        ("a: {type: ReLU, inputs: c}\nb: {type: ReLU}\nc: {type: ReLU}", 0, "a -> b -> c -> a", ""),
        ("m: {type: Concat, inputs: m.b, branches: {b: {}}}", 0, "fed by itself", "inputs"),
        ("a: {}", 0, "a is empty", "type"),
        ("g: {a: {type: ReLU}, b: {}}", 0, "g.b is empty", "type"),
        ("a:", 0, "nothing", "a: {type: ...}"),
        ("a: ReLU", 0, '"ReLU"', "a: {type: ...}"),
        ("a: [ReLU]", 0, "a list", "a: {type: ...}"),
        ("c: {out_features: 3}", 0, "c.out_features", "`type:`"),
        ("c:\n  a: {type: ReLU}\n  k: 3", 2, "c.k is no layer", "c is a layer"),
        ("a: {type: 3}", 0, "`3`", "type: Linear"),
        ("a: {type: [ReLU]}", 0, "`type`", ""),
        ("a: {type: relu}", 0, "`relu`", "`ReLU`"),
        ("a: {type: nn.ReLU}", 0, "`nn.ReLU`", "`ReLU`"),
        ("a: {type: Conv2D}", 0, "`Conv2D`", "`Conv2d`"),
        ("a: {type: Convolution2d}", 0, "`Convolution2d`", ""),
        ("a: {type: Foo}", 0, "`Foo`", "torch.nn"),
        ("a: {type: Add}", 0, "joins", "branches"),
        ("a: {type: Concat}", 0, "joins", "inputs: [a, b]"),
        ("a: {type: Add, inputs: input}", 0, "single value", "two"),
        ("a: {type: Multiply, branches: [{b: {type: ReLU}}]}", 0, "single value", "{}"),
        ("a: {type: Add, branches: []}", 0, "empty", "branches"),
        ("a: {type: Add, branches: {}}", 0, "empty", "branches"),
        ("a: {type: Add, branches: 3}", 0, "`3`", "branches"),
        ("a: {type: Add, branches: [{type: ReLU}, {}]}", 0, "a layer", "{conv"),
        ("a: {type: Add, branches: [ReLU, {}]}", 0, '"ReLU"', "{conv"),
        ("a: {type: Add, inputs: [input, input], branches: [{}, {}]}", 0, "one value, not 2", ""),
        ("a: {branches: [{}, {}]}", 0, "`branches`", "Concat"),
        ("a: {type: ReLU, branches: [{}, {}]}", 0, "no branches", "Concat"),
        ("a: {type: ReLU, inputs: [input, input]}", 0, "one value, not 2", "Concat"),
        ("a: {type: ReLU, inputs: []}", 0, "inputs of a", "inputs: NAME"),
        ("a: {type: ReLU, inputs: {}}", 0, "inputs of a", "inputs: NAME"),
        ("a: {type: ReLU, inputs: }", 0, "inputs of a", "inputs: NAME"),
        ("g: {inputs: [input, input], a: {type: ReLU}}", 0, "one name", "inputs: NAME"),
        ("a: {type: ReLU, after: b}", 0, "`after:`", "extends: source"),
        ("a b: {type: ReLU}", 0, "`a b`", "spaces"),
        ("a..b: {type: ReLU}", 0, "`a..b`", "dots"),
        (f"{'a' * 300}: {{type: ReLU}}", 0, "too long", "255"),
        ("input: {type: ReLU}", 0, "`input`", "another name"),
        ("g.a: {type: ReLU}\ng: {a: {type: ReLU}}", 1, "named g.a", "net.yaml:4"),
        ("g: {a: {type: ReLU}}\ng.a: {b: {type: ReLU}}", 1, "named g.a", "net.yaml:4"),
        ("m: {type: Add, branches: [{r: {type: ReLU}}, {r: {type: ReLU}}]}", 0, "named m.r", ""),
    ],
)
def test_a_wrong_wiring_says_where_and_what_to_do(
    layers: str, line: int, message: str, hint: str
) -> None:
    error = layer_refusal(layers)
    assert message in error.message
    assert hint in str(error.hint)
    assert error.where == f"net.yaml:{FIRST_LAYER_LINE + line}"


@pytest.mark.parametrize("tail", ["outputs: []", "outputs: {}", "outputs: [[a]]", "outputs:"])
def test_outputs_must_be_names(tail: str) -> None:
    error = layer_refusal("a: {type: ReLU}", tail=tail)
    assert "outputs" in error.message
    assert error.where == "net.yaml:5"


def test_an_output_that_does_not_exist_names_the_nearest() -> None:
    error = layer_refusal("logits: {type: ReLU}", tail="outputs: [logit]")
    assert "`logits`" in str(error.hint)


def test_with_several_inputs_a_layer_must_say_which_it_reads() -> None:
    error = layer_refusal("a: {type: ReLU}", shape="{x: [4], y: [4]}")
    assert "a does not say" in error.message
    error = layer_refusal("x: {type: ReLU, inputs: y}", shape="{x: [4], y: [4]}")
    assert "input of the network" in error.message


def test_a_long_circle_is_shortened() -> None:
    lines = [f"l{i}: {{type: ReLU}}" for i in range(50)]
    lines[0] = "l0: {type: ReLU, inputs: l49}"
    assert "..." in layer_refusal("\n".join(lines)).message


def test_a_circle_of_a_group_is_named_by_its_layers() -> None:
    error = layer_refusal("a: {type: Add, inputs: [g, input]}\ng: {b: {type: ReLU}}")
    assert error.message.endswith("a -> g.b -> a")


def test_an_empty_document_tree_is_kept_as_written() -> None:
    doc = document("a: {type: ReLU}\n# a comment\ng: {b: {type: ReLU}}")
    assert list(doc.layers.entries) == ["a", "g"]
