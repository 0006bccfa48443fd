"""`tui`: the terminal UI over the server of the settings."""

from __future__ import annotations

import logging
import os
import shlex
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
    serve: Annotated[str | None, typer.Option("--serve", metavar="HOST:PORT", help="Show it in browsers, read-only; no login.")] = None,
    allow_changes: Annotated[bool, typer.Option("--allow-changes", help="With --serve: who looks can change things.")] = False,
) -> int:
    """Look at queues and runs, live, and act on them."""
    session: Session = context.obj
    if allow_changes and (serve is None or read_only):
        raise UsageError("--allow-changes goes with --serve and without --read-only", where="omniq-flow tui")
    if serve is not None:
        return _serve(session, serve, run, allow_changes=allow_changes)
    is_in_browser = "TEXTUAL_DRIVER" in os.environ
    if not is_in_browser and not (sys.stdin.isatty() and sys.stdout.isatty() and sys.__stderr__ is not None and sys.__stderr__.isatty()):
        raise UsageError("the terminal UI needs a terminal", where="omniq-flow tui", hint="omniq-flow runs list, or --json for programs")
    url = session.url
    is_read_only = read_only or os.environ.get("OMNIQ_FLOW_READ_ONLY", "") not in ("", "0")
    place = None
    if run is not None:
        with session.client() as client:
            place = session.find_run(client, run)
    queues = tuple(session.registry.queues)
    if is_in_browser:
        # The picture goes out by stdout, which was kept from what flow files print.
        os.dup2(session.output.out.fileno(), 1)
    try:
        return _run(url, queues, place, is_read_only=is_read_only)
    finally:
        session.stop_own_server()


def _serve(session: Session, address: str, run: str | None, *, allow_changes: bool) -> int:
    from omniq_flow.tui.serve import address_of, serve

    host, port = address_of(address)
    # The address of the server may hold a password: it is handed on where no list of processes shows it.
    os.environ["OMNIQ_FLOW_URL"] = session.url
    words = [
        sys.executable,
        "-m",
        "omniq_flow.cli.main",
        "tui",
        *(["--run", run] if run is not None else []),
        *([] if allow_changes else ["--read-only"]),
    ]
    session.output.talk(
        f"http://{host}:{port} shows the terminal UI, {'and can change things' if allow_changes else 'read-only'}; ctrl-c ends"
    )
    try:
        serve(host, port, shlex.join(words))
    finally:
        session.stop_own_server()
    return 0


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
