"""Events of a run, and what people did to it, as JSON objects and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from omniq_flow.cli.output import local_time, times
from omniq_flow.cli.text import table
from omniq_flow.observe.audit import Steering
from omniq_flow.observe.events import tell_all
from omniq_flow.ops.runs import HistoryEntry


def event_objects(entries: Sequence[HistoryEntry], done: Sequence[Steering], *, only_steered: bool) -> Iterator[dict[str, Any]]:
    by_rev = {one.rev: one for one in done}
    for told in tell_all(entries):
        one = by_rev.get(told.entry.rev) if told.kind == "steered" else None
        if one is not None or not only_steered:
            yield {
                "rev": told.entry.rev,
                **times(at=told.entry.at_ms),
                "event": told.kind,
                "about": told.name,
                "what": told.what,
                "steered": _steering_object(one) if one else None,
            }


def _steering_object(one: Steering) -> dict[str, Any]:
    return {
        "action": one.action,
        "by": one.by or None,
        "reason": one.reason or None,
        "target": one.target,
        "before": one.before or None,
        "after": one.after or None,
    }


def event_lines(entries: Sequence[HistoryEntry]) -> list[str]:
    rows = [(str(told.entry.rev), local_time(told.entry.at_ms), told.name, told.what) for told in tell_all(entries)]
    return table(("REV", "TIME", "ABOUT", "WHAT"), rows) if rows else []


def audit_lines(done: Sequence[Steering]) -> list[str]:
    """Who did what to it, when and why, the oldest first."""
    rows = [
        (local_time(one.at_ms), one.by or "?", one.action.replace("_", " "), one.target, one.before or "?", one.after, one.reason)
        for one in done
    ]
    return table(("TIME", "WHO", "ACTION", "TARGET", "BEFORE", "AFTER", "WHY"), rows) if rows else []
