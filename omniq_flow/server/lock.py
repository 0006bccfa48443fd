"""Locks on files, held by whoever has the file open and gone with the last of them.

A lock belongs to the open file, not to the process: a child that inherits the descriptor holds the same
lock, and keeps it when its parent has closed its own. The kernel drops it at the last close, however the
process ends. So a lock is let go by closing, never by an unlock call, which would take it from the child too.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType


@dataclass(frozen=True, slots=True)
class FileLock:
    """A lock that is held; `fd` may be handed to a child, which then shares it."""

    fd: int

    @classmethod
    def try_exclusive(cls, path: Path) -> FileLock | None:
        """The lock, if nobody holds it in any way; never waits."""
        return cls._try(path, fcntl.LOCK_EX)

    @classmethod
    def try_shared(cls, path: Path) -> FileLock | None:
        """The lock, unless somebody holds it for himself; never waits."""
        return cls._try(path, fcntl.LOCK_SH)

    @classmethod
    def _try(cls, path: Path, kind: int) -> FileLock | None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        return cls(fd)

    def close(self) -> None:
        """Give up this holder's share of the lock."""
        os.close(self.fd)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
