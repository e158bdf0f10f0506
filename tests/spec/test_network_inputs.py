"""The network's inputs: one or many, shapes, dtypes."""

from __future__ import annotations

import pytest

from net2net_cli.spec import Input
from tests.spec.texts import layer_refusal, spec


def inputs(text: str) -> list[tuple[str, tuple[int, ...], str, int | None]]:
    names = {"{a: [4], b: {shape: [], dtype: int64, high: 9}}": "a"}
    found: tuple[Input, ...] = spec(
        f"r: {{type: ReLU, inputs: {names.get(text, 'input')}}}", shape=text
    ).inputs
    return [(i.name, i.shape, i.dtype, i.high) for i in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[3, 32, 32]", [("input", (3, 32, 32), "float32", None)]),
        ("784", [("input", (784,), "float32", None)]),
        ("[]", [("input", (), "float32", None)]),
        ("{x: [4]}", [("x", (4,), "float32", None)]),
        (
            "{shape: [16], dtype: int64, high: 1000}",
            [("input", (16,), "int64", 1000)],
        ),
        ("{x: {shape: 7, dtype: float64}}", [("x", (7,), "float64", None)]),
        (
            "{a: [4], b: {shape: [], dtype: int64, high: 9}}",
            [("a", (4,), "float32", None), ("b", (), "int64", 9)],
        ),
    ],
)
def test_inputs_are_read(text: str, expected: list[object]) -> None:
    assert inputs(text) == expected


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "nothing", "[3, 32, 32]"),
        ("{}", "no input", "[3, 32, 32]"),
        ("[3, 0]", "`0`", "[3, 32, 32]"),
        ("[3, -1]", "`-1`", "[3, 32, 32]"),
        ("[3, 2.5]", "`2.5`", "[3, 32, 32]"),
        ("[3, x]", '"x"', "[3, 32, 32]"),
        ("[3, true]", "`true`", "[3, 32, 32]"),
        ("[3, [1]]", "a list", "[3, 32, 32]"),
        ("large", '"large"', "[3, 32, 32]"),
        ("{x: {dtype: int64}}", "no shape", "[3, 32, 32]"),
        ("{x: {shape: [3], dtipe: int64}}", "`dtipe`", "`dtype`"),
        ("{x: {shape: [3], size: 4}}", "`size`", "shape"),
        ("{x: {shape: [3], dtype: int46}}", "int46", "`int64`"),
        ("{x: {shape: [3], dtype: [a]}}", "a list", "float32"),
        ("{x: {shape: [3], dtype: int64, high: 0}}", "`0`", "high - 1"),
        ("{x: {shape: [3], high: 10}}", "float32", "int64"),
        ("{x y: [3]}", "`x y`", "spaces"),
    ],
)
def test_wrong_inputs_are_refused(text: str, message: str, hint: str) -> None:
    error = layer_refusal("r: {type: ReLU, inputs: input}", shape=text)
    assert message in error.message
    assert hint in str(error.hint)
    assert error.where == "net.yaml:2"


def test_a_missing_input_is_told() -> None:
    from tests.spec.texts import refusal

    error = refusal("net2net: 1\nlayers: {a: {type: ReLU}}")
    assert "no `input`" in error.message
