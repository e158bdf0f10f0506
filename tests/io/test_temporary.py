"""Temporary files end with their run, and those of dead runs with the next one."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys

import pytest

from net2net_cli.errors import OutputError
from net2net_cli.io.temporary import publish, stale_temporaries, temporary


@pytest.fixture(scope="module")
def dead():
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt, SystemExit])
def test_it_goes_however_the_run_ends(tmp_path, raised):
    with pytest.raises(raised), temporary(tmp_path / "x.pt") as (path, _):
        assert path.name.startswith(f".x.pt.net2net-{os.getpid()}-")
        assert path.exists()
        raise raised
    assert list(tmp_path.iterdir()) == []


def test_only_what_dead_runs_left_beside_the_same_output_is_removed(tmp_path, dead):
    stale = tmp_path / f".x.pt.net2net-{dead}-0123abcd.tmp"
    kept = [
        f".y.pt.net2net-{dead}-0123abcd.tmp",
        f".x.pt.net2net-{os.getpid()}-0123abcd.tmp",
        f".x.pt.net2net-{dead}-0123abcd.tmp.bak",
        f".xxpt.net2net-{dead}-0123abcd.tmp",
        f".x.pt.net2net-{dead}-0123abcd.old",
        "x.pt",
    ]
    for name in [stale.name, *kept]:
        (tmp_path / name).touch()
    (tmp_path / f".x.pt.net2net-{dead}-01234567.tmp/folder").mkdir(parents=True)
    (tmp_path / f".x.pt.net2net-{dead}-89abcdef.tmp").symlink_to("x.pt")
    assert stale_temporaries(tmp_path / "x.pt") == [stale]
    assert all((tmp_path / name).exists() for name in kept)
    assert len(list(tmp_path.iterdir())) == len(kept) + 2
    assert stale_temporaries(tmp_path / "nowhere" / "x.pt") == []


def test_folders_of_dead_runs_go_and_old_ones_only_once_they_are_replaced(tmp_path, dead):
    temp = tmp_path / f".x.net2net-{dead}-0123abcd.tmp"
    old = tmp_path / f".x.net2net-{dead}-0123abcd.old"
    for folder in (temp, old):
        folder.mkdir()
        (folder / "model.safetensors").touch()
        (folder / "link").symlink_to(tmp_path)
    assert stale_temporaries(tmp_path / "x") == [temp]
    (tmp_path / "x").mkdir()
    assert stale_temporaries(tmp_path / "x") == [old]
    assert list(tmp_path.iterdir()) == [tmp_path / "x"]


def test_a_locked_file_belongs_to_a_run_that_cannot_be_seen(tmp_path, dead):
    path = tmp_path / f".x.net2net-{dead}-0123abcd.tmp"
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        assert stale_temporaries(tmp_path / "x") == []
    assert stale_temporaries(tmp_path / "x") == [path]


def test_a_new_temporary_clears_what_a_killed_run_left(tmp_path):
    program = (
        "import os, signal; from pathlib import Path\n"
        "from net2net_cli.io.temporary import temporary\n"
        f"with temporary(Path({str(tmp_path / 'x')!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert len(list(tmp_path.iterdir())) == 1
    with temporary(tmp_path / "x") as (path, _):
        assert list(tmp_path.iterdir()) == [path]


def test_the_longest_name_fits(tmp_path):
    for name in ("x" * 255, "é" * 127):
        with temporary(tmp_path / name) as (path, _):
            publish(path, tmp_path / name, overwrite=False)
        assert (tmp_path / name).exists()


def test_publishing_never_replaces_what_came_meanwhile(tmp_path, monkeypatch):
    def no_links(*_):
        raise PermissionError

    for patched in (False, True):
        if patched:
            monkeypatch.setattr(os, "link", no_links)
        output = tmp_path / f"x{patched}"
        with temporary(output) as (path, _):
            output.write_text("theirs")
            with pytest.raises(OutputError, match="exists"):
                publish(path, output, overwrite=False)
            assert output.read_text() == "theirs"
            publish(path, output, overwrite=True)
            assert output.read_text() == ""
        with temporary(tmp_path / f"y{patched}") as (path, _):
            publish(path, tmp_path / f"y{patched}", overwrite=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["xFalse", "xTrue", "yFalse", "yTrue"]
