"""Runs, steps and flows as JSON objects and as lines for people: two views of the same snapshots.

Field names of the objects are those of the Python values; they are only ever added to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from omniq_flow.cli.output import local_time, times
from omniq_flow.cli.text import table, visible
from omniq_flow.model.clock import now_ms, show_duration
from omniq_flow.model.plan import StepPlan
from omniq_flow.model.runs import RunHeader, RunPause
from omniq_flow.model.tags import shown
from omniq_flow.observe.causes import causes
from omniq_flow.observe.drawing import MAP_MARK
from omniq_flow.observe.run_watch import RunView
from omniq_flow.observe.snapshot import RunSnapshot, RunSummary, StepFailure, StepTally, run_word
from omniq_flow.observe.why import state_of, why_waiting

MOST_CULPRITS = 3


def header_object(header: RunHeader) -> dict[str, Any]:
    return {
        "run_id": header.run_id,
        "flow": header.flow,
        "queue": header.queue,
        "state": run_word(header.state),
        "key": header.key or None,
        "tags": dict(header.tags),
        "plan_sha": header.plan_sha,
        **times(created=header.created_ms, ended=header.ended_ms),
        "damage": header.damage or None,
        "paused": _pause_object(header.paused),
        "duration_ms": duration(header) if header.ended_ms else None,
        "rerun_of": header.rerun_of or None,
        "rerun_as": header.rerun_as or None,
    }


def _pause_object(pause: RunPause | None) -> dict[str, Any] | None:
    return {"by": pause.by or None, "reason": pause.reason or None, **times(at=pause.at_ms)} if pause else None


def summary_object(summary: RunSummary) -> dict[str, Any]:
    return {**header_object(summary.header), "total": summary.total, "done": summary.done, "failed": summary.failed}


def run_object(snapshot: RunSnapshot, failures: Collection[StepFailure]) -> dict[str, Any]:
    why = causes(snapshot, failures)
    return {
        **header_object(snapshot.header),
        "rev": snapshot.header.rev,
        "steps": [_step_object(step, why.get(step.step, ())) for step in snapshot.steps],
        "failures": [_failure_object(failure) for failure in failures],
        "failed": snapshot.failed,
    }


def _step_object(step: StepTally, why: Collection[StepFailure]) -> dict[str, Any]:
    started, ended = step.timing.started_ms, step.timing.ended_ms if step.is_settled else 0
    return {
        "step": step.step,
        "level": list(step.level),
        "state": step.state,
        "total": step.total,
        "pending": step.pending,
        "queued": step.queued,
        "succeeded": step.succeeded,
        "failed": step.failed,
        "upstream_failed": step.upstream_failed,
        "skipped": step.skipped,
        "cancelled": step.cancelled,
        "retries": step.timing.retries,
        **times(started=started, ended=ended),
        "duration_ms": ended - started if started and ended else None,
        "because_of": [str(failure.step_run) for failure in why],
    }


def _failure_object(failure: StepFailure) -> dict[str, Any]:
    return {
        "step": failure.step_run.step,
        "index": list(failure.step_run.index),
        "step_run": str(failure.step_run),
        "type": failure.failure.type,
        "message": failure.failure.message,
        "attempt": failure.failure.attempt,
    }


def list_lines(summaries: list[RunSummary]) -> list[str]:
    rows = [
        (
            s.header.run_id,
            s.header.flow,
            f"{s.word}, paused" if s.header.paused else s.word,
            f"{s.done}/{s.total}" + (f" ✘{s.failed}" if s.failed else ""),
            local_time(s.header.created_ms),
            show_duration(duration(s.header)),
            s.header.key,
            shown(s.header.tags),
        )
        for s in summaries
    ]
    return table(("RUN", "FLOW", "STATE", "STEPS", "STARTED", "TOOK", "KEY", "TAGS"), rows)


def run_lines(snapshot: RunSnapshot, failures: Collection[StepFailure]) -> list[str]:
    """Everything of a run but its result."""
    header = snapshot.header
    about = [f"run      {header.run_id}", f"flow     {visible(header.flow)}  (plan {header.plan_sha[:12]}, queue {visible(header.queue)})"]
    about += [f"key      {visible(header.key)}"] if header.key else []
    about += [f"tags     {visible(shown(header.tags))}"] if header.tags else []
    about.append(f"state    {snapshot.word}, {'took' if header.ended_ms else 'for'} {show_duration(duration(header))}")
    about.append(f"started  {local_time(header.created_ms)}")
    about += [f"ended    {local_time(header.ended_ms)}"] if header.ended_ms else []
    about += [f"paused   {_pause_words(header.paused)}"] if header.paused else []
    about += [f"damage   {visible(header.damage)}"] if header.damage else []
    about += [f"rerun of {header.rerun_of}"] if header.rerun_of else []
    about += [f"rerun as {header.rerun_as}"] if header.rerun_as else []
    return [*about, "", *step_lines(snapshot), *_spaced(failure_lines(snapshot, failures))]


def _pause_words(pause: RunPause) -> str:
    by = f"by {visible(pause.by)} " if pause.by else ""
    return f"{by}{local_time(pause.at_ms)}{': ' + visible(pause.reason) if pause.reason else ''}"


def step_lines(snapshot: RunSnapshot) -> list[str]:
    rows = [
        (
            _label(snapshot.plan.by_name[s.step]),
            s.state,
            f"{s.done}/{s.total}" if s.is_map else "",
            _number(s.queued) if s.is_map else "",
            _number(s.failed) if s.is_map else "",
            _number(s.upstream_failed) if s.is_map else "",
            _number(s.skipped) if s.is_map else "",
            _number(s.timing.retries),
            _step_took(s),
        )
        for s in snapshot.steps
    ]
    return table(("STEP", "STATE", "DONE", "QUEUED", "FAILED", "UPSTREAM FAILED", "SKIPPED", "RETRIES", "TOOK"), rows)


def failure_lines(snapshot: RunSnapshot, failures: Collection[StepFailure]) -> list[str]:
    """What failed by itself, and what was never tried because of it."""
    lines = [visible(f"{failure}{_attempts(failure)}") for failure in failures]
    if snapshot.failed > len(failures):
        lines.append(f"… and {snapshot.failed - len(failures)} more failures")
    by_culprits: dict[str, list[str]] = {}
    for step, why in causes(snapshot, failures).items():
        by_culprits.setdefault(_culprits(why), []).append(_blocked(snapshot.step(step)))
    lines += [f"{', '.join(steps)} upstream_failed because of {why}" for why, steps in by_culprits.items()]
    return lines


def why_object(view: RunView) -> dict[str, Any]:
    close = view.close
    return {
        "run_id": view.snapshot.run_id,
        "step": close.step,
        "step_run": str(close.element) if close.element else None,
        "state": state_of(view.snapshot, close),
        "reasons": why_waiting(view.snapshot, close),
    }


def why_lines(views: Iterable[RunView]) -> list[str]:
    """A line for each thing that holds a step; none for steps that nothing holds."""
    rows = [
        (str(view.close.element or view.close.step) if n == 0 else "", state_of(view.snapshot, view.close) if n == 0 else "", reason)
        for view in views
        for n, reason in enumerate(why_waiting(view.snapshot, view.close))
    ]
    return table(("STEP", "STATE", "WHY"), rows) if rows else []


def duration(header: RunHeader) -> int:
    """How long a run took, or takes so far."""
    return max((header.ended_ms or now_ms()) - header.created_ms, 0)


def _label(step: StepPlan) -> str:
    return f"{step.name} {MAP_MARK * step.depth}" if step.level else step.name


def _number(number: int) -> str:
    return str(number) if number else ""


def _step_took(step: StepTally) -> str:
    started, ended = step.timing.started_ms, step.timing.ended_ms
    if not started or (step.is_settled and not ended):
        return ""
    return show_duration(max((ended if step.is_settled else now_ms()) - started, 0))


def _attempts(failure: StepFailure) -> str:
    return f" (attempt {failure.failure.attempt})" if failure.failure.attempt > 1 else ""


def _blocked(step: StepTally) -> str:
    return f"{step.step} ({step.upstream_failed} of {step.total})" if step.is_map and step.total else step.step


def _culprits(why: Collection[StepFailure]) -> str:
    names = [str(failure.step_run) for failure in why]
    more = f" and {len(names) - MOST_CULPRITS} more" if len(names) > MOST_CULPRITS else ""
    return ", ".join(names[:MOST_CULPRITS]) + more if names else "a failure that is not recorded"


def _spaced(lines: list[str]) -> list[str]:
    return ["", *lines] if lines else []
