"""`queues list`, `show`, `pause`, `resume`."""

from __future__ import annotations

import getpass
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from omniq_flow.cli.session import Session, queue_name
from omniq_flow.errors import NotFound

if TYPE_CHECKING:
    from omniq_flow.ops.steering import PauseChange

app = typer.Typer(help="Look at queues, pause and resume them.", no_args_is_help=True, rich_markup_mode=None)

QUEUE = "The name of the queue."


@app.command("list")
def list_queues(
    context: typer.Context,
    queues: Annotated[list[str] | None, typer.Argument(metavar="[QUEUE...]", help="Only these queues.")] = None,
    all: Annotated[bool, typer.Option("--all", help="Search the whole keyspace for queues of other clients, too.")] = False,
) -> None:
    """List queues with the lengths of their lanes.

    Those of the project, and those that runs were started on.
    """
    from omniq_flow.cli.queue_views import queue_lines, queue_object
    from omniq_flow.observe.cancelled import hide_cancelled
    from omniq_flow.observe.queues import read_queues, scan_queues

    session: Session = context.obj
    named = [queue_name(name) for name in queues or ()]
    with session.looking() as client:
        known = set(named or session.queues(client))
        if all:
            scanned = scan_queues(client)
            known |= set(scanned.queues)
            if not scanned.is_whole:
                session.output.talk("the keyspace is too large to search it all; name a queue that is missing here")
        found = hide_cancelled(client, read_queues(client, named or sorted(known)))
    if session.output.is_json:
        session.output.objects(map(queue_object, found))
    elif session.output.is_quiet:
        session.output.data(*(queue.name for queue in found))
    elif found:
        session.output.data(*queue_lines(found))
    else:
        session.output.talk("no queue is known; omniq-flow queues list --all searches for those of other clients")


@app.command("show")
def show(context: typer.Context, queue: Annotated[str, typer.Argument(metavar="QUEUE", help=QUEUE)]) -> None:
    """Show a queue: lanes, pause, who serves it.

    And whether its own counters are right.
    """
    from omniq_flow.cli.queue_views import queue_about, queue_object, worker_object
    from omniq_flow.observe.cancelled import hide_cancelled
    from omniq_flow.observe.queues import read_queue, workers_of

    session: Session = context.obj
    name = queue_name(queue)
    with session.looking() as client:
        (found,) = hide_cancelled(client, [read_queue(client, name)])
        if not found.is_known and name not in session.queues(client):
            raise NotFound(f"nothing is known of queue {name!r}", hint="omniq-flow queues list")
        workers = workers_of(client, found)
    if session.output.is_json:
        session.output.objects([{**queue_object(found), "workers": [worker_object(worker) for worker in workers]}])
    else:
        session.output.data(*queue_about(found, workers))


@app.command("pause")
def pause(
    context: typer.Context,
    queues: Annotated[list[str], typer.Argument(metavar="QUEUE...", help=QUEUE)],
    reason: Annotated[str, typer.Option("--reason", help="Why; shown to everybody who looks at the queue.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Replace the note of a pause that is there already.")] = False,
) -> None:
    """Stop giving out jobs of queues. What is being worked goes on, and jobs can be published."""
    from omniq_flow.ops.steering import queue_pause

    session: Session = context.obj
    names = [queue_name(name) for name in queues]
    with session.client() as client:
        for name in names:
            _tell(session, name, client.execute(queue_pause(name, by=whoami(), reason=reason, replace=replace)), is_paused=True)


@app.command("resume")
def resume(context: typer.Context, queues: Annotated[list[str], typer.Argument(metavar="QUEUE...", help=QUEUE)]) -> None:
    """Give out jobs of queues again."""
    from omniq_flow.ops.steering import queue_resume

    session: Session = context.obj
    names = [queue_name(name) for name in queues]
    with session.client() as client:
        for name in names:
            _tell(session, name, client.execute(queue_resume(name)), is_paused=False)


def whoami() -> str:
    """Who is at work here, for a note that others read."""
    user = "somebody"
    with suppress(OSError, KeyError, ImportError):
        user = getpass.getuser()
    return f"{user}@{socket.gethostname()}"


def _tell(session: Session, queue: str, change: PauseChange, *, is_paused: bool) -> None:
    from omniq_flow.cli.output import times
    from omniq_flow.cli.queue_views import note_words
    from omniq_flow.model.clock import now_ms

    note = change.note
    if session.output.is_json:
        fields = {"by": note.by or None, "reason": note.reason or None, **times(at=note.at_ms)}
        session.output.objects([{"queue": queue, "is_paused": is_paused, "was_paused": change.was_paused, "pause": fields}])
        return
    if is_paused:
        session.output.data(f"{queue} is paused{' already' if change.was_paused else ''}")
        words = note_words(note, now_ms()) if change.was_paused else ""
    else:
        session.output.data(f"{queue} is resumed" if change.was_paused else f"{queue} was not paused")
        words = note_words(note, now_ms()) if change.was_paused else ""
    if words:
        session.output.talk(f"it was paused {words}")
