"""`tui`: the terminal UI over the server of the settings."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from omniq_flow.cli.session import Session
from omniq_flow.errors import UsageError

RUN = "A run id, four or more characters of its beginning or end, or @last."


def tui(
    context: typer.Context,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help=f"Open this run: {RUN}")] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Look only: nothing can be changed, whatever key is pressed.")] = False,
) -> int:
    """Look at queues and runs, live, and act on them."""
    session: Session = context.obj
    if not (sys.stdin.isatty() and sys.stdout.isatty() and sys.__stderr__ is not None and sys.__stderr__.isatty()):
        raise UsageError("the terminal UI needs a terminal", where="omniq-flow tui", hint="omniq-flow runs list, or --json for programs")
    url = session.url
    is_read_only = read_only or os.environ.get("OMNIQ_FLOW_READ_ONLY", "") not in ("", "0")
    place = None
    if run is not None:
        with session.client() as client:
            place = session.find_run(client, run)
    queues = tuple(session.registry.queues)
    try:
        return _run(url, queues, place, is_read_only=is_read_only)
    finally:
        session.stop_own_server()


def _run(url: str, queues: tuple[str, ...], place: tuple[str, str] | None, *, is_read_only: bool) -> int:
    from omniq_flow.client.connect import Target
    from omniq_flow.tui.actions import Hands
    from omniq_flow.tui.app import FlowApp
    from omniq_flow.tui.feed import Feed

    log = _log_to_file()
    app = FlowApp(Feed(url, queues), where=Target.parse(url).where, hands=None if is_read_only else Hands(url), queues=queues, run=place)
    app.run()
    if app.return_code and app.return_code < 128:
        sys.stderr.write(f"the terminal UI ended with an error; the log is {log}\n")
    return app.return_code or 0


def _log_to_file() -> Path:
    """What is logged must not be written over the screen."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "omniq-flow"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tui.log"
    logger = logging.getLogger("omniq_flow")
    handler: logging.Handler = logging.FileHandler(path, delay=True) if folder.is_dir() else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False
    return path
