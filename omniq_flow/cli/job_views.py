"""Jobs as JSON objects and as lines for people: two views of the same snapshots."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from omniq_flow.cli.columns import age, fitted, since
from omniq_flow.cli.output import dump, local_time, times
from omniq_flow.cli.text import cut, visible
from omniq_flow.model.clock import now_ms, show_duration
from omniq_flow.observe.jobs import DAMAGED, JobSnapshot

NARROW_GROUP = 14
OWN_GROUP = "(run)"
"""Stands for the group of a run in a list of its jobs."""
_TIMES = {"active": ("FOR", "LEASE"), "delayed": ("DUE IN",), "failed": ("FAILED",), "completed": ("ENDED", "TOOK")}


def job_object(job: JobSnapshot) -> dict[str, Any]:
    step = job.step
    return {
        "queue": job.queue,
        "job_id": job.job_id,
        "state": job.state,
        "gid": job.gid or None,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "timeout_ms": job.timeout_ms,
        "backoff_ms": job.backoff_ms,
        "step": {"run_id": step.run_id, "step_run": str(step.step_run), "epoch": step.epoch} if step else None,
        "worker": job.worker or None,
        **times(
            since=job.since_ms,
            created=job.created_ms,
            updated=job.updated_ms,
            queued=job.queued_ms,
            first_started=job.first_started_ms,
            last_started=job.last_started_ms,
            completed=job.completed_ms,
            failed=job.failed_ms,
            due=job.due_ms,
            lock_until=job.lock_until_ms,
            last_error=job.last_error_ms,
        ),
        "last_error": job.last_error or None,
        "payload_bytes": job.payload_bytes,
        "payload": None if job.payload is None else _json_or_text(job.payload),
    }


def job_lines(jobs: Sequence[JobSnapshot], lane: str, cells: int) -> list[str]:
    """A page of a lane; its last column takes what is left of a line."""
    now = now_ms()
    last = "PAYLOAD" if lane in ("wait", "gwait", "active", "completed") else "ERROR"
    head = ("JOB", "GROUP", "TRY", *_TIMES.get(lane, ("WAITS",)), last)
    rows = [
        (
            job.job_id,
            OWN_GROUP if job.step and job.gid == job.step.run_id else cut(visible(job.gid), NARROW_GROUP),
            f"{job.attempt}/{job.max_attempts}",
            *_job_times(job, lane, now),
            _payload(job) if last == "PAYLOAD" else visible(job.last_error),
        )
        for job in jobs
    ]
    return fitted(head, rows, cells)


def job_about(job: JobSnapshot) -> list[str]:
    """Everything of one job."""
    now, step = now_ms(), job.step
    lines = [f"job       {visible(job.job_id)}", f"queue     {job.queue}"]
    lines.append(f"state     {job.state}, attempt {job.attempt} of {job.max_attempts}{since(', for ', job.since_ms, now)}")
    if step:
        lines.append(f"step      {step.step_run} of run {step.run_id}")
    if job.gid:
        lines.append(f"group     {'of its run' if step and step.run_id == job.gid else visible(job.gid)}")
    lines += _lease_lines(job, now)
    if job.state == "delayed":
        left = f", in {show_duration(job.due_ms - now)}" if job.due_ms > now else ", now"
        lines.append(f"due       {local_time(job.due_ms)}{left}")
    stages = (("created", job.created_ms), ("started", job.last_started_ms), ("completed", job.completed_ms), ("failed", job.failed_ms))
    lines += [f"{name:<9} {local_time(ms)}" for name, ms in stages if ms]
    lines.append(f"settings  lease {show_duration(job.timeout_ms)}, backoff {show_duration(max(job.backoff_ms, 0))}")
    if job.last_error:
        lines.append(f"error     at {local_time(job.last_error_ms)}" if job.last_error_ms else "error")
        lines += [f"  {visible(line)}" for line in job.last_error.split("\n")]
    return [*lines, f"payload   {job.payload_bytes} bytes", *_laid_out(job.payload or "")]


def _job_times(job: JobSnapshot, lane: str, now: int) -> tuple[str, ...]:
    there = age(job.since_ms, now)
    if lane == "active":
        return there, _lease_left(job, now)
    if lane == "delayed":
        return (show_duration(job.due_ms - now) if job.due_ms > now else "now",)
    if lane == "completed":
        took = job.completed_ms - job.last_started_ms
        return f"{there} ago" if there else "", show_duration(took) if job.completed_ms and job.last_started_ms and took >= 0 else ""
    return (f"{there} ago" if there and lane == "failed" else there,)


def _payload(job: JobSnapshot) -> str:
    """For a line: what a plain job carries, what a job of a flow stands for."""
    if job.state == DAMAGED:
        return visible(job.last_error)
    return f"step {job.step.step_run}" if job.step else visible(job.payload or "")


def _lease_left(job: JobSnapshot, now: int) -> str:
    if not job.lock_until_ms:
        return ""
    return show_duration(job.lock_until_ms - now) if job.lock_until_ms > now else "lapsed"


def _lease_lines(job: JobSnapshot, now: int) -> list[str]:
    if job.state != "active":
        return []
    by = f" by {visible(job.worker)}" if job.worker else ""
    left = _lease_left(job, now)
    return [f"leased   {by or ' by whom is not known'}, {'lapsed' if left == 'lapsed' else left + ' left'}"]


def _laid_out(payload: str) -> list[str]:
    try:
        text = dump(json.loads(payload), indent=2)
    except ValueError:
        text = payload
    return [visible(line) for line in text.split("\n")]


def _json_or_text(payload: str) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload
