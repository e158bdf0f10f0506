"""Networks of torchvision, transformers and the tests' own: traced with no edits, rebuilt, grown.
NET2NET_ALL=1 takes all of them, which needs minutes; ``python -m tests.tracing.table`` tells."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.tracing.growing import tried
from tests.tracing.zoo import ALL, QUICK, REFUSED

REBUILT, GROWN = 1e-12, 1e-10


@pytest.mark.parametrize("name", ALL if os.environ.get("NET2NET_ALL") else QUICK)
def test_a_network_is_traced_rebuilt_and_grown(name: str, tmp_path: Path) -> None:
    found = tried(ALL[name], tmp_path)
    assert found.rebuilt <= REBUILT
    assert found.spread > GROWN, "the probes cannot tell networks apart"
    for growth in ("wider", "deeper"):
        error = getattr(found, growth)
        assert (error is None) == ((name, growth) in REFUSED), found.refused
        assert error is None or error <= GROWN
