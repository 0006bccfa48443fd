"""`runs list`, `runs show`, `runs wait`; the verbs that steer runs and those that show what is in them are added here."""

from __future__ import annotations

from typing import Annotated

import typer

from omniq_flow.cli.commands import run_contents, run_steering
from omniq_flow.cli.session import Session, read_duration
from omniq_flow.errors import GaveUpWaiting, RunFailed, UsageError

app = typer.Typer(help="Look at runs and steer them.", no_args_is_help=True, rich_markup_mode=None)

STATES = run_steering.STATES
RUN = "A run id, four or more characters of its beginning or end, or @last."


@app.command("list")
def list_runs(
    context: typer.Context,
    state: Annotated[list[str] | None, typer.Option(help=f"Only runs in this state: {', '.join(STATES)}; may be repeated.")] = None,
    flow: Annotated[str, typer.Option("-f", "--flow", help="Only runs of this flow.")] = "",
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="Only runs started within it, as 10m or 2h.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="NAME[=VALUE]", help="Only runs with this tag; may be repeated.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, the newest first.")] = 20,
) -> None:
    """List runs, the newest first."""
    from omniq_flow.cli.views import list_lines, summary_object
    from omniq_flow.observe.reading import list_runs
    from omniq_flow.ops.lanes import server_time

    session: Session = context.obj
    for word in state or ():
        if word not in STATES:
            raise UsageError(f"there is no state {word!r}", hint=f"states are {', '.join(STATES)}")
    within = read_duration(since, "--since")
    with session.looking() as client:
        after = client.execute(server_time()) - within if within else 0
        found = list_runs(client, session.queues(client), limit=limit, states=state or (), flow=flow, after_ms=after, tags=tag or ())
    if session.output.is_json:
        session.output.objects(map(summary_object, found))
    elif found and session.output.is_quiet:
        session.output.data(*(summary.header.run_id for summary in found))
    elif found:
        session.output.data(*list_lines(found))
    else:
        session.output.talk("no runs" + (" of this kind" if state or flow or within or tag else "; omniq-flow start FLOW begins one"))


@app.command("show")
def show(context: typer.Context, run: Annotated[str, typer.Argument(metavar="RUN", help=RUN)]) -> None:
    """Show a run: its steps, what failed and why, its result."""
    from omniq_flow.cli.output import dump
    from omniq_flow.cli.views import run_lines, run_object
    from omniq_flow.model.states import RunState
    from omniq_flow.observe.causes import failures
    from omniq_flow.observe.reading import read_run
    from omniq_flow.observe.results import result_of

    session: Session = context.obj
    with session.looking() as client:
        snapshot = read_run(client, *session.find_run(client, run))
        found = failures(client, snapshot)
        is_good = snapshot.header.state is RunState.SUCCEEDED
        result = result_of(client, snapshot) if is_good else None
    if session.output.is_json:
        session.output.objects([{**run_object(snapshot, found), "result": result}])
        return
    lines = run_lines(snapshot, found)
    session.output.data(*lines, *(["", dump(result, indent=2)] if is_good else []))


@app.command("wait")
def wait(
    context: typer.Context,
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help=RUN)],
    timeout: Annotated[str | None, typer.Option(metavar="TIME", help="Give up after this time, as 30s or 10m; the runs go on.")] = None,
) -> int:
    """Wait until runs have ended; the exit code tells how (1: one failed, 7: one goes on)."""
    from omniq_flow.cli.outcome import follow, tell
    from omniq_flow.model.clock import monotonic_ms

    session: Session = context.obj
    timeout_ms = read_duration(timeout, "--timeout")
    ends_at = None if timeout_ms is None else monotonic_ms() + timeout_ms
    codes = []
    with session.client() as client:
        places = list(dict.fromkeys(session.find_run(client, name) for name in runs))
        for queue, run_id in places:
            left = None if ends_at is None else max(ends_at - monotonic_ms(), 0)
            try:
                snapshot = follow(session.output, client, queue, run_id, timeout_ms=left)
            except GaveUpWaiting as error:
                if len(places) == 1:
                    raise
                session.output.talk(error.message)
                codes.append(error.exit_code)
                continue
            if len(places) == 1:
                return tell(session.output, client, snapshot)
            codes.append(tell_one(session, snapshot.run_id, snapshot.word))
    return GaveUpWaiting.exit_code if GaveUpWaiting.exit_code in codes else max(codes)


def tell_one(session: Session, run_id: str, state: str) -> int:
    """One line of several: the run and how it ended."""
    if session.output.is_json:
        session.output.objects([{"run_id": run_id, "state": state}])
    else:
        session.output.data(f"{run_id} {state}")
    return 0 if state == "succeeded" else RunFailed.exit_code


run_steering.register(app)
run_contents.register(app)
