"""For all tests: a folder and the command; one thread for each worker, since two workers share the
cores; and the same examples in every run of hypothesis (HYPOTHESIS_PROFILE=hunt draws others)."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.command import Net2Net

os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("hunt", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, entered."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def net2net(capfd: pytest.CaptureFixture[str]) -> Net2Net:
    """The command, in this process."""
    return Net2Net(capfd)
