"""`runs input`, `output`, `logs`, `watch`: what went into a run, what came out, and what happens in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from omniq_flow.cli.session import Session
from omniq_flow.errors import NotFound, UsageError

if TYPE_CHECKING:
    from omniq_flow.observe.run_log import LogLine

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run id, four or more characters of its beginning or end, or @last.")]
POLL_S = 0.5


def register(app: typer.Typer) -> None:
    """Add the verbs to the group of the runs."""
    for name, command in (("input", show_input), ("output", show_output), ("logs", logs), ("watch", watch)):
        app.command(name)(command)


def show_input(context: typer.Context, run: Run) -> None:
    """Print a run's input."""
    from omniq_flow.observe.results import input_of

    session: Session = context.obj
    with session.looking() as client:
        session.output.value(input_of(client, *session.find_run(client, run)))


def show_output(
    context: typer.Context,
    run: Run,
    step: Annotated[
        str, typer.Argument(metavar="[STEP]", help="A step, or one element of a map as read[3]; without one, the result.")
    ] = "",
) -> None:
    """Print what a run gave, or one of its steps."""
    from omniq_flow.model.names import StepRun
    from omniq_flow.observe.reading import read_run
    from omniq_flow.observe.results import output_of, result_of

    session: Session = context.obj
    with session.looking() as client:
        snapshot = read_run(client, *session.find_run(client, run))
        if not step:
            session.output.value(result_of(client, snapshot))
            return
        try:
            wanted = StepRun.parse(step)
        except ValueError as error:
            raise UsageError(str(error)) from None
        if wanted.step not in snapshot.plan.by_name:
            names = ", ".join(s.name for s in snapshot.plan.steps)
            raise NotFound(f"run {snapshot.run_id} has no step {wanted.step!r}", hint=f"its steps are {names}")
        session.output.value(output_of(client, snapshot, wanted))


def logs(
    context: typer.Context,
    run: Run,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the run has ended.")] = False,
) -> None:
    """Print what the handlers of a run wrote with ctx.log; the newest 1,000 lines are kept."""
    import time

    from omniq_flow.observe.run_log import LogReader
    from omniq_flow.ops.runs import run_header

    session: Session = context.obj
    with session.looking() as client:
        place = session.find_run(client, run)
        reader = LogReader(*place)
        while True:
            # The header first: what was written before the end is read after it.
            is_ended = client.execute(run_header(*place)).state.is_ended
            for line in reader.read(client):
                _log_line(session, line)
            if not follow or is_ended:
                return
            time.sleep(POLL_S)


def watch(context: typer.Context, run: Run) -> int:
    """Show a run until it has ended; the exit code tells how. With --json one object for each change."""
    from omniq_flow.cli.outcome import follow, tell
    from omniq_flow.cli.views import run_object
    from omniq_flow.errors import RunFailed
    from omniq_flow.model.states import RunState
    from omniq_flow.observe.waiting import wait_run

    session: Session = context.obj
    with session.client() as client:
        place = session.find_run(client, run)
        if not session.output.is_json:
            return tell(session.output, client, follow(session.output, client, *place))
        state = RunState.RUNNING
        for snapshot in wait_run(client, *place):
            state = snapshot.header.state
            session.output.objects([run_object(snapshot, snapshot.failures)])
        return 0 if state is RunState.SUCCEEDED else RunFailed.exit_code


def _log_line(session: Session, line: LogLine) -> None:
    from omniq_flow.cli.output import local_time, times
    from omniq_flow.cli.text import visible

    if session.output.is_json:
        fields: dict[str, Any] = {"step_run": line.step_run, "text": line.text, **times(at=line.at_ms)}
        session.output.objects([fields])
    elif session.output.is_quiet:
        session.output.data(visible(line.text))
    else:
        session.output.data(f"{local_time(line.at_ms)} {line.step_run}  {visible(line.text)}")
