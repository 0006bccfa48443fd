"""`groups list`, `show`, `limit`."""

from __future__ import annotations

from typing import Annotated

import typer

from omniq_flow.cli.session import Session, queue_name
from omniq_flow.errors import UsageError

app = typer.Typer(help="Look at the groups of a queue and change their limits.", no_args_is_help=True, rich_markup_mode=None)

Queue = Annotated[str, typer.Argument(metavar="QUEUE", help="The name of the queue.")]
Group = Annotated[str, typer.Argument(metavar="GROUP", help="The group's id.")]


@app.command("list")
def list_groups(
    context: typer.Context,
    queue: Queue,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
) -> None:
    """List the groups that can be served, in that order, and those that hold slots: no other has jobs waiting."""
    from omniq_flow.cli.columns import line_width
    from omniq_flow.cli.queue_views import group_lines, group_object
    from omniq_flow.observe.cancelled import hide_cancelled_in_groups
    from omniq_flow.observe.groups import list_groups

    session: Session = context.obj
    name = queue_name(queue)
    with session.looking() as client:
        found = list_groups(client, name, limit)
        groups = hide_cancelled_in_groups(client, name, found.groups)
    if session.output.is_json:
        session.output.objects(map(group_object, groups))
    elif session.output.is_quiet:
        session.output.data(*(group.gid for group in groups))
    elif groups:
        session.output.data(*group_lines(groups, line_width(session.output)))
    else:
        session.output.talk(f"no group of {name} has jobs that wait or are worked")
    if not found.is_whole:
        session.output.talk("there are more; --limit shows up to 1000")


@app.command("show")
def show(context: typer.Context, queue: Queue, group: Group) -> None:
    """Show a group and the jobs that hold its slots."""
    from omniq_flow.cli.columns import line_width
    from omniq_flow.cli.job_views import job_object
    from omniq_flow.cli.queue_views import group_about, group_object
    from omniq_flow.observe.cancelled import hide_cancelled_in_groups
    from omniq_flow.observe.groups import holders, read_groups

    session: Session = context.obj
    name = queue_name(queue)
    with session.looking() as client:
        (found,) = hide_cancelled_in_groups(client, name, read_groups(client, name, [group]))
        jobs = holders(client, name, group)
    if session.output.is_json:
        session.output.objects([{**group_object(found), "holders": [job_object(job) for job in jobs]}])
    else:
        session.output.data(*group_about(found, jobs, line_width(session.output)))


@app.command("limit")
def limit(
    context: typer.Context,
    queue: Queue,
    group: Group,
    limit: Annotated[int | None, typer.Argument(metavar="[LIMIT]", help="How many jobs of it may be worked at once.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Take the limit away; 1 counts then.")] = False,
) -> None:
    """Change the limit of a group. A lower one stops no job; it counts as jobs end."""
    from omniq_flow.ops.steering import group_limit

    session: Session = context.obj
    name = queue_name(queue)
    if (limit is None) == (not clear):
        raise UsageError("give a limit, or --clear", where="omniq-flow groups limit", hint=f"omniq-flow groups limit {name} {group} 4")
    try:
        command = group_limit(name, group, limit)
    except ValueError as error:
        raise UsageError(str(error), hint=f"omniq-flow queues pause {name}" if group.strip() else "") from None
    with session.client() as client:
        change = client.execute(command)
    if session.output.is_json:
        fields = {"before": change.before, "after": change.after, "active": change.active, "waiting": change.waiting}
        session.output.objects([{"queue": name, "gid": group, **fields}])
        return
    session.output.data(f"limit of {visible_id(group)}: {change.before or 'none set'} → {change.after or 'none set, so 1'}")
    if change.active > (change.after or 1):
        session.output.talk(f"{change.active} of its jobs are being worked; the next is taken when fewer than {change.after or 1} are")


def visible_id(text: str) -> str:
    from omniq_flow.cli.text import visible

    return visible(text)
