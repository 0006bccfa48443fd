"""OmniQ's retries and removals, as other clients send them. Ours send scripts that know of runs in their place (`ops/admin.py`)."""

from __future__ import annotations

from collections.abc import Sequence

from omniq_flow.model.clock import SERVER_TIME
from omniq_flow.model.names import check_queue
from omniq_flow.ops import keys
from omniq_flow.ops.admin import MAX_BATCH, Lane
from omniq_flow.ops.command import Arg, Command
from omniq_flow.ops.replies import BatchResultItem, expect_ok, items


def retry_failed(queue: str, job_id: str, *, now_ms: int = SERVER_TIME) -> Command[None]:
    return Command("omniq/retry_failed", *_sent(queue, job_id, now_ms), expect_ok("RETRY_FAILED"))


def retry_failed_batch(queue: str, job_ids: Sequence[str], *, now_ms: int = SERVER_TIME) -> Command[list[BatchResultItem]]:
    _check(job_ids)
    return Command("omniq/retry_failed_batch", *_sent(queue, now_ms, len(job_ids), *job_ids), items("RETRY_FAILED_BATCH"))


def remove_job(queue: str, job_id: str, lane: Lane, *, now_ms: int = SERVER_TIME) -> Command[None]:
    return Command("omniq/remove_job", *_sent(queue, job_id, lane, now_ms), expect_ok("REMOVE_JOB"))


def remove_jobs_batch(queue: str, lane: Lane, job_ids: Sequence[str], *, now_ms: int = SERVER_TIME) -> Command[list[BatchResultItem]]:
    _check(job_ids)
    return Command("omniq/remove_jobs_batch", *_sent(queue, lane, len(job_ids), *job_ids, now_ms), items("REMOVE_JOBS_BATCH"))


def _sent(queue: str, *args: Arg) -> tuple[tuple[str, ...], tuple[Arg, ...]]:
    return (keys.anchor(check_queue(queue)),), args


def _check(job_ids: Sequence[str]) -> None:
    if len(job_ids) > MAX_BATCH:
        raise ValueError(f"at most {MAX_BATCH} jobs a call")
