"""Queues and groups as JSON objects and as lines for people: two views of the same snapshots.

Field names of the objects are those of the Python values; they are only ever added to. Ages are measured by the server's
clock where the picture has it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from omniq_flow.cli.columns import age, figures, since
from omniq_flow.cli.job_views import job_lines
from omniq_flow.cli.output import times
from omniq_flow.cli.text import cut, visible
from omniq_flow.model.clock import now_ms, show_duration
from omniq_flow.observe.groups import GroupSnapshot
from omniq_flow.observe.jobs import JobSnapshot
from omniq_flow.observe.notes import pause_words
from omniq_flow.observe.queues import Drift, QueueSnapshot, WorkerSnapshot
from omniq_flow.ops.steering import PauseNote


def queue_object(queue: QueueSnapshot) -> dict[str, Any]:
    return {
        "name": queue.name,
        "state": queue.state,
        "is_paused": queue.is_paused,
        "pause": _note_object(queue.pause),
        "waiting": queue.waiting,
        "group_waiting": queue.group_waiting,
        "cancelled_waiting": queue.cancelled_waiting,
        "may_count_cancelled": queue.may_count_cancelled,
        "active": queue.active,
        "delayed": queue.delayed,
        "failed": queue.failed,
        "completed": queue.completed,
        "groups_ready": queue.groups_ready,
        **times(
            oldest_wait=queue.oldest_wait_ms,
            next_due=queue.next_due_ms,
            leased_until=queue.leased_until_ms,
            last_activity=queue.last_activity_ms,
            last_enqueue=queue.last_enqueue_ms,
            last_reserve=queue.last_reserve_ms,
            last_finish=queue.last_finish_ms,
            at=queue.at_ms,
        ),
        "workers": list(queue.workers),
        "drift": [{"counter": d.counter, "counted": d.counted, "found": d.found} for d in queue.drift],
    }


def worker_object(worker: WorkerSnapshot) -> dict[str, Any]:
    return {
        "name": worker.name,
        "host": worker.host,
        "pid": worker.pid,
        "version": worker.version,
        "state": worker.state,
        "queues": list(worker.queues),
        "concurrency": worker.concurrency,
        "busy": worker.busy,
        "held": worker.held,
        **times(started=worker.started_ms, seen=worker.seen_ms),
    }


def group_object(group: GroupSnapshot) -> dict[str, Any]:
    return {
        "queue": group.queue,
        "gid": group.gid,
        "state": group.state,
        "active": group.active,
        "limit": group.limit,
        "has_limit": group.has_limit,
        "waiting": group.waiting,
        "cancelled_waiting": group.cancelled_waiting,
        "is_ready": group.is_ready,
        **times(ready_since=group.ready_since_ms),
    }


def queue_lines(queues: Sequence[QueueSnapshot]) -> list[str]:
    head = ("QUEUE", "WAIT", "GROUP", "ACTV", "DELAY", "FAIL", "DONE", "OLDEST", "WORKERS", "STATE", "PAUSED")
    rows = [
        (
            q.name,
            *(str(n) for n in (q.waiting, q.group_waiting, q.active, q.delayed, q.failed, q.completed)),
            age(q.oldest_wait_ms, q.at_ms) or "–",
            str(len(q.workers)),
            q.state.upper() if q.state != "run" else q.state,
            note_words(q.pause, q.at_ms) if q.pause else "",
        )
        for q in queues
    ]
    return figures(head, rows, left=("QUEUE", "STATE", "PAUSED"))


def queue_about(queue: QueueSnapshot, workers: Sequence[WorkerSnapshot]) -> list[str]:
    """Everything of one queue."""
    at = queue.at_ms
    lines = [f"queue     {queue.name}", f"state     {queue.state}{_paused(queue.pause, at)}"]
    lines.append(f"waiting   {queue.waiting}{since(', the oldest for ', queue.oldest_wait_ms, at)}")
    if queue.group_waiting or queue.groups_ready:
        lines.append(f"          {queue.group_waiting} in groups, by its counter; groups that can be served: {queue.groups_ready}")
    if queue.cancelled_waiting:
        lines.append(f"          {queue.cancelled_waiting} more are of cancelled runs and go when they are taken")
    if queue.may_count_cancelled:
        lines.append("          some of these may be of cancelled runs: there are too many runs or jobs to tell")
    lapsed = ", all leases lapsed" if queue.active and queue.leased_until_ms <= at else ""
    lines.append(f"active    {queue.active}{lapsed}")
    lines.append(f"delayed   {queue.delayed}{_next(queue.next_due_ms, at)}")
    lines.append(f"failed    {queue.failed}")
    lines.append(f"completed {queue.completed} kept")
    latest = (("published", queue.last_enqueue_ms), ("leased", queue.last_reserve_ms), ("finished", queue.last_finish_ms))
    words = [f"{name} {age(ms, at)} ago" for name, ms in latest if ms]
    lines += [f"latest    {', '.join(words)}"] if words else []
    lines += ["", *_worker_lines(workers)] if workers else ["", "no worker of OmniQ Flow serves it"]
    return [*lines, *_drift_lines(queue.drift)]


def group_lines(groups: Sequence[GroupSnapshot], cells: int) -> list[str]:
    now = now_ms()
    rows = [
        (
            cut(visible(g.gid), max(cells - 40, 12)),
            str(g.waiting),
            f"{g.active}/{g.limit}",
            "" if g.has_limit else "none set",
            g.state,
            age(g.ready_since_ms, now),
        )
        for g in groups
    ]
    return figures(("GROUP", "WAIT", "SLOTS", "LIMIT", "STATE", "READY FOR"), rows, left=("GROUP", "LIMIT", "STATE"))


def group_about(group: GroupSnapshot, holders: Sequence[JobSnapshot], cells: int) -> list[str]:
    """One group, and the jobs that hold its slots."""
    limit = str(group.limit) if group.has_limit else "none set, so 1"
    lines = [f"group     {visible(group.gid)}", f"queue     {group.queue}", f"state     {group.state}", f"waiting   {group.waiting}"]
    if group.cancelled_waiting:
        lines.append(f"          {group.cancelled_waiting} more are of cancelled runs and go when they are taken")
    lines += [f"active    {group.active}", f"limit     {limit}"]
    if group.active != len(holders):
        lines.append(f"          {len(holders)} active jobs of it were found, its counter of slots says {group.active}")
    return [*lines, "", *job_lines(holders, "active", cells)] if holders else lines


def note_words(note: PauseNote, at_ms: int) -> str:
    """`by ann@host 3m12s ago: deploy`, as far as that is known."""
    return visible(pause_words(note, at_ms).strip())


def _note_object(note: PauseNote | None) -> dict[str, Any] | None:
    return {"by": note.by or None, "reason": note.reason or None, **times(at=note.at_ms)} if note else None


def _paused(note: PauseNote | None, at_ms: int) -> str:
    return f" {note_words(note, at_ms)}" if note and (note.by or note.at_ms) else ""


def _worker_lines(workers: Sequence[WorkerSnapshot]) -> list[str]:
    now = now_ms()
    rows = [
        (visible(w.name), visible(w.host), str(w.pid), f"{w.busy}/{w.concurrency}", w.state, age(w.started_ms, now), visible(w.version))
        for w in workers
    ]
    return figures(("WORKER", "HOST", "PID", "BUSY", "STATE", "UP FOR", "VERSION"), rows, left=("WORKER", "HOST", "STATE", "VERSION"))


def _drift_lines(drift: Collection[Drift]) -> list[str]:
    if not drift:
        return []
    words = ", ".join(f"{d.counter} {d.counted} (there are {d.found})" for d in drift)
    return ["", f"its own counters have drifted: {words}"]


def _next(due_ms: int, now: int) -> str:
    if not due_ms:
        return ""
    return f", the next in {show_duration(due_ms - now)}" if due_ms > now else ", the next is due"
