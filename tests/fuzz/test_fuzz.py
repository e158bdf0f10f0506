"""Some eighty spoilt inputs of every kind: errors that say what is wrong, and nothing else.

``make fuzz`` tries a hundred thousand.
"""

from __future__ import annotations

import pytest

from tests.fuzz.campaign import Bench
from tests.fuzz.subjects import SUBJECTS


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("start"))
        yield Bench(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_spoilt_input_is_an_error_or_none(subject, bench):
    tried = [bench.try_one(subject, seed) for seed in range(4)]
    assert [one for one in tried if one.problem] == []
