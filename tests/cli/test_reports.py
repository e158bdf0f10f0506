"""``--report`` and ``--format``: the same run as a page, a picture, Markdown and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.command import Net2Net

WIDEN = ("widen", "ckpt", "--layer", "fc1", "--to", "20")
SVG = "{http://www.w3.org/2000/svg}"


def test_a_picture_shows_both_networks_and_marks_the_change(net2net: Net2Net, ckpt: Path) -> None:
    net2net(*WIDEN, "--report", "r.svg")
    root = ET.fromstring(Path("r.svg").read_text())
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert words.count("fc1") == 2
    assert {"teacher", "student", "Linear 16", "Linear 20"} <= set(words)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for box in root.iter(f"{SVG}rect"):
        right = float(box.attrib.get("x", 0)) + float(box.attrib["width"])
        low = float(box.attrib.get("y", 0)) + float(box.attrib["height"])
        assert right <= width
        assert low <= height


def test_a_page_holds_picture_operations_and_verification(net2net: Net2Net, ckpt: Path) -> None:
    net2net(*WIDEN, "--report", "r.html")
    page = Path("r.html").read_text()
    assert page.count("<svg") == 1
    assert "widen fc1" in page
    assert "the student computes what the teacher computes" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_markdown_has_tables_and_a_drawing(net2net: Net2Net, ckpt: Path) -> None:
    net2net(*WIDEN, "--report", "r.md")
    text = Path("r.md").read_text()
    assert "```mermaid\nflowchart TD" in text
    assert "| widen fc1 |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(row.count("|") >= 4 for row in rows)


def test_the_json_report_is_what_json_prints(net2net: Net2Net, ckpt: Path) -> None:
    printed = net2net("plan", ckpt, "--set", "fc1.out_features=20", "--json", "--report", "r.json")
    assert json.loads(Path("r.json").read_text()) == json.loads(printed.out)


def test_a_checkpoint_on_standard_output_goes_with_a_report(net2net: Net2Net, ckpt: Path) -> None:
    net2net("plan", ckpt, "--set", "fc1.out_features=20", "--report", "r.md")
    assert "existing" not in net2net("inspect", ckpt).err
    refused = net2net("plan", ckpt, "--set", "fc1.out_features=20", "--report", "r.md", code=2)
    assert "exists" in refused.err


@pytest.mark.parametrize("form", ["markdown", "mermaid"])
def test_the_forms_print_to_standard_output(net2net: Net2Net, ckpt: Path, form: str) -> None:
    out = net2net("plan", ckpt, "--set", "fc1.out_features=20", "--format", form).out
    assert out.startswith("## net2net plan" if form == "markdown" else "flowchart TD")


def test_a_failed_verification_is_reported_too(net2net: Net2Net, ckpt: Path) -> None:
    net2net(*WIDEN, "--noise", "0.1", "--expansion", "duplicate", "--tolerance", "1e9")
    net2net("verify", ckpt, "ckpt-widened", "--tolerance", "0", "--report", "v.html", code=4)
    assert "does not compute what the teacher computes" in Path("v.html").read_text()
    net2net("verify", ckpt, "ckpt-widened", "--report", "v.svg", code=2)
