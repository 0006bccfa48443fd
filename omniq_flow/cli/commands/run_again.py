"""`runs rerun`: a run once more, as a new run; from its start, or from a step with what stands before it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omniq_flow.cli.commands.queues import whoami
from omniq_flow.cli.session import Session
from omniq_flow.errors import InputError, UsageError

if TYPE_CHECKING:
    from omniq_flow.client.client import Client
    from omniq_flow.model.plan import Plan
    from omniq_flow.model.runs import RunHeader
    from omniq_flow.ops.rerun import EditedInput, Rerun

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run id, four or more characters of its beginning or end, or @last.")]
FROM_HELP = "Do this step again, and all behind it; what other steps gave is copied. May be repeated; without it the whole run."
From = Annotated[list[str] | None, typer.Option("--from", metavar="STEP", help=FROM_HELP)]
Input = Annotated[str | None, typer.Option("-i", "--input", metavar="JSON", help="Another input: JSON, @file, or - for stdin.")]
SET_HELP = "Set one field of the input it had, or of -i; JSON if it is, else text. May be repeated."
Set = Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help=SET_HELP)]
CANCEL_HELP = "Cancel it first if it goes on. A second call finds the run that the first began."
NEW_ID_HELP = "The id of the new run, a ULID: the same call with it goes on where it was stopped, and never begins two."


def rerun(
    context: typer.Context,
    run: Run,
    step: From = None,
    input: Input = None,
    set: Set = None,
    cancel: Annotated[bool, typer.Option("--cancel", help=CANCEL_HELP)] = False,
    new_id: Annotated[str | None, typer.Option("--id", metavar="ID", help=NEW_ID_HELP)] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the history of both runs with your name.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show which steps would be worked; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether to cancel.")] = False,
) -> int:
    """Begin a run that has ended once more, as a new run, and print its id.

    The new run follows the plan of the old one, which stays as it is; each names the other. Steps that failed are worked in any case.
    """
    from omniq_flow.cli.confirm import confirm
    from omniq_flow.client.steering import RerunOptions, rerun_run
    from omniq_flow.ops.rerun import kept_steps
    from omniq_flow.ops.runs import plan_of, run_header

    session: Session = context.obj
    steps = _whole_steps(step or [])
    with session.client() as client:
        queue, run_id = session.find_run(client, run)
        header = client.execute(run_header(queue, run_id))
        plan = client.execute(plan_of(queue, header.plan_sha))
        keep = kept_steps(plan, steps)
        edited = _edited(session, client, header, plan, input, set) if input is not None or set else None
        if dry_run:
            _tell_only(session, header, plan, keep)
            return 0
        if cancel and not header.state.is_ended:
            confirm(session, f"cancel run {run_id} and begin it again", is_confirmed=yes)
        options = RerunOptions(steps, edited, cancel=cancel, new_id=new_id, by=whoami(), reason=reason)
        done = rerun_run(client, queue, run_id, options)
    _show(session, header, done)
    return 0


def _whole_steps(names: list[str]) -> list[str]:
    for name in names:
        if "[" in name or "-" in name:
            whole = name.replace("-", "[").partition("[")[0]
            raise UsageError(f"--from {name}: a step is done again with all its elements", hint=f"write --from {whole}")
    return names


def _edited(session: Session, client: Client, header: RunHeader, plan: Plan, source: str | None, settings: list[str] | None) -> EditedInput:
    """Another input, checked against the flow as its code is now; `--set` alone changes the one that the run had."""
    from omniq_flow.cli.inputs import INPUT, read_input, with_settings
    from omniq_flow.engine.starting import edit_input
    from omniq_flow.observe.results import input_of

    flow = session.flow(header.flow)
    value: Any = read_input(source, ()) if source is not None else input_of(client, header.queue, header.run_id)
    value = with_settings(value, settings or (), INPUT)
    try:
        return edit_input(flow, plan, value)
    except InputError as error:
        error.where = error.where or f"flow {flow.name} ({flow.where})"
        error.hint = error.hint or f"omniq-flow flows show {flow.name}"
        raise


def _tell_only(session: Session, header: RunHeader, plan: Plan, keep: tuple[str, ...]) -> None:
    worked = [step.name for step in plan.steps if step.name not in keep]
    if session.output.is_json:
        session.output.objects([{"status": "DRY_RUN", "rerun_of": header.run_id, "kept": list(keep), "worked": worked}])
    else:
        session.output.data(*worked)
    kept = f"keep what {', '.join(keep)} gave" if keep else "keep nothing"
    session.output.talk(f"would re-run {header.run_id} and {kept}; nothing was changed")


def _show(session: Session, header: RunHeader, done: Rerun) -> None:
    if session.output.is_json:
        fields = {"run_id": done.run_id, "flow": header.flow, "queue": header.queue, "rerun_of": header.run_id}
        session.output.objects([{**fields, "is_new": done.is_new, "copied": done.copied}])
        return
    session.output.data(done.run_id)
    if not done.is_new:
        session.output.talk(f"this is the run that re-runs {header.run_id} already")
    elif sys.stderr.isatty():
        session.output.talk(f"started; omniq-flow worker works it, omniq-flow runs wait {done.run_id} follows it")
