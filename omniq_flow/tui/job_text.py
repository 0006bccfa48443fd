"""What a screen says of a job: lines made of a picture and a width."""

from __future__ import annotations

from omniq_flow.observe.jobs import DAMAGED, JobSnapshot
from omniq_flow.tui.run_text import clock_time, json_lines
from omniq_flow.tui.text import BLANK, Line, age, line, rule, wrap

_TONES = {"failed": "bad", "active": "busy", "delayed": "warn", "completed": "good"}


def job_name(job: JobSnapshot) -> str:
    """What people call it: the step run and the end of its run's id, or the id of a plain job."""
    return f"{job.step.step_run} of {job.step.run_id[-6:]}" if job.step is not None else job.job_id


def when(job: JobSnapshot, now_ms: int) -> tuple[str, str]:
    """What happens to it next, or happened last."""
    if job.is_cancelled:
        return "cancelled", "dim"
    if job.state == "delayed":
        return f"due in {age(job.due_ms - now_ms)}", ""
    if job.state == "active":
        left = job.lock_until_ms - now_ms
        return (f"lease {age(left)}", "") if left >= 0 else ("lease ended", "bad")
    if job.state in ("failed", "completed"):
        return f"{age(now_ms - job.since_ms)} ago", ""
    if job.state == "gone":
        return "gone", "dim"
    if job.state == DAMAGED:
        return DAMAGED, "bad"
    return f"waits {age(now_ms - job.since_ms)}", ""


def job_lines(job: JobSnapshot, width: int, now_ms: int) -> list[Line]:
    """Everything of a job."""
    word, _ = when(job, now_ms)
    lines = [line(("JOB ", "head"), row) for row in wrap(job.job_id, width - 5, 3)]
    if job.step is not None:
        lines.append(line(f"step     {job.step.step_run}   epoch {job.step.epoch}   (enter opens its run)"))
    lines += [
        line("state    ", (job.state, _TONES.get(job.state, "")), f"   {word}"),
        line(f"attempt  {job.attempt} of {job.max_attempts}   backoff {job.backoff_ms / 1000:g}s   lease {job.timeout_ms / 1000:g}s"),
    ]
    lines += [line(f"group    {job.gid}")] if job.gid else []
    lines += [line(f"worker   {job.worker}")] if job.worker else []
    times = (
        ("made", job.created_ms),
        ("queued", job.queued_ms),
        ("begun", job.last_started_ms),
        ("done", job.completed_ms),
        ("failed", job.failed_ms),
    )
    lines.append(line(("  ".join(f"{name} {clock_time(ms)}" for name, ms in times if ms), "dim")))
    if job.last_error:
        lines += [
            rule(width - 1, f"last error {clock_time(job.last_error_ms)}"),
            *(line((row, "bad")) for row in wrap(job.last_error, width - 1, 12)),
        ]
    lines.append(rule(width - 1, f"payload {job.payload_bytes:,} bytes"))
    return [*lines, *(json_lines(job.payload, width - 1, "") if job.payload is not None else [BLANK])]
