"""`runs cancel`, `retry`, `rerun`, `pause`, `resume`, `remove`: the verbs that change how a run goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from omniq_flow.cli.commands.queues import whoami
from omniq_flow.cli.commands.run_again import rerun
from omniq_flow.errors import UsageError

if TYPE_CHECKING:
    from omniq_flow.cli.run_batches import Choice, Place
    from omniq_flow.client.client import Client

    Act = Callable[[Client, Place, str], str]

STATES = ("running", "succeeded", "failed", "cancelling", "cancelled")

Runs = Annotated[
    list[str] | None, typer.Argument(metavar="[RUN...]", help="Run ids, four or more characters of their beginning or end, or @last.")
]
States = Annotated[list[str] | None, typer.Option("--state", help=f"All runs in this state: {', '.join(STATES)}; may be repeated.")]
FlowName = Annotated[str, typer.Option("-f", "--flow", help="All runs of this flow.")]
Since = Annotated[str | None, typer.Option("--since", metavar="TIME", help="All runs that were started within this time, as 10m or 2h.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="NAME[=VALUE]", help="All runs with this tag; may be repeated.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the run's history with your name.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show which runs it would be; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def _verb(name: str, *states: str, needs_yes: bool = False) -> Callable[[Act], Callable[..., int]]:
    """Makes a command out of what is done to one run for a reason; a search looks at runs in these states."""

    def command_of(act: Act) -> Callable[..., int]:
        def command(
            context: typer.Context,
            runs: Runs = None,
            state: States = None,
            flow: FlowName = "",
            since: Since = None,
            tag: Tags = None,
            reason: Reason = "",
            dry_run: DryRun = False,
            yes: Yes = False,
        ) -> int:
            from omniq_flow.cli.run_batches import Verb, steer

            verb = Verb(name, states, lambda client, place: act(client, place, reason), needs_yes)
            return steer(context.obj, _choice(runs, state, flow, since, tag), verb, dry_run=dry_run, yes=yes)

        command.__doc__ = act.__doc__
        return command

    return command_of


@_verb("cancel", "running", "cancelling", needs_yes=True)
def cancel(client: Client, place: Place, reason: str) -> str:
    """End runs without finishing them.

    What waits goes at once. What is being worked is told: async handlers are cancelled, processes killed, threads see ctx.cancelled.
    """
    from omniq_flow.client.steering import cancel_run

    done = cancel_run(client, *place, by=whoami(), reason=reason)
    return f"{done.state}" + (f", {done.open} still to end" if done.open else "")


@_verb("pause", "running")
def pause(client: Client, place: Place, reason: str) -> str:
    """Begin nothing of runs until they are resumed. What is being worked goes on."""
    from omniq_flow.ops.runs import run_pause

    change = client.execute(run_pause(*place, by=whoami(), reason=reason))
    return "is paused" + (" already" if change.was_paused else "")


@_verb("resume", "running")
def resume(client: Client, place: Place, reason: str) -> str:
    """Let paused runs go on."""
    from omniq_flow.ops.runs import run_resume

    change = client.execute(run_resume(*place, by=whoami(), reason=reason))
    return "is resumed" if change.was_paused else "was not paused"


def retry(
    context: typer.Context,
    runs: Runs = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="STEP", help="Only this failure, as read or read[3]; may be repeated.")
    ] = None,
    redo: Annotated[
        list[str] | None, typer.Option("--redo", metavar="STEP", help="Do this step again though it succeeded; may be repeated.")
    ] = None,
    state: States = None,
    flow: FlowName = "",
    since: Since = None,
    tag: Tags = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
) -> int:
    """Let runs that failed or were cancelled go on.

    What succeeded is kept, unless it is to be done again or something it was made from changes.
    """
    from omniq_flow.cli.run_batches import Verb, steer
    from omniq_flow.client.steering import retry_run

    if (only or redo) and len(runs or ()) != 1:
        raise UsageError("--only and --redo name steps of one run", hint="name one run")
    ids = _step_runs(only or ())

    def act(client: Client, place: Place) -> str:
        done = retry_run(client, *place, only=ids, redo=redo or (), by=whoami(), reason=reason)
        return f"goes on at epoch {done.epoch}"

    return steer(context.obj, _choice(runs, state, flow, since, tag), Verb("retry", ("failed", "cancelled"), act), dry_run=dry_run, yes=yes)


def remove(
    context: typer.Context,
    runs: Runs = None,
    state: States = None,
    flow: FlowName = "",
    since: Since = None,
    tag: Tags = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> int:
    """Remove runs that have ended, with their values and their history."""
    from omniq_flow.cli.run_batches import Verb, steer
    from omniq_flow.client.steering import remove_run

    def act(client: Client, place: Place) -> str:
        remove_run(client, *place)
        return "is removed"

    verb = Verb("remove", ("succeeded", "failed", "cancelled"), act, needs_yes=True)
    return steer(context.obj, _choice(runs, state, flow, since, tag), verb, dry_run=dry_run, yes=yes)


def register(app: typer.Typer) -> None:
    """Add the verbs to the group of the runs."""
    verbs = (("cancel", cancel), ("retry", retry), ("rerun", rerun), ("pause", pause), ("resume", resume), ("remove", remove))
    for name, command in verbs:
        app.command(name)(command)


def _choice(runs: list[str] | None, states: list[str] | None, flow: str, since: str | None, tags: list[str] | None) -> Choice:
    from omniq_flow.cli.run_batches import Choice

    for word in states or ():
        if word not in STATES:
            raise UsageError(f"there is no state {word!r}", hint=f"states are {', '.join(STATES)}")
    return Choice(runs or (), states or (), flow, since, tags or ())


def _step_runs(names: Sequence[str]) -> list[str]:
    from omniq_flow.model.names import StepRun

    try:
        return [StepRun.parse(name).id for name in names]
    except ValueError as error:
        raise UsageError(str(error), where="--only") from None
