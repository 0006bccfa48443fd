"""Notes that people leave, in words: who did something, how long ago, why."""

from __future__ import annotations

from omniq_flow.model.clock import show_duration
from omniq_flow.model.runs import RunPause
from omniq_flow.ops.command import number
from omniq_flow.ops.steering import PauseNote


def signed(by: str, at_ms: int, reason: str, now_ms: int) -> str:
    """` by ann@host 3m12s ago: deploy`, as far as that is known; empty if nothing is."""
    who = f" by {by}" if by not in ("", "-") else ""
    ago = f" {show_duration(max(now_ms - at_ms, 0))} ago" if at_ms else ""
    return f"{who}{ago}{f': {reason}' if reason else ''}"


def pause_words(note: PauseNote | RunPause | None, now_ms: int) -> str:
    """The note of a pause, of a queue or of a run; empty for a pause that another client left no note of."""
    return signed(note.by, note.at_ms, note.reason, now_ms) if note is not None else ""


def note_of(fields: dict[str, str]) -> PauseNote | None:
    """A note as it is stored; None if there is none."""
    return PauseNote(fields.get("by", ""), number(fields.get("at_ms")), fields.get("reason", "")) if fields else None
