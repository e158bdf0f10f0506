"""Faults in the middle of a run: the process' calls that change the file system, counted.

Python's own ``os`` makes all of net2net's changes, so that its functions are what is wrapped:
before (or in the middle of) call number ``at`` the fault happens. Used in a process of its own.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["count", "kill", "half", "EIO", "ENOSPC", "EDQUOT", "SIGINT", "SIGTERM"]

CHANGES = (
    "write", "pwrite", "pwritev", "writev", "copy_file_range", "sendfile", "fsync", "fdatasync",
    "posix_fallocate", "truncate", "ftruncate", "rename", "replace", "link", "symlink", "unlink",
    "remove", "rmdir", "mkdir", "chmod", "fchmod", "utime", "open",
)  # fmt: skip
WRITES = ("write", "pwrite", "pwritev", "writev")
_MAKING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass
class Faults:
    """The fault that is to happen, and how many calls there have been."""

    kind: Kind
    at: int
    calls: int = 0

    def install(self) -> None:
        """Wrap the functions, for as long as the process lives."""
        for name in CHANGES:
            if hasattr(os, name):
                setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **options: Any) -> Any:
            flags = args[1] if len(args) > 1 else options.get("flags", 0)
            if name == "open" and not flags & _MAKING:
                return call(*args, **options)
            if name == "write" and args[0] in (1, 2):
                return call(*args, **options)
            self.calls += 1
            if self.calls == self.at:
                self._happen(name, call, args)
            return call(*args, **options)

        return wrapper

    def _happen(self, name: str, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        match self.kind:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "half":
                if name in ("write", "pwrite"):
                    data = memoryview(args[1]).cast("B")
                    call(args[0], data[: len(data) // 2], *args[2:])
                os.kill(os.getpid(), signal.SIGKILL)
            case "SIGINT" | "SIGTERM":
                os.kill(os.getpid(), getattr(signal, self.kind))
            case "EIO" | "ENOSPC" | "EDQUOT":
                code = getattr(errno, self.kind)
                raise OSError(code, os.strerror(code))
