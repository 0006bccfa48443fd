"""A value in the pager of the terminal, while the screen steps aside."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from textual.app import SuspendNotSupported

from omniq_flow.observe.text import visible

if TYPE_CHECKING:
    from omniq_flow.tui.app import FlowApp

PAGER = "less"
_NOT_STARTED = (126, 127)


def page_text(app: FlowApp, name: str, value: Any) -> None:
    """Show a value with `$PAGER`, a shell command that reads stdin; told at the corner if that is not possible here."""
    command = os.environ.get("PAGER") or PAGER
    try:
        with app.suspend(), _interrupts_reach_only_the_pager(app):
            done = subprocess.run(command, shell=True, input=readable(value).encode(errors="backslashreplace"), check=False)
    except SuspendNotSupported:
        app.say("a pager needs a terminal of its own, there is none here", is_bad=True)
        return
    app.refresh(layout=True)
    if done.returncode in _NOT_STARTED:
        app.say(f"{name}: the pager {command!r} could not be started", is_bad=True)


def readable(value: Any) -> str:
    """A value over several lines, in which no character acts on the terminal. A text that is JSON is laid out as such."""
    shown = value
    if isinstance(value, str):
        try:
            shown = json.loads(value)
        except (ValueError, RecursionError):
            return _lines(value)
    return _lines(json.dumps(shown, indent=2, ensure_ascii=False, default=str))


def _lines(text: str) -> str:
    return "".join(f"{visible(row.expandtabs(4))}\n" for row in text.split("\n"))


@contextmanager
def _interrupts_reach_only_the_pager(app: FlowApp) -> Iterator[None]:
    """ctrl-c is the pager's for as long as it is shown; it must not end the app that waits for it."""
    loop = asyncio.get_running_loop()
    loop.remove_signal_handler(signal.SIGINT)
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        # What came meanwhile is read by the loop's next round; whoever is called by the one after it is not told of it.
        loop.call_soon(loop.call_soon, app.catch_signals)
