"""Writing together: the same bytes, one error for all, and what a restart finds again."""

from __future__ import annotations

import fcntl
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from net2net_cli.errors import OutputError, UsageError
from net2net_cli.io import Joint, TensorInfo, digest, write_checkpoint
from net2net_cli.io.team import LostError, Team, first, in_team, restart_follows, shares
from net2net_cli.io.temporary import stale_temporaries
from tests.support.checkpoints import infos, names, state
from tests.support.command import environment
from tests.support.teams import run

SIZE = 3


def write(output, team=None, produce=None, job="job", digests=None, **options):
    joint = Joint(team or Team(), job, {} if digests is None else digests)
    given = produce or (lambda info: state()[info.name])
    files = {"files": {"config.json": b"{}"}} if output.endswith("/") else {}
    metadata = {"spec": "é\n"}
    return write_checkpoint(
        output, infos(state()), metadata, given, joint=joint, **files, **options
    )


def content(path):
    if path.is_file():
        return path.read_bytes()
    return {part.name: part.read_bytes() for part in path.iterdir()}


@pytest.mark.parametrize("leaf", [64 * 2**20, 16])
@pytest.mark.parametrize("name", ["x.safetensors", "x/", "x.pt"])
def test_what_several_write_is_what_one_writes(tmp_path, monkeypatch, name, leaf):
    """A tensor is divided among them where it has several leaves."""
    monkeypatch.setattr(digest, "LEAF", leaf)
    options = {"shard_bytes": 100} if name == "x/" else {}
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    one = write(f"{tmp_path}/one/{name}", **options)
    many = run(SIZE, lambda team: write(f"{tmp_path}/many/{name}", team, **options))
    assert {(w.digest, w.nbytes) for w in many} == {(one.digest, one.nbytes)}
    assert content(tmp_path / "one" / name) == content(tmp_path / "many" / name)
    assert names(tmp_path / "many") == names(tmp_path / "one")


def test_each_tensor_is_made_by_one_and_all_know_the_source_s_digests(tmp_path):
    made, digests = [], [{} for _ in range(SIZE)]

    def part(team):
        def produce(info):
            made.append(info.name)
            digests[team.rank][f"old.{info.name}", 0] = "ab"
            return state()[info.name]

        write(f"{tmp_path}/x", team, produce, digests=digests[team.rank])

    run(SIZE, part)
    assert sorted(made) == sorted(state())
    assert digests == [dict.fromkeys(((f"old.{name}", 0) for name in state()), "ab")] * SIZE


def test_bytes_are_shared_out_evenly_and_everywhere_alike():
    tensors = [TensorInfo(f"t{i}", "float32", (i * i,)) for i in range(40)]
    parts = shares(tensors, 4)
    assert parts == shares(tensors[::-1], 4)
    assert sorted(leaf for part in parts for leaf in part) == sorted((t.name, 0) for t in tensors)
    loads = [sum(t.nbytes for t in tensors if (t.name, 0) in part) for part in parts]
    assert max(loads) - min(loads) <= 0.01 * sum(loads)
    assert shares(tensors[:1], 3) == [frozenset({("t0", 0)}), frozenset(), frozenset()]


def test_the_largest_tensor_is_shared_out_too():
    big = TensorInfo("big", "bfloat16", (128_000, 4096))
    parts = shares([big, TensorInfo("small", "float32", (10,))], 4)
    assert {len(part) for part in parts} <= {4, 5}
    assert sum(len(part) for part in parts) == 17


@pytest.mark.parametrize("rank", range(SIZE))
@pytest.mark.parametrize("name", ["x", "x/"])
def test_an_error_of_one_ends_all_and_leaves_nothing(tmp_path, name, rank):
    def part(team):
        def produce(info):
            if team.rank == rank:
                raise OutputError("full")
            return state()[info.name]

        write(f"{tmp_path}/{name}", team, produce)

    assert [str(error) for error in run(SIZE, part)] == ["full"] * SIZE
    assert names(tmp_path) == []


def test_an_output_that_exists_is_told_to_all_before_any_work(tmp_path):
    def check(_):
        (tmp_path / "x").write_text("theirs")

    ended = run(SIZE, lambda team: write(f"{tmp_path}/x", team, check=check))
    assert all("exists" in str(error) for error in ended)
    assert names(tmp_path) == ["x"]


def test_processes_with_different_commands_are_refused(tmp_path):
    ended = run(2, lambda team: write(f"{tmp_path}/x", team, job=f"job {team.rank}"))
    assert [type(error) for error in ended] == [UsageError] * 2
    assert "different commands" in ended[0].message
    assert names(tmp_path) == []


def interrupted(tmp_path, name, raised=LostError, **options):
    """A run whose last tensor is never made; gives what was."""
    made = []

    def part(team):
        def produce(info):
            if info.name == "conv.weight":
                raise raised("died")
            made.append(info.name)
            return state()[info.name]

        write(f"{tmp_path}/{name}", team, produce, workers=1, **options)

    run(2, part)
    return made


@pytest.mark.parametrize("name", ["x", "x/"])
def test_the_next_run_makes_only_what_is_not_there(tmp_path, name):
    before = interrupted(tmp_path, name)
    assert before
    assert all(part.startswith(".x.net2net-") for part in names(tmp_path))
    made = []

    def part(team, damaged=False):
        def produce(info):
            made.append(info.name)
            return state()[info.name]

        write(f"{tmp_path}/{name}", team, produce)

    run(SIZE, part)
    assert sorted(made) == sorted(set(state()) - set(before))
    assert [n for n in names(tmp_path) if n.startswith(".")] == []
    (tmp_path / "one").mkdir()
    write(f"{tmp_path}/one/{name}")
    assert content(tmp_path / name) == content(tmp_path / "one" / name)


def test_what_was_damaged_since_or_never_reached_the_disk_is_made_again(tmp_path):
    interrupted(tmp_path, "x")
    (temp,) = tmp_path.glob(".*.tmp")
    temp.write_bytes(bytes(temp.stat().st_size))
    for journal in tmp_path.glob(".*.log"):
        journal.write_bytes(journal.read_bytes()[:-5] + b'\n["written"]\n{}\n\xff')
    run(2, lambda team: write(f"{tmp_path}/x", team))
    (tmp_path / "one").mkdir()
    write(f"{tmp_path}/one/x")
    assert content(tmp_path / "x") == content(tmp_path / "one/x")


@pytest.mark.parametrize("another", ["job", "source", "alone"])
def test_another_job_removes_what_was_left_and_starts_anew(tmp_path, another):
    source = tmp_path / "source"
    source.write_text("a")
    assert interrupted(tmp_path, "x", sources=[source])
    made = []

    def part(team):
        job = "other" if another == "job" else "job"
        write(f"{tmp_path}/x", team, lambda i: made.append(i.name) or state()[i.name], job,
              sources=[source])  # fmt: skip

    if another == "source":
        source.write_text("bc")
    run(1 if another == "alone" else 2, part)
    assert sorted(made) == sorted(state())
    assert names(tmp_path) == ["source", "x"]


def test_a_job_that_is_being_written_is_neither_removed_nor_begun_again(tmp_path, monkeypatch):
    monkeypatch.setattr("net2net_cli.io.temporary._TRIES", 2)
    interrupted(tmp_path, "x")
    left = names(tmp_path)
    (lock,) = tmp_path.glob(".*.0.log")
    with lock.open("r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert stale_temporaries(tmp_path / "x") == []
        ended = run(2, lambda team: write(f"{tmp_path}/x", team))
        assert ["another run" in error.message for error in ended] == [True, True]
        assert names(tmp_path) == left
    assert len(stale_temporaries(tmp_path / "x")) == len(left)
    assert names(tmp_path) == []


@pytest.mark.parametrize(("restarts", "kept"), [("0", False), ("1", True)])
def test_what_torchrun_ends_to_start_again_stays(tmp_path, monkeypatch, restarts, kept):
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", restarts)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert restart_follows() == kept
    interrupted(tmp_path, "x", raised=lambda _: SystemExit(128 + signal.SIGTERM))
    assert bool(names(tmp_path)) == kept


def test_the_environment_tells_who_is_one_of_several(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert (in_team(), first()) == (False, True)
    for name, value in (("RANK", "1"), ("MASTER_ADDR", "localhost"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    assert (in_team(), first()) == (False, True)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert (in_team(), first()) == (False, True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert (in_team(), first()) == (True, False)


PROGRAM = """
import os, sys, time
from net2net_cli.errors import OutputError
from net2net_cli.io.team import LostError, StoppedError, join
team = join()
assert team.together(lambda: team.rank * 10) == [0, 10, 20]
assert team.lead(lambda: {"a": team.rank}) == {"a": 0}
def part():
    if team.rank == 1 and MODE == "fail":
        raise OutputError("full", where="disk", hint="free some")
    if team.rank == 2 and MODE == "defect":
        raise ZeroDivisionError("oh")
    print("working", os.getpid(), flush=True)
    for _ in range(600):
        time.sleep(0.05)
        team.heed()
try:
    team.together(part)
except Exception as error:
    notes = "".join(getattr(error, "__notes__", ()))
    print(type(error).__name__, getattr(error, "hint", ""), "ZeroDivisionError: oh" in notes)
sys.stdout.flush()
os._exit(0)
"""


def processes(mode):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    given = partial(environment, WORLD_SIZE="3", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    program = PROGRAM.replace("MODE", repr(mode))
    return [
        subprocess.Popen(
            [sys.executable, "-c", program], env=given(RANK=str(rank)), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )
        for rank in range(3)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "told"),
    [("fail", "OutputError free some False"), ("defect", "ZeroDivisionError  True")],
)
def test_an_error_ends_the_others_parts_within_seconds(mode, told):
    started = processes(mode)
    said = [one.communicate(timeout=60)[0].splitlines()[-1] for one in started]
    own = told.replace("True", "False")
    assert said == [own if mode == "defect" and rank == 2 else told for rank in range(3)]


def test_a_process_that_dies_is_noticed_while_the_others_work():
    started = processes("kill")
    for one in started:
        assert one.stdout.readline().startswith("working")
    started[2].kill()
    began = time.monotonic()
    said = [one.communicate(timeout=60)[0] for one in started[:2]]
    assert all(text.startswith("LostError start it again") for text in said)
    assert time.monotonic() - began < 10
    started[2].communicate()


def test_the_path_of_a_job_is_short_enough_for_any_name(tmp_path):
    name = "x" * 255
    assert interrupted(tmp_path, name)
    run(2, lambda team: write(f"{tmp_path}/{name}", team))
    assert names(tmp_path) == [name]
    assert Path(tmp_path, name).stat().st_size > 0
