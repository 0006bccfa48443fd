"""`tui`: the terminal UI over the server of the settings."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omniq_flow.cli import garbage
from omniq_flow.cli.session import Session
from omniq_flow.errors import ServerUnavailable, UsageError

if TYPE_CHECKING:
    from omniq_flow.flow.definition import Flow
    from omniq_flow.tui.app import FlowApp

RUN = "A run id, four or more characters of its beginning or end, or @last."


def tui(
    context: typer.Context,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help=f"Open this run: {RUN}")] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Look only: nothing can be changed, whatever key is pressed.")] = False,
    serve: Annotated[str | None, typer.Option("--serve", metavar="HOST:PORT", help="Show it in browsers, read-only; no login.")] = None,
    allow_changes: Annotated[bool, typer.Option("--allow-changes", help="With --serve: who looks can change things.")] = False,
    ascii: Annotated[bool | None, typer.Option("--ascii/--no-ascii", help="Draw with ASCII alone; as the locale says without it.")] = None,
    no_mouse: Annotated[bool, typer.Option("--no-mouse", help="Leave the mouse to the terminal, for its own copying.")] = False,
    no_retry: Annotated[bool, typer.Option("--no-retry", help="End with code 4 when the server is not there.")] = False,
) -> int:
    """Look at queues and runs, live, and act on them."""
    from omniq_flow.tui.locale import wants_ascii

    session: Session = context.obj
    if allow_changes and (serve is None or read_only):
        raise UsageError("--allow-changes goes with --serve and without --read-only", where="omniq-flow tui")
    if serve is not None:
        return _serve(session, serve, run, allow_changes=allow_changes)
    is_in_browser = "TEXTUAL_DRIVER" in os.environ
    # A stream that was closed by whoever called us is None.
    if not is_in_browser and not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.__stderr__)):
        raise UsageError("the terminal UI needs a terminal", where="omniq-flow tui", hint="omniq-flow runs list, or --json for programs")
    session.configure(read_only=read_only or None)
    keys = _keys(session)
    url = session.url
    place = None
    if run is not None:
        with session.client() as client:
            place = session.find_run(client, run)
    # Flow files are loaded before the screen opens: what they print goes elsewhere then.
    flows = tuple(session.registry.flows.values())
    if is_in_browser:
        # The picture goes out by stdout, which was kept from what flow files print.
        os.dup2(session.output.out.fileno(), 1)
    log = _log_to_file(is_debug=session.is_debug)
    if not session.output.may_colour:
        # Textual looks for it when the app is made.
        os.environ["NO_COLOR"] = "1"
    is_ascii = ascii if ascii is not None else not is_in_browser and wants_ascii(os.environ)
    try:
        app = _app(session, url, flows, run=place, keys=keys, is_ascii=is_ascii, retries=not no_retry)
        app.run(mouse=not no_mouse)
        return _ended(session, app, log)
    finally:
        session.stop_own_server()


def _keys(session: Session) -> dict[str, str]:
    from omniq_flow.tui.app import SCREENS
    from omniq_flow.tui.keymap import read_keys
    from omniq_flow.tui.screens.run import RunPage

    settings = session.settings
    return read_keys(settings.keys, [*(page for _, page in SCREENS), RunPage], settings.project.where("tui.keys"))


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
        *(["--profile", session.settings.profile] if session.settings.profile else []),
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


def _app(session: Session, url: str, flows: tuple[Flow, ...], **more: Any) -> FlowApp:
    from omniq_flow.client.connect import Target
    from omniq_flow.tui.actions import Hands
    from omniq_flow.tui.app import FlowApp
    from omniq_flow.tui.feed import Feed, Source

    settings, queues = session.settings, tuple(session.registry.queues)

    def open_at(url: str) -> tuple[Source, Hands | None]:
        return Feed(url, queues), None if settings.read_only else Hands(url)

    source, hands = open_at(url)
    garbage.as_usual()
    more |= {"flows": flows, "queues": queues, "profile": settings.profile, "color": settings.color, "elsewhere": open_at}
    return FlowApp(source, where=Target.parse(url).where, hands=hands, **more)


def _ended(session: Session, app: FlowApp, log: Path) -> int:
    """Tell how it ended, now that the terminal is as it was; gives the exit code."""
    code = app.return_code or 0
    if code == ServerUnavailable.exit_code and app.contact.lost is not None:
        raise app.contact.lost.error
    if code and code < 128:
        sys.stderr.write(f"the terminal UI ended with an error; the log is {log}\n")
        if session.is_debug and app.failure is not None:
            traceback.print_exception(app.failure)
    return code


def _log_to_file(*, is_debug: bool) -> Path:
    """What is logged must not be written over the screen; all of it is kept with `--debug`, else warnings."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "omniq-flow"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / "tui.log"
    logger = logging.getLogger("omniq_flow")
    handler: logging.Handler = logging.FileHandler(path, delay=True) if folder.is_dir() else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if is_debug else logging.WARNING)
    logger.propagate = False
    return path
