"""The command many times over without starting Python anew: a process that forks for each run.

``python -m tests.faults.zygote`` reads jobs, one JSON document a line, and answers each with one.
The run itself is the console script's own entry, with its own standard streams, folder, limits and
signals, so that nothing but the import of libraries is shared between runs.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.faults.injection import Faults
from tests.support.command import environment


@dataclass(frozen=True)
class Job:
    """One run: words behind ``net2net``, its folder, and what goes wrong (see injection.py).

    ``limits`` are resource limits by name (``RLIMIT_AS``), in their units.
    """

    words: Sequence[str]
    folder: str
    fault: str = "count"
    at: int = 0
    stdin: str = os.devnull
    limits: dict[str, int] = field(default_factory=dict)
    seconds: float = 300.0


@dataclass(frozen=True)
class Run:
    """How it ended: ``code`` is negative for a signal, None where the time was up; ``calls`` that
    change the file system (0 where the process was killed); peak memory in bytes."""

    code: int | None
    calls: int
    out: str
    err: str
    seconds: float
    memory: int


class Zygote:
    """A process to run commands in."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(  # compiled modules would be counted among what a run writes
                OMP_NUM_THREADS="1", TMPDIR=os.environ.get("TMPDIR"), PYTHONDONTWRITEBYTECODE="1"
            ),
            text=True,
        )

    def run(self, job: Job) -> Run:
        """Carry out one job."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asdict(job)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the zygote died"
        return Run(**json.loads(answer))

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def main() -> None:
    """Import what commands need, then serve until the input ends."""
    import torch  # noqa: F401

    from net2net_cli import api, execute  # noqa: F401
    from net2net_cli.cli import app  # noqa: F401

    jobs, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    for line in jobs:
        answers.write(json.dumps(asdict(_run(Job(**json.loads(line))))) + "\n")
        answers.flush()


def _run(job: Job) -> Run:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        reader, writer = os.pipe()
        started = time.monotonic()
        child = os.fork()
        if not child:
            os.close(reader)
            _child(job, out.fileno(), err.fileno(), writer)
        os.close(writer)
        code, memory = _wait(child, started + job.seconds)
        calls = int(os.read(reader, 20) or b"0")
        os.close(reader)
        texts = [_content(stream) for stream in (out, err)]
        return Run(code, calls, *texts, time.monotonic() - started, memory)


def _child(job: Job, out: int, err: int, counted: int) -> None:
    """The run; never returns."""
    code = 70
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == 2 else signal.SIG_DFL)
        os.chdir(job.folder)
        os.dup2(os.open(job.stdin, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        for name, value in job.limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))
        if "RLIMIT_FSIZE" in job.limits:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        from net2net_cli.cli.main import run

        faults = Faults(job.fault, job.at)  # type: ignore[arg-type]
        faults.install()
        code = run(list(job.words))
        os.write(counted, str(faults.calls).encode())
    except BaseException:  # noqa: BLE001
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int, deadline: float) -> tuple[int | None, int]:
    while True:
        done, status, used = os.wait4(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), used.ru_maxrss * 1024
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.wait4(child, 0)
            return None, 0
        time.sleep(0.002)


def _content(stream: Any) -> str:
    stream.seek(0)
    return str(stream.read(200_000).decode("utf-8", "replace"))


if __name__ == "__main__":
    main()
