"""The arguments and results of OmniQ's methods, for both of its clients: each function gives a command, they execute it.

What they refuse is refused here or in `ops`, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar, cast

from omniq_flow.model.jobs import Lease
from omniq_flow.omniq.results import BatchResultItem, ReserveJob, ReservePaused
from omniq_flow.ops import admin, jobs
from omniq_flow.ops.command import Command

T = TypeVar("T")
R = TypeVar("R")

Reservation = ReserveJob | ReservePaused | None
AttemptEnd = tuple[Literal["RETRY", "FAILED"], int | None]


def reserve(queue: str, now_ms: int) -> Command[Reservation]:
    return _giving(jobs.reserve(queue, now_ms=int(now_ms)), _reservation)


def heartbeat(queue: str, job_id: str, token: str, now_ms: int) -> Command[int]:
    return _giving(jobs.heartbeat(_lease(queue, job_id, token), now_ms=int(now_ms)), lambda lease: lease.until_ms)


def ack_success(queue: str, job_id: str, token: str, now_ms: int) -> Command[None]:
    return jobs.ack_success(_lease(queue, job_id, token), now_ms=int(now_ms))


def ack_fail(queue: str, job_id: str, token: str, error: str | None, now_ms: int) -> Command[AttemptEnd]:
    return _giving(jobs.ack_fail(_lease(queue, job_id, token), error or "", now_ms=int(now_ms)), _attempt_end)


def promote_delayed(queue: str, most: int, now_ms: int) -> Command[int]:
    return admin.promote_delayed(queue, most=int(most), now_ms=int(now_ms))


def reap_expired(queue: str, most: int, now_ms: int) -> Command[int]:
    return admin.reap_expired(queue, most=int(most), now_ms=int(now_ms))


def pause(queue: str) -> Command[str]:
    return _giving(admin.pause(queue), _ok)


def resume(queue: str) -> Command[int]:
    return _giving(admin.resume(queue), int)


def retry_failed(queue: str, job_id: str, now_ms: int) -> Command[None]:
    return admin.retry_failed(queue, job_id, now_ms=int(now_ms))


def retry_failed_batch(queue: str, job_ids: Sequence[str], now_ms: int) -> Command[list[BatchResultItem]]:
    return admin.retry_failed_batch(queue, job_ids, now_ms=int(now_ms))


def remove_job(queue: str, job_id: str, lane: str) -> Command[str]:
    return _giving(admin.remove_job(queue, job_id, _lane(lane)), _ok)


def remove_jobs_batch(queue: str, lane: str, job_ids: Sequence[str]) -> Command[list[BatchResultItem]]:
    return admin.remove_jobs_batch(queue, _lane(lane), job_ids)


def _giving(op: Command[T], result: Callable[[T], R]) -> Command[R]:
    parse = op.parse
    return Command(op.script, op.keys, op.args, lambda reply: result(parse(reply)), op.is_repeatable)


def _reservation(reserved: jobs.Reserved) -> Reservation:
    match reserved:
        case jobs.Empty():
            return None
        case jobs.Paused():
            return ReservePaused()
        case Lease() as lease:
            return ReserveJob("JOB", lease.job_id, lease.payload, lease.until_ms, lease.attempt, lease.max_attempts, lease.gid, lease.token)


def _attempt_end(end: jobs.AttemptEnd) -> AttemptEnd:
    match end:
        case jobs.Delayed(due_ms):
            return "RETRY", due_ms
        case jobs.Failed():
            return "FAILED", None


def _ok(_: None) -> str:
    return "OK"


def _lease(queue: str, job_id: str, token: str) -> Lease:
    return Lease(queue, job_id, token, until_ms=0, attempt=0, max_attempts=0)


def _lane(lane: str) -> admin.Lane:
    # Another word is for the script to refuse: one job and a batch have different codes for it (Q13).
    return cast("admin.Lane", lane)
