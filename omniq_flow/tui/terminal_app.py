"""An app as a process of a terminal: it is told to leave, sent to the background, and may break, and leaves the terminal in order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from functools import partial
from typing import Any

from rich.text import Text
from textual.app import App
from textual.driver import Driver

from omniq_flow.tui.text import safe

logger = logging.getLogger("omniq_flow.tui")


class TerminalApp(App[None]):
    """See the module. Subclasses have the screens."""

    failure: BaseException | None = None
    """What it broke on."""

    def get_driver_class(self) -> type[Driver]:
        found = super().get_driver_class()
        if found.__name__ != "LinuxDriver":
            return found
        from omniq_flow.tui.terminal import Terminal

        return Terminal

    async def run_async(self, *args: Any, **options: Any) -> None:
        # Before the terminal is set up: a signal may come while it is.
        self.catch_signals()
        await super().run_async(*args, **options)

    def catch_signals(self) -> None:
        """Leave in good order when told to: the terminal must not stay as the screen needs it (C128)."""
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, partial(self.exit, return_code=128 + number))

    def action_suspend_process(self) -> None:
        """Go to the background. Only as a job of a shell: nobody else would wake it again."""
        if os.getsid(0) != os.getpid() == os.getpgrp():
            super().action_suspend_process()
        else:
            self.say("there is no shell here that could bring it back", is_bad=True)

    def say(self, text: str, *, is_bad: bool = False) -> None:
        """A short message at the corner; its text may come from anywhere."""
        self.notify(safe(text), severity="error" if is_bad else "information", timeout=4, markup=False)

    def _fatal_error(self) -> None:
        """Replaces Textual's picture of all frames and their variables, among which is the server's password."""
        error = self.failure = sys.exc_info()[1]
        logger.error("the terminal UI failed", exc_info=error)
        self.panic(Text(safe(f"omniq-flow: the terminal UI failed: {type(error).__name__}: {error}")))
