"""`runs input`, `output`, `logs`, `watch`, `why`, `events`: what went into a run, what came out, what happens in it and what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from omniq_flow.cli.session import Session
from omniq_flow.errors import NotFound, UsageError

if TYPE_CHECKING:
    from omniq_flow.model.names import StepRun
    from omniq_flow.observe.run_log import LogLine
    from omniq_flow.observe.snapshot import RunSnapshot

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run id, four or more characters of its beginning or end, or @last.")]
POLL_S = 0.5
MOST_STEPS = 40
"""So many steps of a run are asked why they wait; each takes a few round trips."""


def register(app: typer.Typer) -> None:
    """Add the verbs to the group of the runs."""
    verbs = (("input", show_input), ("output", show_output), ("logs", logs), ("watch", watch), ("why", why), ("events", events))
    for name, command in verbs:
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
    from omniq_flow.observe.reading import read_run
    from omniq_flow.observe.results import output_of, result_of

    session: Session = context.obj
    with session.looking() as client:
        snapshot = read_run(client, *session.find_run(client, run))
        if not step:
            session.output.value(result_of(client, snapshot))
            return
        wanted = _step_run(snapshot, step)
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


def why(
    context: typer.Context,
    run: Run,
    step: Annotated[
        str, typer.Argument(metavar="[STEP]", help="A step, or one element of a map as read[3]; without one, all that wait.")
    ] = "",
) -> None:
    """Tell why a run, one of its steps or one element does not go on."""
    from omniq_flow.cli.views import why_lines, why_object
    from omniq_flow.observe.reading import read_run
    from omniq_flow.observe.run_watch import Focus, look_closely

    session: Session = context.obj
    with session.looking() as client:
        place = session.find_run(client, run)
        snapshot = read_run(client, *place)
        focuses = [Focus.on(_step_run(snapshot, step))] if step else [Focus(tally.step) for tally in snapshot.steps][:MOST_STEPS]
        views = [look_closely(client, *place, focus) for focus in focuses]
    if session.output.is_json:
        session.output.objects(why_object(view) for view in views)
        return
    session.output.data(*why_lines(views))
    if not any(map(why_lines, ([view] for view in views))):
        snapshot = views[-1].snapshot
        session.output.talk(f"run {snapshot.run_id} {'has ended: ' + snapshot.word if snapshot.is_ended else 'is held by nothing'}")
    if not step and len(snapshot.steps) > MOST_STEPS:
        session.output.talk(f"looked at the first {MOST_STEPS} steps; name another one")


def events(
    context: typer.Context,
    run: Run,
    steered: Annotated[bool, typer.Option("--steered", help="Only what people did, with who, why, before and after.")] = False,
) -> None:
    """List what has happened in a run, the oldest first; the newest 1,000 to 2,000 events are kept."""
    from omniq_flow.cli.event_views import audit_lines, event_lines, event_objects
    from omniq_flow.observe.audit import audit
    from omniq_flow.ops.runs import run_header, run_history

    session: Session = context.obj
    with session.looking() as client:
        place = session.find_run(client, run)
        # Whoever asks for a run that is gone is told so, not that nothing happened.
        _, entries = client.execute_all([run_header(*place), run_history(*place)])
    done = audit(entries)
    if session.output.is_json:
        session.output.objects(event_objects(entries, done, only_steered=steered))
    elif lines := audit_lines(done) if steered else event_lines(entries):
        session.output.data(*lines)
    else:
        session.output.talk("nobody has steered this run" if steered else "nothing has happened yet")


def _step_run(snapshot: RunSnapshot, name: str) -> StepRun:
    """A step run that was named; `NotFound` if the run has no such step."""
    from omniq_flow.model.names import StepRun

    try:
        wanted = StepRun.parse(name)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if wanted.step not in snapshot.plan.by_name:
        names = ", ".join(s.name for s in snapshot.plan.steps)
        raise NotFound(f"run {snapshot.run_id} has no step {wanted.step!r}", hint=f"its steps are {names}")
    return wanted


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
