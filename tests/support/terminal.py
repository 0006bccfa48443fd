"""A command in a terminal of its own: what it writes is kept, what is typed reaches it, and its modes can be looked at."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

COLUMNS, ROWS = 100, 30
# The terminal becomes the one that its keys send signals to, and whose end is told as SIGHUP.
TAKE = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
MODE = re.compile(rb"\x1b\[\?([0-9;]+)([hl])")
CURSOR, WRAP = "25", "7"


class Terminal:
    """Runs `argv`, in a session of its own, in a terminal of 100 by 30."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self._ours, self._theirs = pty.openpty()
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.before = self.settings()
        self.written = b""
        ends = self._theirs
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE, *argv], stdin=ends, stdout=ends, stderr=ends, env=environment, cwd=folder, start_new_session=True
        )

    def reads(self, what: str, timeout: float = 30.0) -> None:
        """Wait until it has written this since the last `forget`."""
        self._until(lambda: what.encode() in self.written, f"it writes {what!r}", timeout)

    def forget(self) -> None:
        self.written = b""

    def types(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def signals(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            self.process.send_signal(number)

    def ended(self, timeout: float = 30.0) -> int:
        """Wait for its end; gives the exit code."""
        self._until(lambda: self.process.poll() is not None, "it ends", timeout)
        while self._take(0):
            pass
        return self.process.wait()

    def settings(self) -> list[object]:
        """What `stty -a` tells."""
        return termios.tcgetattr(self._theirs)

    @property
    def modes(self) -> set[str]:
        """The private modes that are left on by what was written: alternate screen, mouse, paste, …; those of a fresh one not."""
        on = {CURSOR, WRAP}
        for numbers, how in MODE.findall(self.written):
            names = set(numbers.decode().split(";"))
            on = on | names if how == b"h" else on - names
        return on ^ {CURSOR, WRAP}

    def hang_up(self) -> None:
        """The terminal goes away, as when its window is closed."""
        self._close()

    def close(self) -> None:
        """End what still runs, and the terminal."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._close()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _close(self) -> None:
        for end in (self._ours, self._theirs):
            with contextlib.suppress(OSError):
                os.close(end)

    def _until(self, condition: object, what: str, timeout: float) -> None:
        assert callable(condition)
        ends_at = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < ends_at, f"waited {timeout:g} s in vain until {what}; it wrote {self.written[-2000:]!r}"
            self._take(0.05)

    def _take(self, seconds: float) -> bool:
        """Read what is there now, or comes within this time."""
        if not select.select([self._ours], [], [], seconds)[0]:
            return False
        with contextlib.suppress(OSError):
            self.written += os.read(self._ours, 1 << 16)
            return True
        return False
