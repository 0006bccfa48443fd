"""What keeps a queue going and what people do to it: upkeep, pause, retry, remove (wire §7).

Retry and remove are OmniQ's for plain jobs; a run whose job it is goes on rightly too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from omniq_flow.model.clock import SERVER_TIME
from omniq_flow.model.names import check_queue
from omniq_flow.ops import keys
from omniq_flow.ops.command import Command, Query, number, one_word, text
from omniq_flow.ops.replies import BatchResultItem, expect_ok, items, number_after_ok, unexpected

MAX_BATCH = 100
UPKEEP = 1_000

ONE, BATCH = "one", "batch"
"""How a script of jobs answers: like OmniQ's operation on one job, or like its batch."""

Lane = Literal["wait", "gwait", "delayed", "failed", "completed"]
"""Where a job can be removed from; `gwait` is the waiting list of its group."""


def promote_delayed(queue: str, *, most: int = UPKEEP, now_ms: int = SERVER_TIME) -> Command[int]:
    """Let jobs whose time has come wait for a worker; gives how many."""
    return Command("omniq/promote_delayed", (keys.anchor(check_queue(queue)),), (now_ms, most), number_after_ok("PROMOTE_DELAYED"))


def reap_expired(queue: str, *, most: int = UPKEEP, now_ms: int = SERVER_TIME) -> Command[int]:
    """Take back leases that ended; gives how many. Their jobs are due again, or failed if that was the last attempt."""
    return Command("omniq/reap_expired", (keys.anchor(check_queue(queue)),), (now_ms, most), number_after_ok("REAP_EXPIRED"))


def pause(queue: str) -> Command[None]:
    """Stop new leases of a queue; running jobs, publishes and acks go on."""

    def parse(reply: Any) -> None:
        if text(reply) != "OK":
            raise unexpected("PAUSE", text(reply))

    return Command("omniq/pause", (keys.anchor(check_queue(queue)),), (), parse)


def resume(queue: str) -> Command[bool]:
    """Lease jobs again; gives whether the queue was paused."""
    return Command("omniq/resume", (keys.anchor(check_queue(queue)),), (), lambda reply: number(reply) == 1)


def is_paused(queue: str) -> Query[bool]:
    """Read whether a queue is paused."""
    return Query(("EXISTS", keys.queue_key(check_queue(queue), "paused")), lambda reply: number(reply) == 1)


def retry_failed(queue: str, job_id: str, *, by: str = "", budget: int = 0, now_ms: int = SERVER_TIME) -> Command[None]:
    """Start a failed job over; refused as `NO_JOB` or `NOT_FAILED`.

    Of a failed step run its run is retried, at once if it has ended, else when it has; refused as `RUN_GONE`, `RUN_DAMAGED`,
    `RUN_SUCCEEDED`, `RUN_CANCELLING`, or `STALE_JOB` if the step run went on without this job. `by` goes into its history.
    """
    return Command(
        "flow/jobs_retry",
        (keys.anchor(check_queue(queue)),),
        (now_ms, budget, ONE, one_word(by), 1, job_id),
        expect_ok("RETRY_FAILED"),
        is_repeatable=False,
    )


def retry_failed_batch(
    queue: str, job_ids: Sequence[str], *, by: str = "", budget: int = 0, now_ms: int = SERVER_TIME
) -> Command[list[BatchResultItem]]:
    """Start at most 100 failed jobs over; a result for each, in order. A run is retried once, with all of them that are its."""
    _check_batch(job_ids)
    return Command(
        "flow/jobs_retry",
        (keys.anchor(check_queue(queue)),),
        (now_ms, budget, BATCH, one_word(by), len(job_ids), *job_ids),
        items("RETRY_FAILED_BATCH"),
        is_repeatable=False,
    )


def remove_job(queue: str, job_id: str, lane: Lane, *, by: str = "", budget: int = 0, now_ms: int = SERVER_TIME) -> Command[None]:
    """Remove a job for good; refused as `NO_JOB`, `ACTIVE`, `LANE_MISMATCH` or `NOT_IN_LANE`, and nothing changed then.

    A step run that waits for the job fails as `JobRemoved`; `by` goes into the history of its run.
    """
    return Command(
        "flow/jobs_remove",
        (keys.anchor(check_queue(queue)),),
        (now_ms, budget, ONE, lane, one_word(by), 1, job_id),
        expect_ok("REMOVE_JOB"),
        is_repeatable=False,
    )


def remove_jobs_batch(
    queue: str, lane: Lane, job_ids: Sequence[str], *, by: str = "", budget: int = 0, now_ms: int = SERVER_TIME
) -> Command[list[BatchResultItem]]:
    """Remove at most 100 jobs of one lane for good; a result for each, in order."""
    _check_batch(job_ids)
    return Command(
        "flow/jobs_remove",
        (keys.anchor(check_queue(queue)),),
        (now_ms, budget, BATCH, lane, one_word(by), len(job_ids), *job_ids),
        items("REMOVE_JOBS_BATCH"),
        is_repeatable=False,
    )


def _check_batch(job_ids: Sequence[str]) -> None:
    if len(job_ids) > MAX_BATCH:
        raise ValueError(f"at most {MAX_BATCH} jobs a call, {len(job_ids)} were given")
