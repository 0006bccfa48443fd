"""`jobs publish`, `list`, `show`, `retry`, `remove`, `run-now`: the jobs of any queue, plain ones and those of flows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from omniq_flow.cli.commands.queues import whoami
from omniq_flow.cli.session import Session, queue_name, read_duration
from omniq_flow.errors import UsageError

if TYPE_CHECKING:
    from omniq_flow.client.client import Client
    from omniq_flow.observe.jobs import JobFilter
    from omniq_flow.ops.admin import Lane
    from omniq_flow.ops.lanes import LaneName
    from omniq_flow.ops.replies import BatchResultItem

app = typer.Typer(help="Publish jobs, look at them, retry and remove them.", no_args_is_help=True, rich_markup_mode=None)

LANES = ("wait", "gwait", "active", "delayed", "failed", "completed")
REMOVABLE = ("wait", "gwait", "delayed", "failed", "completed")

Queue = Annotated[str, typer.Argument(metavar="QUEUE", help="The name of the queue.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID...]", help="Ids of jobs.")]
Group = Annotated[str, typer.Option("--group", help="Only jobs of this group.")]
Error = Annotated[str, typer.Option("--error", metavar="TEXT", help="Only jobs whose last error holds this text.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Only jobs that came into the lane within this time, as 10m or 2h.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show which jobs it would be; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command("publish")
def publish(
    context: typer.Context,
    queue: Queue,
    payload: Annotated[
        str | None, typer.Option("-p", "--payload", metavar="JSON", help="The payload: JSON, @file, or - for stdin.")
    ] = None,
    set: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Set one field of the payload; wins over -p.")
    ] = None,
    lines: Annotated[bool, typer.Option("--lines", help="Each line of the payload is one job.")] = False,
    id: Annotated[str, typer.Option("--id", help="The job's id; a job that has it already is left as it is.")] = "",
    group: Annotated[str, typer.Option("--group", help="The group it goes into.")] = "",
    group_limit: Annotated[int, typer.Option(min=0, help="How many of the group may be worked at once, if that is not set yet.")] = 0,
    attempts: Annotated[int, typer.Option(min=1, help="How often it is tried.")] = 3,
    lease: Annotated[str, typer.Option(metavar="TIME", help="For how long a worker holds it between two signs of life.")] = "30s",
    backoff: Annotated[str, typer.Option(metavar="TIME", help="How long it waits after a failed attempt.")] = "5s",
    delay: Annotated[str | None, typer.Option("--in", metavar="TIME", help="Due after this time.")] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="Due at this time: ISO, or epoch ms.")] = None,
) -> int:
    """Publish a job, or one for each line, and print its id."""
    from omniq_flow.cli.batches import INTERRUPTED, stopping
    from omniq_flow.cli.publishing import Wanted, new_jobs
    from omniq_flow.ops.lanes import server_time
    from omniq_flow.ops.publishing import publish_slices

    session: Session = context.obj
    name = queue_name(queue)
    wanted = Wanted(payload, set or [], lines, id, group, group_limit, attempts, lease, backoff, delay, at)
    jobs, delay_ms = new_jobs(wanted)
    try:
        # Everything is checked before a server is asked for anything, or even started.
        publish_slices(name, jobs)
    except ValueError as error:
        raise UsageError(str(error)) from None
    with session.client() as client:
        due_ms = client.execute(server_time()) + delay_ms if delay_ms else 0
        slices = publish_slices(name, [replace(job, due_ms=due_ms) for job in jobs] if due_ms else jobs)
        with stopping() as is_asked:
            for n, command in enumerate(slices, 1):
                results = client.execute(command)
                _published(session, name, results)
                if is_asked() and n < len(slices):
                    session.output.talk(f"stopped after {n} of {len(slices)} slices; the jobs whose ids are printed are published")
                    return INTERRUPTED
    return 0


@app.command("list")
def list_jobs(
    context: typer.Context,
    queue: Queue,
    lane: Annotated[str, typer.Option("--lane", help=f"One of {', '.join(LANES)}.")] = "",
    group: Group = "",
    error: Error = "",
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most so many.")] = 20,
    offset: Annotated[int, typer.Option(min=0, help="Pass over so many.")] = 0,
) -> None:
    """List the jobs of one lane.

    Those that wait, the next first, unless another lane is named; with --group those of its waiting list.
    """
    from omniq_flow.cli.columns import line_width
    from omniq_flow.cli.job_views import job_lines, job_object
    from omniq_flow.observe.jobs import read_jobs

    session: Session = context.obj
    name, lane = queue_name(queue), check_lane(lane or ("gwait" if group else "wait"), LANES, group)
    with session.looking() as client:
        where = _filter(client, "" if lane == "gwait" else group, error, since)
        page = read_jobs(
            client,
            name,
            cast("LaneName", lane),
            gid=group if lane == "gwait" else "",
            where=where,
            offset=offset,
            limit=limit,
            with_payload=True,
        )
    if session.output.is_json:
        session.output.objects(map(job_object, page.jobs))
    elif session.output.is_quiet:
        session.output.data(*(job.job_id for job in page.jobs))
    elif page.jobs:
        session.output.data(*job_lines(page.jobs, lane, line_width(session.output)))
    looked = f"; looked at {page.looked_at} of {page.length}" if where else ""
    if page.has_more:
        session.output.talk(f"{len(page.jobs)} of {page.length} in {lane}{looked}; --offset {offset + len(page.jobs)} goes on")
    elif not page.jobs:
        session.output.talk(f"no job in {lane} of {name}{' fits' if where else ''}{looked}")


@app.command("show")
def show(context: typer.Context, queue: Queue, job: Annotated[str, typer.Argument(metavar="ID", help="The job's id.")]) -> None:
    """Show a job: its state, who works it, its error, its payload."""
    from omniq_flow.cli.job_views import job_about, job_object
    from omniq_flow.observe.jobs import read_job

    session: Session = context.obj
    with session.looking() as client:
        found = read_job(client, queue_name(queue), job)
    if session.output.is_json:
        session.output.objects([job_object(found)])
    else:
        session.output.data(*job_about(found))


@app.command("retry")
def retry(
    context: typer.Context,
    queue: Queue,
    ids: Ids = None,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="All failed jobs.")] = False,
    group: Group = "",
    error: Error = "",
    since: Since = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> int:
    """Start failed jobs over.

    Those that are named, all, or those that fit. A failed step is retried with its run.
    """
    from omniq_flow.ops.admin import retry_failed_batch

    session: Session = context.obj
    name = queue_name(queue)
    is_search = all_failed or bool(group or error or since)
    if bool(ids) == is_search:
        raise UsageError(
            "name jobs, or say which: --all-failed, --group, --error, --since", hint=f"omniq-flow jobs list {name} --lane failed"
        )
    with session.client() as client:
        chosen = ids or _find(session, client, name, "failed", _filter(client, group, error, since))
        return _do(
            session,
            chosen,
            verbs=("retry", "retried"),
            what="failed {jobs} of queue " + name,
            act=lambda piece: client.execute(retry_failed_batch(name, piece, by=whoami())),
            dry_run=dry_run,
            is_confirmed=yes or not is_search,
        )


@app.command("remove")
def remove(
    context: typer.Context,
    queue: Queue,
    ids: Ids = None,
    lane: Annotated[str, typer.Option("--lane", help=f"Where they are: one of {', '.join(REMOVABLE)}.")] = "",
    all: Annotated[bool, typer.Option("--all", help="All jobs of the lane.")] = False,
    group: Group = "",
    error: Error = "",
    since: Since = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> int:
    """Remove jobs of a lane for good.

    Those that are named, all, or those that fit. A job that is being worked stays.
    """
    from omniq_flow.ops.admin import remove_jobs_batch

    session: Session = context.obj
    name = queue_name(queue)
    if not lane:
        raise UsageError("which lane?", where="omniq-flow jobs remove", hint=f"add --lane: one of {', '.join(REMOVABLE)}")
    is_search = all or bool(error or since) or (bool(group) and not ids)
    if bool(ids) == is_search:
        raise UsageError("name jobs, or say which: --all, --group, --error, --since", hint=f"omniq-flow jobs list {name} --lane {lane}")
    lane = check_lane(lane, REMOVABLE, group, needs_group=is_search)
    with session.client() as client:
        where = _filter(client, "" if lane == "gwait" else group, error, since)
        chosen = ids or _find(session, client, name, lane, where, gid=group if lane == "gwait" else "")
        return _do(
            session,
            chosen,
            verbs=("remove", "removed"),
            what=f"{{jobs}} from {lane} of queue {name}",
            act=lambda piece: client.execute(remove_jobs_batch(name, cast("Lane", lane), piece, by=whoami())),
            dry_run=dry_run,
            is_confirmed=yes,
        )


@app.command("run-now")
def run_now(context: typer.Context, queue: Queue, ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of jobs.")]) -> int:
    """Let delayed jobs wait for a worker now."""
    from omniq_flow.cli.batches import carry_out
    from omniq_flow.ops.steering import job_run_now

    session: Session = context.obj
    name = queue_name(queue)
    with session.client() as client:
        by = whoami()
        return carry_out(
            session.output, "moved up", ids, lambda piece: client.execute_all([job_run_now(name, job_id, by=by) for job_id in piece])
        )


def check_lane(lane: str, lanes: Sequence[str], group: str, *, needs_group: bool = True) -> str:
    """A lane that was named; `UsageError` for one that is none, and for the list of a group that is not."""
    if lane not in lanes:
        raise UsageError(f"there is no lane {lane!r} here", hint=f"lanes are {', '.join(lanes)}")
    if lane == "gwait" and needs_group and not group:
        raise UsageError("gwait is the waiting list of a group", hint="add --group, or see omniq-flow groups list QUEUE")
    return lane


def _filter(client: Client, group: str, error: str, since: str | None) -> JobFilter:
    from omniq_flow.observe.jobs import JobFilter
    from omniq_flow.ops.lanes import server_time

    within = read_duration(since, "--since")
    return JobFilter(group, error, client.execute(server_time()) - within if within else 0)


def _find(session: Session, client: Client, queue: str, lane: str, where: JobFilter, *, gid: str = "") -> Sequence[str]:
    from omniq_flow.observe.jobs import find_ids

    found = find_ids(client, queue, cast("LaneName", lane), where, gid=gid)
    if found.left:
        session.output.talk(f"looked at {found.looked_at} of {found.length} jobs; run it again for the others")
    return found.ids


def _do(
    session: Session,
    ids: Sequence[str],
    *,
    verbs: tuple[str, str],
    what: str,
    act: Callable[[Sequence[str]], Sequence[BatchResultItem]],
    dry_run: bool,
    is_confirmed: bool,
) -> int:
    """Tell how many, ask, and do it; or only tell which."""
    from omniq_flow.cli.batches import carry_out
    from omniq_flow.cli.confirm import confirm
    from omniq_flow.cli.text import visible

    verb, done = verbs
    number = len(dict.fromkeys(ids))
    what = f"{number} {what.format(jobs='job' if number == 1 else 'jobs')}"
    if dry_run:
        if session.output.is_json:
            session.output.objects({"job_id": job_id, "status": "DRY_RUN", "reason": None} for job_id in ids)
        else:
            session.output.data(*map(visible, ids))
        session.output.talk(f"would {verb} {what}; nothing was changed")
        return 0
    if not number:
        session.output.talk(f"{what} fit; nothing was changed")
        return 0
    confirm(session, f"{verb} {what}", is_confirmed=is_confirmed)
    if number > 1:
        session.output.talk(what)
    return carry_out(session.output, done, ids, act)


def _published(session: Session, queue: str, results: Sequence[BatchResultItem]) -> None:
    from omniq_flow.ops.publishing import EXISTS

    if session.output.is_json:
        rows: list[dict[str, Any]] = [{"job_id": r.job_id, "queue": queue, "is_new": r.reason != EXISTS} for r in results]
        session.output.objects(rows)
        return
    session.output.data(*(r.job_id for r in results))
    if known := [r.job_id for r in results if r.reason == EXISTS]:
        session.output.talk(f"{known[0] if len(known) == 1 else f'{len(known)} jobs'} existed already, and was left as it is")
