"""Who steered a run: each thing that people did to it, when, why, and what it was before and after.

Scripts write `steered <action>[:<targets>] <who> <why>` into the history of the run in the same call that does it; the
history is capped, so of a run that goes on for long the oldest may be gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from omniq_flow.model.names import StepRun
from omniq_flow.ops.runs import HistoryEntry

STEERED = "steered"
PAUSED = "paused"
_ENDED = ("failed", "succeeded", "cancelled")


@dataclass(frozen=True, slots=True)
class Steering:
    """One thing that somebody did. Time in epoch ms; `by` is `user@host`, empty if nobody said so.

    `target` is the run, or those of its step runs that were named. `before` and `after` are words for the state of what it was
    done to, empty if the history does not tell.
    """

    rev: int
    at_ms: int
    action: str
    by: str = ""
    reason: str = ""
    target: str = "run"
    before: str = ""
    after: str = ""

    @property
    def what(self) -> str:
        """The action in words: `retry`, `remove job of read[3]`."""
        return f"{_WORDS[self.action]} {self.target}" if self.action in _WORDS else self.action


_WORDS = {"job_retry": "retry job of", "job_remove": "remove job of", "job_run_now": "run now the job of"}


def steering(entry: HistoryEntry) -> Steering | None:
    """What an event tells of what somebody did, but for before and after; None for any other event."""
    kind, _, rest = entry.event.partition(" ")
    if kind != STEERED:
        return None
    what, _, rest = rest.partition(" ")
    by, _, reason = rest.partition(" ")
    action, _, targets = what.partition(":")
    return Steering(entry.rev, entry.at_ms, action, "" if by == "-" else by, reason, _shown(targets) if targets else "run")


def audit(entries: Iterable[HistoryEntry]) -> list[Steering]:
    """All that people did to a run, the oldest first, from its events in their order."""
    found: list[Steering] = []
    shown = before = ""
    for entry in entries:
        if entry.event.startswith("run "):
            before, shown = shown, PAUSED if shown == PAUSED and entry.event == "run failing" else _word(entry.event[4:])
        elif (done := steering(entry)) is not None:
            found.append(_with_states(done, shown, before))
            shown = {"pause": PAUSED, "resume": "running"}.get(done.action, shown)
    return found


def newest(entries: Iterable[HistoryEntry], action: str) -> Steering | None:
    """The newest of one kind."""
    return next((done for entry in reversed(list(entries)) if (done := steering(entry)) is not None and done.action == action), None)


def _with_states(done: Steering, shown: str, before: str) -> Steering:
    """A cancel is told after the run's new state, everything else before it."""
    match done.action:
        case "cancel":
            return replace(done, before=before, after="cancelling")
        case "retry":
            return replace(done, before=shown, after="running")
        case "pause":
            return replace(done, before=shown, after=PAUSED)
        case "resume":
            return replace(done, before=PAUSED, after="running")
        case "job_retry":
            return replace(done, before="failed", after="queued" if shown in _ENDED else "to be retried when the run has ended")
        case "job_remove":
            lane = done.reason.removeprefix("from ")
            ended = "cancelled" if shown == "cancelling" else "failed"
            return replace(done, reason="", before=lane, after=ended if lane in ("wait", "gwait", "delayed") else "gone")
        case "job_run_now":
            return replace(done, before="delayed", after="wait")
        case _:
            return done


def _word(state: str) -> str:
    return "running" if state == "failing" else state


def _shown(targets: str) -> str:
    """`read-3,read-4,+9` as `read[3], read[4] and 9 more`."""
    names = [name for name in targets.split(",") if not name.startswith("+")]
    more = next((f" and {name[1:]} more" for name in targets.split(",") if name.startswith("+")), "")
    return ", ".join(map(_name, names)) + more


def _name(step_run: str) -> str:
    try:
        return str(StepRun.parse(step_run))
    except ValueError:
        return step_run
