"""How people steer a queue: pause it with a note, change the limit of a group, let a delayed job run now.

Other clients of OmniQ see the effects as their own: their pause flag, their limit, a job in its waiting list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from omniq_flow.model.clock import SERVER_TIME
from omniq_flow.model.names import check_queue
from omniq_flow.ops import keys
from omniq_flow.ops.command import Command, number, one_word
from omniq_flow.ops.replies import ERR, OK, BatchResultItem, reading, unexpected

NOTE_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class PauseNote:
    """Who paused a queue, when (epoch ms, 0: unknown) and why. Empty for a pause by another client."""

    by: str = ""
    at_ms: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PauseChange:
    """The answer to a pause or a resume: whether the queue was paused before, and the note of that pause or of the new one."""

    was_paused: bool
    note: PauseNote


@dataclass(frozen=True, slots=True)
class LimitChange:
    """The answer to a change of a group's limit; None where none is set, and 1 counts."""

    before: int | None
    after: int | None
    active: int
    waiting: int


def queue_pause(queue: str, *, by: str = "", reason: str = "", replace: bool = False, now_ms: int = SERVER_TIME) -> Command[PauseChange]:
    """Stop new leases of a queue and note who did, when and why; running jobs, publishes and acks go on.

    A queue that is paused already keeps the note that it has, unless `replace`; the answer holds the one that counts.
    """
    args = (now_ms, by[:NOTE_CHARACTERS], reason[:NOTE_CHARACTERS], int(replace))
    return Command("flow/queue_pause", (keys.anchor(check_queue(queue)),), args, _change("QUEUE_PAUSE"))


def queue_resume(queue: str) -> Command[PauseChange]:
    """Lease jobs again; the answer holds the note of the pause that ends."""
    return Command("flow/queue_resume", (keys.anchor(check_queue(queue)),), (), _change("QUEUE_RESUME"))


def group_limit(queue: str, gid: str, limit: int | None, *, now_ms: int = SERVER_TIME) -> Command[LimitChange]:
    """Set how many jobs of a group may be active at once, None: no limit of its own, so 1 (D10).

    A limit below what is active stops no job; the group is served again when enough have ended (H11). `ValueError` for a
    limit below 1 and for an empty gid.
    """
    if not gid.strip():
        raise ValueError("a group's id must not be empty")
    if limit is not None and limit < 1:
        raise ValueError(f"a group's limit is 1 or more, {limit} was given; pause the queue to stop it")

    def read(word: str, rest: list[str]) -> LimitChange:
        if word != OK or len(rest) != 4:
            raise unexpected("GROUP_LIMIT", word)
        before, after, active, waiting = rest
        return LimitChange(number(before) if before else None, number(after) if after else None, number(active), number(waiting))

    args = (now_ms, gid.strip(), "" if limit is None else limit)
    return Command("flow/group_limit", (keys.anchor(check_queue(queue)),), args, reading("GROUP_LIMIT", read))


def job_run_now(queue: str, job_id: str, *, by: str = "", now_ms: int = SERVER_TIME) -> Command[BatchResultItem]:
    """Let a delayed job wait for a worker now; refused as `NO_JOB` or `NOT_DELAYED`, which the answer tells.

    `by` goes into the history of the run whose job it is.
    """

    def parse(reply: Any) -> BatchResultItem:
        word, *rest = [part.decode() if isinstance(part, bytes) else str(part) for part in reply]
        if word == ERR:
            return BatchResultItem(job_id, "ERR", " ".join(rest))
        if word != OK:
            raise unexpected("JOB_RUN_NOW", word)
        return BatchResultItem(job_id, "OK")

    return Command("flow/job_run_now", (keys.anchor(check_queue(queue)),), (now_ms, one_word(by), job_id), parse, is_repeatable=False)


def _change(operation: str) -> Callable[[Any], PauseChange]:
    def read(word: str, rest: list[str]) -> PauseChange:
        if word != OK or len(rest) != 4:
            raise unexpected(operation, word)
        was_paused, by, at_ms, reason = rest
        return PauseChange(was_paused == "1", PauseNote(by, number(at_ms), reason))

    return reading(operation, read)
