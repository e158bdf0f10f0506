"""Temporary files and folders that do not outlive a run, and how a file becomes the output.

One lies beside the output, as ``.NAME.net2net-PID-RANDOM.tmp``. Its run holds a lock on it and
removes it however the run ends; one that a killed run left behind is removed by the next run that
writes the same output. A folder on its way out (``exchange``) is named ``.old`` instead, and is
removed only while the output exists: without it, it is all that is left of what was there.

What several processes write together lies in ``.NAME.net2net-JOB.tmp``, with a journal of each,
``.NAME.net2net-JOB.RANK.log``; the lock is on the first one's. JOB, of twelve digits, tells what is
written: where a process died, all stays for the next run of the same job to pick up, and the next
run of another one removes it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from net2net_cli.errors import Net2NetError, OutputError
from net2net_cli.io.failures import reported, shown

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST_NAME = 255 - len("..net2net-999999999-12345678.tmp")  # bytes; file systems allow 255
_TRIES = 15


@contextmanager
def temporary(
    beside: Path, kind: type[Net2NetError] = OutputError, mode: int = 0o666
) -> Iterator[tuple[Path, int]]:
    """A new file beside that path, and its descriptor; removed at the end unless renamed."""
    stale_temporaries(beside)
    path = temporary_name(beside)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = -1
    try:  # the file may be there, and the name of its descriptor not yet, when a signal comes
        with reported(kind, "write", path):
            descriptor = os.open(path, flags, mode)
        _lock(descriptor)
        yield path, descriptor
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        if descriptor >= 0:
            os.close(descriptor)


@contextmanager
def temporary_folder(beside: Path) -> Iterator[Path]:
    """A new folder beside that path, for files alone; removed at the end unless renamed."""
    stale_temporaries(beside)
    path = temporary_name(beside)
    descriptor = -1
    try:
        with reported(OutputError, "write", path):
            path.mkdir()
            descriptor = os.open(path, _FOLDER)
        _lock(descriptor)
        yield path
    finally:
        with suppress(OSError):
            remove_folder(path)
        if descriptor >= 0:
            os.close(descriptor)


@contextmanager
def job_temporary(beside: Path, job: str, kept: Callable[[BaseException], bool]) -> Iterator[Path]:
    """The name for what this job makes: nothing, or what an earlier run of it left there. All of
    the job is removed at the end, but for an error for which ``kept`` is true.

    OutputError where another run is at the same job.
    """
    stale_temporaries(beside, but=job)
    descriptor = _lock_job(job_name(beside, job, "0.log"), beside)
    try:
        yield job_name(beside, job, "tmp")
    except BaseException as error:
        if not kept(error):
            _remove_job(beside, job)
        raise
    else:
        _remove_job(beside, job)
    finally:
        os.close(descriptor)


def job_name(beside: Path, job: str, ending: str) -> Path:
    """``.NAME.net2net-JOB.tmp``, or one of the journals."""
    return beside.parent / f"{_prefix(beside)}{job}.{ending}"


def journals(beside: Path, job: str) -> list[Path]:
    """The journals of a job, sorted by name."""
    return sorted(p for p in _parts(beside).get(job, ()) if p.suffix == ".log")


def temporary_name(beside: Path, ending: str = "tmp") -> Path:
    """A name of this run's that nothing has yet."""
    return beside.parent / f"{_prefix(beside)}{os.getpid()}-{os.urandom(4).hex()}.{ending}"


def remove_folder(path: Path) -> None:
    """Removes a folder of files; OSError, and nothing is removed, where it holds another folder."""
    _empty_folder(path, ())
    path.rmdir()


def clear_folder(path: Path, keep: Container[str]) -> None:
    """Makes a folder that holds at most the files named; OSError where it holds another folder."""
    path.mkdir(exist_ok=True)
    _empty_folder(path, keep)


def _empty_folder(path: Path, keep: Container[str]) -> None:
    descriptor = os.open(path, _FOLDER)
    try:
        names = [entry.name for entry in os.scandir(descriptor) if entry.name not in keep]
        for name in names:
            mode = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), name)
        for name in names:
            os.unlink(name, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def stale_temporaries(output: Path, but: str | None = None) -> list[Path]:
    """Removes what dead runs left beside that output, except for the job ``but``; gives what it
    removed."""
    pattern = re.compile(re.escape(_prefix(output)) + r"(\d{1,9})-[0-9a-f]{8}\.(tmp|old)")
    removed = []
    with suppress(OSError):
        for entry in os.scandir(output.parent):
            found = pattern.fullmatch(entry.name)
            if found is None or _alive(int(found[1])):
                continue
            folder = entry.is_dir(follow_symlinks=False)
            ours = folder or (entry.is_file(follow_symlinks=False) and found[2] == "tmp")
            if ours and (found[2] == "tmp" or os.path.lexists(output)):
                with suppress(OSError):
                    _remove_unlocked(Path(entry.path), folder=folder)
                    removed.append(Path(entry.path))
        for job in sorted(set(_parts(output)) - {but}):
            removed += _remove_stale_job(output, job)
    return removed


def _parts(output: Path) -> dict[str, list[Path]]:
    """Job -> what lies there of it."""
    pattern = re.compile(re.escape(_prefix(output)) + r"([0-9a-f]{12})\.(tmp|\d{1,5}\.log)")
    parts: dict[str, list[Path]] = {}
    with suppress(OSError):
        for entry in os.scandir(output.parent):
            if (found := pattern.fullmatch(entry.name)) and not entry.is_symlink():
                parts.setdefault(found[1], []).append(Path(entry.path))
    return parts


def _remove_stale_job(output: Path, job: str) -> list[Path]:
    """Removes a job whose run is dead."""
    lock = job_name(output, job, "0.log")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:  # it was being removed
        return _remove_job(output, job)
    except OSError:
        return []
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _remove_job(output, job)
    except OSError:
        return []
    finally:
        os.close(descriptor)


def _remove_job(output: Path, job: str) -> list[Path]:
    """The lock goes last, so that whoever holds it finds all or nothing of the job."""
    removed = []
    lock = job_name(output, job, "0.log")
    for path in sorted(_parts(output).get(job, ()), key=lambda part: part == lock):
        with suppress(OSError):
            if path.is_dir():
                remove_folder(path)
            else:
                path.unlink()
            removed.append(path)
    return removed


def _lock_job(path: Path, output: Path) -> int:
    """Makes and locks the journal; a run that just ended, or removes it, is waited for."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(0.2)
        with reported(OutputError, "write", path):
            descriptor = os.open(path, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        except OSError:  # a file system without locks
            return descriptor
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)
    raise OutputError(
        f"another run is writing `{shown(output)}`", hint="wait for its end, or choose another name"
    )


def publish(temp: Path, output: Path, *, overwrite: bool) -> None:
    """Gives the finished file its name, at once and for good."""
    with reported(OutputError, "write", output):
        if overwrite:
            temp.replace(output)
        else:
            _publish_new(temp, output)
        sync_folder(output.parent)


def exists_error(output: Path | str) -> OutputError:
    """The refusal to write over something."""
    return OutputError(f"`{shown(output)}` exists", hint="choose another name, or add --overwrite")


def _publish_new(temp: Path, output: Path) -> None:
    # A link never replaces what another program put there meanwhile; a rename would.
    try:
        os.link(temp, output)
    except FileExistsError as error:
        raise exists_error(output) from error
    except OSError:  # a file system without links
        if os.path.lexists(output):
            raise exists_error(output) from None
        temp.rename(output)


def sync_folder(folder: Path) -> None:
    """Puts the folder's entries on the disk."""
    with suppress(OSError):  # some file systems cannot, and need not
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _prefix(output: Path) -> str:
    name = os.fsencode(output.name)[:_LONGEST_NAME]
    return f".{os.fsdecode(name)}.net2net-"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _lock(descriptor: int) -> None:
    with suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove_unlocked(path: Path, *, folder: bool) -> None:
    # The lock tells a run in another container, whose processes are not seen from here.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if folder:
            remove_folder(path)
        else:
            path.unlink()
    finally:
        os.close(descriptor)
