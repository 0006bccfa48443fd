"""Plain jobs: publish, reserve, heartbeat, ack (wire §7).

A job runs at least once. Who holds a lease proves it by its token; a report with another token is refused as
`TOKEN_MISMATCH`, and so is one for a job that ended. When the reply to a reserve or an ack is lost, nothing is sent
again: a reserved job then comes back when its lease ends, and of an ack the caller is told that it may have counted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from ulid import ULID

from omniq_flow.errors import ValueNotJson
from omniq_flow.model.clock import SERVER_TIME
from omniq_flow.model.jobs import JobOptions, Lease
from omniq_flow.model.names import check_queue
from omniq_flow.ops import keys
from omniq_flow.ops.command import Command, Query, number, text, texts
from omniq_flow.ops.replies import OK, expect_ok, reading, unexpected

DEFAULTS = JobOptions()
UNKNOWN_LEASE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Empty:
    """No job is waiting that may be taken."""


@dataclass(frozen=True, slots=True)
class Paused:
    """The queue leases nothing until it is resumed."""


@dataclass(frozen=True, slots=True)
class Delayed:
    """The attempt failed; the job is due again at this time."""

    due_ms: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The last attempt failed; the job waits in the failed lane."""


Reserved = Lease | Empty | Paused
AttemptEnd = Delayed | Failed


def publish(
    queue: str,
    payload: dict[str, Any] | list[Any],
    *,
    job_id: str = "",
    options: JobOptions = DEFAULTS,
    now_ms: int = SERVER_TIME,
) -> Command[str]:
    """Publish a job with a JSON payload; gives its id, a new ULID if none is named.

    An id that is in use is left as it is and returned, so a publish may be repeated (D2). `ValueNotJson` for a payload
    that other languages could not read (NaN, lone surrogates), `ValueError` for an id with blanks at its ends.
    """
    if options.gid != options.gid.strip() or options.group_limit < 0:
        options = replace(options, gid=options.gid.strip(), group_limit=max(options.group_limit, 0))
    return enqueue(queue, check_job_id(job_id) if job_id else new_job_id(), payload_json(payload), options, now_ms=now_ms)


def enqueue(queue: str, job_id: str, payload: str | bytes, options: JobOptions = DEFAULTS, *, now_ms: int = SERVER_TIME) -> Command[str]:
    """Publish a job with the payload's text as it is; `publish` is for people."""

    def read(word: str, rest: list[str]) -> str:
        if word != OK or not rest:
            raise unexpected("ENQUEUE", word)
        return rest[0]

    return Command(
        "omniq/enqueue",
        (keys.anchor(check_queue(queue)),),
        (
            job_id,
            payload,
            options.max_attempts,
            options.timeout_ms,
            options.backoff_ms,
            now_ms,
            options.due_ms,
            options.gid,
            options.group_limit,
        ),
        reading("ENQUEUE", read),
    )


def reserve(queue: str, *, now_ms: int = SERVER_TIME) -> Command[Reserved]:
    """Lease the next job of a queue, if there is one and the queue is not paused."""

    def read(word: str, rest: list[str]) -> Reserved:
        if word == "EMPTY":
            return Empty()
        if word == "PAUSED":
            return Paused()
        if word != "JOB" or len(rest) != 7:
            raise unexpected("RESERVE", word)
        job_id, payload, until, attempt, attempts, gid, token = rest
        return Lease(queue, job_id, token, number(until), number(attempt), number(attempts), gid, payload)

    return Command("omniq/reserve", (keys.anchor(check_queue(queue)),), (now_ms,), reading("RESERVE", read), is_repeatable=False)


def heartbeat(lease: Lease, *, now_ms: int = SERVER_TIME) -> Command[Lease]:
    """Extend a lease to now plus its job's lease time; gives the lease with its new deadline.

    Refused as `TOKEN_MISMATCH` when the job ended or another worker holds it: the caller then stops, since whatever it
    would report no longer counts.
    """

    def read(word: str, rest: list[str]) -> Lease:
        if word != OK or not rest:
            raise unexpected("HEARTBEAT", word)
        return replace(lease, until_ms=number(rest[0]))

    return Command("omniq/heartbeat", (keys.anchor(check_queue(lease.queue)),), _report(lease, now_ms), reading("HEARTBEAT", read))


def ack_success(lease: Lease, *, now_ms: int = SERVER_TIME) -> Command[None]:
    """Report a leased job as done."""
    return Command(
        "omniq/ack_success",
        (keys.anchor(check_queue(lease.queue)),),
        _report(lease, now_ms),
        expect_ok("ACK_SUCCESS"),
        is_repeatable=False,
    )


def ack_fail(lease: Lease, error: str = "", *, now_ms: int = SERVER_TIME) -> Command[AttemptEnd]:
    """Report an attempt as failed. A blank `error` leaves what an earlier attempt noted; a long one is cut at 4,096 bytes."""

    def read(word: str, rest: list[str]) -> AttemptEnd:
        if word == "FAILED":
            return Failed()
        if word != "RETRY" or not rest:
            raise unexpected("ACK_FAIL", word)
        return Delayed(number(rest[0]))

    # A lone surrogate in an exception's text must not keep the report from being sent (H20).
    text = error.encode("utf-8", "backslashreplace") if error.strip() else b""
    return Command(
        "omniq/ack_fail",
        (keys.anchor(check_queue(lease.queue)),),
        (*_report(lease, now_ms), text),
        reading("ACK_FAIL", read),
        is_repeatable=False,
    )


_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def payload_json(payload: dict[str, Any] | list[Any]) -> bytes:
    """A payload as other clients write it: compact, unescaped, in insertion order; `ValueNotJson` if they could not read it."""
    try:
        return _to_json(payload).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueNotJson(f"the payload cannot be sent as JSON: {error}") from error


def new_job_id() -> str:
    """A new ULID."""
    return str(ULID())


def check_job_id(job_id: str) -> str:
    """An id that every client can name: no blanks at its ends (Q38), not the word of a refusal (Q24); else `ValueError`."""
    if not job_id or job_id != job_id.strip():
        raise ValueError(f"job id {job_id!r} must not be empty, nor begin or end with a blank")
    if job_id == "ERR":
        raise ValueError("a job cannot be called 'ERR': clients take it for a refusal")
    return job_id


def _report(lease: Lease, now_ms: int) -> tuple[str, int, str]:
    return lease.job_id, now_ms, lease.token


def lease_time(queue: str, job_id: str) -> Query[int]:
    """Read for how long a job is leased, in ms; 60000 if it is gone or its setting is no number above zero (wire §3)."""
    key = keys.job(check_queue(queue), job_id)
    return Query(("HGET", key, "timeout_ms"), lambda reply: max(number(reply), 0) or UNKNOWN_LEASE_MS)


def some_jobs(queue: str, count: int) -> tuple[Query[list[str]], ...]:
    """Read ids of a few plain jobs that wait, of a few that are delayed and of a few that are leased."""
    return (
        Query(("LRANGE", keys.queue_key(queue, "wait"), 0, count - 1), texts),
        Query(("ZRANGE", keys.queue_key(queue, "delayed"), 0, count - 1), texts),
        Query(("ZRANGE", keys.queue_key(queue, "active"), 0, count - 1), texts),
    )


def is_of_old_layout(queue: str, job_id: str) -> Query[bool]:
    """Whether a client before OmniQ 3.0 published this job or leased it: it knows no `queued_ms`, no `first_started_ms` (wire §12)."""

    def parse(reply: Any) -> bool:
        state, queued, started = reply
        return state is not None and (queued is None or (text(state) == "active" and not started))

    return Query(("HMGET", keys.job(queue, job_id), "state", "queued_ms", "first_started_ms"), parse)
