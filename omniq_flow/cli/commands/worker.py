"""`worker`: serve the project's flows and plain jobs until told to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from omniq_flow.cli.session import Session, read_duration
from omniq_flow.errors import NotFound

if TYPE_CHECKING:
    from omniq_flow.engine.registry import Registry

UNFINISHED = 9
"""The exit code of a worker that gave back unfinished what it held."""


def worker(
    context: typer.Context,
    queue: Annotated[list[str] | None, typer.Option("-q", "--queue", help="Serve only what is on this queue; may be repeated.")] = None,
    flow: Annotated[list[str] | None, typer.Option("-f", "--flow", help="Serve only this flow, no plain jobs; may be repeated.")] = None,
    concurrency: Annotated[int | None, typer.Option("-c", "--concurrency", min=1, help="How many jobs to work at once.")] = None,
    drain_timeout: Annotated[str, typer.Option(metavar="TIME", help="How long running jobs may take when told to stop.")] = "30s",
    poll: Annotated[str | None, typer.Option(metavar="TIME", help="How often to look for jobs of other publishers.")] = None,
) -> int:
    """Work the steps of this project's flows, and its plain jobs. SIGTERM drains; a second one gives back at once."""
    import asyncio

    from omniq_flow.cli.working import serve
    from omniq_flow.engine.worker import Ending

    session: Session = context.obj
    session.configure(concurrency=concurrency, poll=poll)
    drain_ms = read_duration(drain_timeout, "--drain-timeout")
    served = chosen(session, queue or [], flow or [])
    # Whether the server is there is asked once; from then on the worker comes through its absences by itself.
    with session.client():
        pass
    ending = asyncio.run(serve(session, served, drain_ms or 0))
    return UNFINISHED if ending is Ending.HANDED_BACK else 0


def chosen(session: Session, queues: list[str], names: list[str]) -> Registry:
    """The flows to serve, and the handlers of plain jobs.

    A file that does not load stops the worker, unless all flows that were asked for are there: to serve a part of
    what is expected would go unnoticed.
    """
    registry = session.registry
    missing = [name for name in names if name not in registry.flows]
    if not names or missing:
        registry.raise_faults()
    if missing:
        raise session.unknown_flow(missing[0])
    served = registry.part(names, queues)
    if unknown := [queue for queue in queues if queue not in served.queues]:
        raise NotFound(
            f"no flow and no handler of this project has the queue {unknown[0]!r}",
            where=str(session.settings.flows),
            hint=f"its queues are {', '.join(registry.queues)}" if registry.queues else "omniq-flow flows list",
        )
    if not served.queues:
        raise NotFound("there are no flows to serve", where=str(session.settings.flows), hint="put a file with a flow or an app there")
    return served
