"""The events of a run in words, the same on screens and in commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omniq_flow.model.names import StepRun
from omniq_flow.model.states import StepState
from omniq_flow.observe.audit import STEERED, Steering, audit, steering
from omniq_flow.ops.runs import HistoryEntry

_WORDS = {str(state): state.word for state in StepState}


@dataclass(frozen=True, slots=True)
class Told:
    """An event in words: whom it is about and what happened. `kind` is its first word as it is stored."""

    entry: HistoryEntry
    kind: str
    name: str
    what: str


def tell(entry: HistoryEntry) -> Told:
    """One event by itself."""
    kind, _, rest = entry.event.partition(" ")
    words = rest.split(" ")
    name = _shown(words[0])
    if kind in _WORDS:
        return Told(entry, kind, name, "dispatched" if kind == StepState.QUEUED else _WORDS[kind])
    match kind:
        case "retry":
            return Told(entry, kind, name, f"attempt {words[-1]} failed – tried again")
        case "run":
            return Told(entry, kind, "run", rest)
        case "lost":
            return Told(entry, kind, name, "its job was lost and is made again")
        case "stale":
            return Told(entry, kind, name, "a late report was ignored")
        case "checkpoint":
            return Told(entry, kind, "run", "older events are no longer kept")
        case _ if kind == STEERED and (done := steering(entry)) is not None:
            return _steered(entry, done)
        case _:
            return Told(entry, kind, "run", entry.event)


def tell_all(entries: Sequence[HistoryEntry]) -> list[Told]:
    """Events in their order; what people did is told with the state before and after."""
    done = {one.rev: one for one in audit(entries)}
    return [_steered(entry, done[entry.rev]) if entry.rev in done and is_steered(entry) else tell(entry) for entry in entries]


def is_steered(entry: HistoryEntry) -> bool:
    """Whether somebody did it, rather than that it happened."""
    return entry.event.startswith(f"{STEERED} ")


def _steered(entry: HistoryEntry, done: Steering) -> Told:
    change = f" ({done.before or '?'} → {done.after})" if done.after else ""
    return Told(entry, STEERED, done.by or "somebody", f"{done.what}{change}{f': {done.reason}' if done.reason else ''}")


def _shown(step_run: str) -> str:
    try:
        return str(StepRun.parse(step_run))
    except ValueError:
        return step_run
