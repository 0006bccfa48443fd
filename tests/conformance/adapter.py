"""What the vectors are replayed against: our operations and both of our OmniQ clients, in one form.

Called by the names and keyword arguments of OmniQ's client 4.0 (wire §9), they answer at once, and a script that fails on
the server is redis-py's `ResponseError`, as it is for the real client.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import redis

from omniq_flow.client.client import Client
from omniq_flow.errors import OperationRefused, ReplyError
from omniq_flow.model.jobs import JobOptions, Lease
from omniq_flow.ops import admin, counters, jobs
from omniq_flow.ops.command import Command, Query
from omniq_flow.ops.replies import BatchResultItem
from tests.conformance import exported

T = TypeVar("T")


class Face:
    """A client of OmniQ's names; the replies of an asyncio one are waited for."""

    monitor: Any

    def __init__(self, client: Any, runner: asyncio.Runner) -> None:
        self._client = client
        self._runner = runner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            try:
                answer = getattr(self._client, name)(**arguments)
                return self._runner.run(answer) if inspect.iscoroutine(answer) else answer
            except ReplyError as error:
                raise redis.exceptions.ResponseError(str(error)) from error

        return call


class Adapter:
    """OmniQ's method names over a `Client` and the fifteen scripts that other clients get.

    What is refused before sending is refused by `ops`, but for the payload's type.
    """

    monitor: Any

    def __init__(self, client: Client) -> None:
        self._client = client

    def _do(self, op: Command[T] | Query[T]) -> T:
        try:
            return self._client.execute(op)
        except ReplyError as error:
            raise redis.exceptions.ResponseError(str(error)) from error

    def publish(
        self, *, queue: str, payload: Any, job_id: str = "", now_ms_override: int = 0, gid: str | None = None, **options: int
    ) -> str:
        if type(payload) not in (dict, list):
            raise TypeError("a payload is a dict or a list")
        return self._do(jobs.publish(queue, payload, job_id=job_id, options=JobOptions(gid=gid or "", **options), now_ms=now_ms_override))

    def reserve(self, *, queue: str, now_ms_override: int = 0) -> dict[str, Any] | None:
        match self._do(jobs.reserve(queue, now_ms=now_ms_override)):
            case jobs.Empty():
                return None
            case jobs.Paused():
                return {"status": "PAUSED"}
            case Lease() as lease:
                return {
                    "status": "JOB",
                    "job_id": lease.job_id,
                    "payload": lease.payload,
                    "lock_until_ms": lease.until_ms,
                    "attempt": lease.attempt,
                    "max_attempts": lease.max_attempts,
                    "gid": lease.gid,
                    "lease_token": lease.token,
                }

    def heartbeat(self, *, queue: str, job_id: str, lease_token: str, now_ms_override: int = 0) -> int:
        return self._do(jobs.heartbeat(_lease(queue, job_id, lease_token), now_ms=now_ms_override)).until_ms

    def ack_success(self, *, queue: str, job_id: str, lease_token: str, now_ms_override: int = 0) -> None:
        self._do(jobs.ack_success(_lease(queue, job_id, lease_token), now_ms=now_ms_override))

    def ack_fail(
        self, *, queue: str, job_id: str, lease_token: str, error: str | None = None, now_ms_override: int = 0
    ) -> tuple[str, int | None]:
        match self._do(jobs.ack_fail(_lease(queue, job_id, lease_token), error or "", now_ms=now_ms_override)):
            case jobs.Delayed(due_ms):
                return "RETRY", due_ms
            case jobs.Failed():
                return "FAILED", None

    def promote_delayed(self, *, queue: str, max_promote: int = 1000, now_ms_override: int = 0) -> int:
        return self._do(admin.promote_delayed(queue, most=max_promote, now_ms=now_ms_override))

    def reap_expired(self, *, queue: str, max_reap: int = 1000, now_ms_override: int = 0) -> int:
        return self._do(admin.reap_expired(queue, most=max_reap, now_ms=now_ms_override))

    def pause(self, *, queue: str) -> str:
        self._do(admin.pause(queue))
        return "OK"

    def resume(self, *, queue: str) -> int:
        return int(self._do(admin.resume(queue)))

    def is_paused(self, *, queue: str) -> bool:
        return self._do(admin.is_paused(queue))

    def retry_failed(self, *, queue: str, job_id: str, now_ms_override: int = 0) -> None:
        self._do(exported.retry_failed(queue, job_id, now_ms=now_ms_override))

    def retry_failed_batch(self, *, queue: str, job_ids: Sequence[str], now_ms_override: int = 0) -> list[BatchResultItem]:
        return self._do(exported.retry_failed_batch(queue, job_ids, now_ms=now_ms_override))

    def remove_job(self, *, queue: str, job_id: str, lane: admin.Lane) -> str:
        self._do(exported.remove_job(queue, job_id, lane))
        return "OK"

    def remove_jobs_batch(self, *, queue: str, lane: admin.Lane, job_ids: Sequence[str]) -> list[BatchResultItem]:
        return self._do(exported.remove_jobs_batch(queue, lane, job_ids))

    def childs_init(self, *, key: str, expected: int) -> None:
        self._do(counters.childs_init(key, expected))

    def child_ack(self, *, key: str, child_id: str) -> int:
        try:
            return self._do(counters.child_ack(key, child_id))
        except OperationRefused as refusal:
            if refusal.code != "NO_COUNTER":
                raise
            return -1


def _lease(queue: str, job_id: str, token: str) -> Lease:
    return Lease(queue, job_id, token, until_ms=0, attempt=0, max_attempts=0)
