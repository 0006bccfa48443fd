"""Counters as JSON objects and as lines for people: two views of the same snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omniq_flow.cli.columns import age, figures, fitted
from omniq_flow.cli.output import times
from omniq_flow.cli.text import visible
from omniq_flow.model.clock import now_ms
from omniq_flow.observe.counters import Finding, Member, RunCounter
from omniq_flow.observe.plain_counters import PlainCounter


def counter_name(counter: RunCounter | PlainCounter) -> str:
    """What `counters show` takes."""
    return counter.key if isinstance(counter, PlainCounter) else f"{counter.run_id}/{counter.name}"


def counter_object(counter: RunCounter | PlainCounter) -> dict[str, Any]:
    if isinstance(counter, PlainCounter):
        return {**plain_counter_object(counter), **times(begun=counter.begun_ms)}
    return run_counter_object(counter)


def run_counter_object(counter: RunCounter) -> dict[str, Any]:
    return {
        "counter": counter_name(counter),
        "queue": counter.queue,
        "run_id": counter.run_id,
        "name": counter.name,
        "kind": counter.kind,
        "of": str(counter.of),
        "expected": counter.expected,
        "done": counter.expected - counter.left,
        "left": counter.left,
        "failed": counter.failed,
        "skipped": counter.skipped,
    }


def plain_counter_object(counter: PlainCounter) -> dict[str, Any]:
    return {
        "counter": counter.key,
        "kind": "plain",
        "expected": counter.expected,
        "done": counter.done,
        "left": counter.left,
    }


def member_object(member: Member) -> dict[str, Any]:
    return {
        "member": member.name,
        "step_run": str(member.step_run) if member.step_run else None,
        "behind": member.behind or None,
        "state": member.fact.state.word if member.step_run else None,
        "waits_for": str(member.waits_for) if member.waits_for else None,
        "job_id": member.job_id or None,
        "lane": member.lane or None,
        **times(since=member.since_ms),
    }


def finding_object(finding: Finding) -> dict[str, Any]:
    return {"run_id": finding.run_id, "queue": finding.queue, "counter": finding.counter or None, "what": finding.what}


def counter_lines(counters: Sequence[RunCounter | PlainCounter]) -> list[str]:
    rows = [
        (
            visible(counter_name(c)),
            _counts(c),
            f"{c.expected - c.left}/{c.expected}",
            str(c.left),
            str(c.failed) if isinstance(c, RunCounter) and c.failed else "",
        )
        for c in counters
    ]
    return figures(("COUNTER", "COUNTS", "DONE", "MISSING", "FAILED"), rows, left=("COUNTER", "COUNTS"))


def _counts(counter: RunCounter | PlainCounter) -> str:
    if isinstance(counter, PlainCounter):
        return "children"
    return f"elements of {counter.of}" if counter.kind == "collection" else f"inputs of {counter.of}"


def run_counter_about(counter: RunCounter, missing: Sequence[Member], cells: int) -> list[str]:
    """A counter of a run, and where what is missing is."""
    lines = [f"counter   {counter_name(counter)}", f"queue     {counter.queue}", f"counts    {_counts(counter)}"]
    done = counter.expected - counter.left
    lines.append(f"done      {done} of {counter.expected}" + (f", {counter.failed} of them failed" if counter.failed else ""))
    now = now_ms()
    rows = [(m.name, str(m.step_run or ""), m.where, age(m.since_ms, now), m.job_id) for m in missing]
    return [*lines, "", *fitted(("MISSING", "STEP RUN", "WHERE", "FOR", "JOB"), rows, cells)] if rows else lines


def plain_counter_about(counter: PlainCounter) -> list[str]:
    lines = [f"counter   {visible(counter.key)}", f"done      {counter.done} of {counter.expected}", f"missing   {counter.left}"]
    more = counter.done - len(counter.members)
    lines += [f"reported  {visible(member)}" for member in counter.members]
    return lines + ([f"          … and {more} more"] if more > 0 else [])


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    return [visible(f"run {f.run_id}{f', {f.counter}' if f.counter else ''}: {f.what}") for f in findings]
