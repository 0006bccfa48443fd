"""The terminal, as Textual drives it where there is one, for two things that it does not expect.

A terminal may go away with its window: then nobody reads what is written, and whoever waits for that waits for ever. A process may be
stopped by SIGSTOP, which asks nobody, and is woken in a terminal that a shell has used since.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from textual.app import App

HUNG_UP = 128 + signal.SIGHUP


class Lossy:
    """A stream that loses what cannot be written, and tells it."""

    def __init__(self, stream: TextIO, lost: Callable[[], object]) -> None:
        self._stream = stream
        self._lost = lost

    def write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except OSError:
            self._lost()

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._lost()

    def fileno(self) -> int:
        return self._stream.fileno()


class Terminal(LinuxDriver):
    """Ends the app when its terminal is gone; sets the terminal up anew whenever the process is woken."""

    def __init__(self, app: App[Any], **options: Any) -> None:
        super().__init__(app, **options)
        loop = asyncio.get_running_loop()

        def lost() -> None:
            # The loop may be closed by now: then it has ended already.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(partial(app.exit, return_code=HUNG_UP))

        assert self._file is not None, "there is a stderr to draw on"
        self._file = Lossy(self._file, lost)  # type: ignore[assignment]
        # In the loop, not amid whatever the process is at: both wait for the thread that writes.
        loop.add_signal_handler(signal.SIGTSTP, self._sigtstp_application)
        loop.add_signal_handler(signal.SIGCONT, self._woken)

    def _woken(self) -> None:
        # A hang-up wakes as well.
        if not os.isatty(self.fileno):
            return
        if self._auto_restart and not self._must_signal_resume:
            self.suspend_application_mode()
            self._must_signal_resume = True
        self._sigcont_application()
