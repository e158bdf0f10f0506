"""Some eighty spoilt inputs of every kind: errors that say what is wrong, and nothing else.

``make fuzz`` tries a hundred thousand.
"""

from __future__ import annotations

import time

import pytest

from tests.fuzz import limits
from tests.fuzz.bench import Bench
from tests.fuzz.campaign import inputs
from tests.fuzz.limits import Clock, TooSlowError, limited
from tests.fuzz.results import Results
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


def test_what_spins_is_ended(monkeypatch):
    monkeypatch.setattr(limits, "SECONDS", 0.1)
    clock = Clock()
    with pytest.raises(TooSlowError), limited(clock):
        while clock.seconds < 5:
            pass
    assert clock.seconds < 5


def test_what_sleeps_is_ended_later(monkeypatch):
    monkeypatch.setattr(limits, "SECONDS", 0.1)
    monkeypatch.setattr(limits, "ASLEEP", 0.3)
    clock = Clock()
    with pytest.raises(TooSlowError), limited(clock):
        time.sleep(20)
    assert clock.unqueued < 20


def test_a_campaign_goes_on_where_it_stood(tmp_path):
    results = Results()
    for _ in range(3):
        results.add("settings", 0, 2, 0.1, 100, [], "")
    results.died("settings", 3, -9)
    results.write(tmp_path / "sums.json")
    found = Results.read(tmp_path / "sums.json")
    assert found == results
    left = [one for part in inputs(found, 500) for one in part]
    assert len(left) == 500 - 4
    assert [seed for subject, seed in left if subject == "settings"] == list(range(4, 25))
