"""A folder with a teacher in it, and the command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import save_file

from net2net_cli.laying import layout_of
from net2net_cli.spec import read_document, to_spec
from tests.support.command import Net2Net
from tests.support.zoo import random_state

Teach = Callable[[str], None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, entered."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def net2net(capfd: pytest.CaptureFixture[str]) -> Net2Net:
    """The command, in this process."""
    return Net2Net(capfd)


@pytest.fixture
def teach(folder: Path) -> Teach:
    """Writes a teacher, `net.safetensors` with `net.yaml` beside it: all random, in float64."""

    def write(spec: str) -> None:
        (folder / "net.yaml").write_text(spec, encoding="utf-8")
        layout = layout_of(to_spec(read_document(folder / "net.yaml")))
        save_file(random_state(layout), folder / "net.safetensors")

    return write
