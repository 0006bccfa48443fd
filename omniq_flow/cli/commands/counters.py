"""`counters list`, `show`, `check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from omniq_flow.cli.session import Session, queue_name
from omniq_flow.errors import RunFailed, UsageError

if TYPE_CHECKING:
    from omniq_flow.client.client import Client

app = typer.Typer(help="Look at joins, lists and other counters.", no_args_is_help=True, rich_markup_mode=None)

RUN = "A run, as in runs show; without one, the runs that go on."
RUN_ALONE = "Counters of this run only; a run as in runs show."
Queue = Annotated[str, typer.Option("-q", "--queue", help="Runs of this queue only.")]
MOST_RUNS = 50
ELSEWHERE = "counters that other clients began have no index: omniq-flow counters show KEY looks at one"


@app.command("list")
def list_counters(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help=RUN_ALONE)] = None,
    queue: Queue = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
) -> None:
    """List the counters that wait for something: those of the runs that go on, then completion counters, the newest first.

    Of completion counters the newest thousand are known that were begun through OmniQ Flow; they belong to no run and no queue.
    Those of other clients have no index, so only one that is named can be looked at: counters show KEY.
    """
    from omniq_flow.cli.counter_views import counter_lines, counter_name, counter_object
    from omniq_flow.observe.counters import RunCounter, run_counters
    from omniq_flow.observe.plain_counters import PlainCounter, PlainCounters, plain_counters

    session: Session = context.obj
    is_all = run is None and not queue
    with session.looking() as client:
        found: list[RunCounter | PlainCounter] = []
        for place in _places(session, client, run, queue):
            found += run_counters(client, *place)
        plain = plain_counters(client) if is_all else PlainCounters()
    found += plain.found
    shown = found[:limit]
    if session.output.is_json:
        session.output.objects(map(counter_object, shown))
    elif session.output.is_quiet:
        session.output.data(*map(counter_name, shown))
    elif shown:
        session.output.data(*counter_lines(shown))
    else:
        session.output.talk("no run waits for a counter" + (", and no completion counter is known" if is_all else ""))
    if len(found) > limit:
        session.output.talk(f"{len(found) - limit} more; --limit shows up to 1000")
    if plain.trouble:
        session.output.talk(f"completion counters cannot be listed: {plain.trouble}")
    elif is_all:
        session.output.talk(ELSEWHERE)


@app.command("show")
def show(
    context: typer.Context,
    counter: Annotated[str, typer.Argument(metavar="COUNTER", help="RUN/NAME as listed, or the key of any counter.")],
    queue: Queue = "",
) -> None:
    """Show a counter: what has reported; of a run's, what is missing and where the jobs of that are."""
    from omniq_flow.cli.columns import line_width
    from omniq_flow.cli.counter_views import (
        member_object,
        plain_counter_about,
        plain_counter_object,
        run_counter_about,
        run_counter_object,
    )
    from omniq_flow.observe.counters import read_run_counter
    from omniq_flow.observe.plain_counters import read_counter

    session: Session = context.obj
    run, name = split_name(counter)
    with session.looking() as client:
        if name:
            (place,) = _places(session, client, run, queue)
            found, missing = read_run_counter(client, *place, name)
            fields = {**run_counter_object(found), "missing": [member_object(member) for member in missing]}
            lines = run_counter_about(found, missing, line_width(session.output))
        else:
            try:
                plain = read_counter(client, counter)
            except ValueError as error:
                raise UsageError(str(error)) from None
            fields = {**plain_counter_object(plain), "members": list(plain.members)}
            lines = plain_counter_about(plain)
    if session.output.is_json:
        session.output.objects([fields])
    else:
        session.output.data(*lines)


@app.command("check")
def check(context: typer.Context, run: Annotated[str | None, typer.Argument(metavar="[RUN]", help=RUN)] = None, queue: Queue = "") -> int:
    """Compare the counters of runs with what has happened in them; exit code 1 if something does not fit."""
    from omniq_flow.cli.counter_views import finding_lines, finding_object
    from omniq_flow.observe.counters import check_run

    session: Session = context.obj
    with session.looking() as client:
        places = _places(session, client, run, queue)
        found = [finding for place in places for finding in check_run(client, *place)]
    if session.output.is_json:
        session.output.objects(map(finding_object, found))
    elif found:
        session.output.data(*finding_lines(found))
    if not found:
        session.output.talk(f"{'1 run' if len(places) == 1 else f'{len(places)} runs'} checked, everything fits")
        return 0
    session.output.talk("a worker looks after each run that goes on and makes lost jobs again, see omniq-flow runs show RUN")
    return RunFailed.exit_code


def split_name(counter: str) -> tuple[str, str]:
    """Run and name of `RUN/of:read`; the name is empty for the key of a plain counter."""
    run, _, name = counter.rpartition("/")
    return (run, name) if run and name.startswith(("in:", "of:")) else (counter, "")


def _places(session: Session, client: Client, run: str | None, queue: str) -> list[tuple[str, str]]:
    """Queue and id of the run that is named, or of those that go on."""
    from omniq_flow.observe.reading import find_run, list_runs

    queues = [queue_name(queue)] if queue else None
    if run is not None:
        return [find_run(client, queues, run) if queues else session.find_run(client, run)]
    found = list_runs(client, queues or session.queues(client), limit=MOST_RUNS, states=("running", "cancelling"))
    return [(summary.header.queue, summary.header.run_id) for summary in found]
