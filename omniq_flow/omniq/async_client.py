"""The asyncio twin of `OmniqClient`: the same methods, awaited.

async with AsyncOmniqClient(host="localhost") as omniq:
    await omniq.publish(queue="mail", payload={"to": "ann"})
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from omniq_flow.client import publishing
from omniq_flow.client.client import AsyncClient
from omniq_flow.client.connect import Target
from omniq_flow.client.counting import begin_counter_async
from omniq_flow.client.retry import RetryPolicy
from omniq_flow.model.jobs import NewJob
from omniq_flow.omniq import calls
from omniq_flow.omniq.connecting import Connected
from omniq_flow.omniq.results import BatchResultItem, ReserveJob, ReservePaused
from omniq_flow.ops import admin, counters, jobs
from omniq_flow.ops.command import Command, Query

if TYPE_CHECKING:
    from omniq_flow.flow.context import Signal
    from omniq_flow.omniq.consume import Handler, Log

T = TypeVar("T")


class AsyncOmniqClient(Connected[AsyncClient]):
    """For one event loop, whose tasks share it. It connects at the first call, or with `async with`."""

    def _open(self, target: Target, connect_timeout: float, reply_timeout: float, retry: RetryPolicy) -> AsyncClient:
        return AsyncClient(target, connect_timeout, reply_timeout, retry)

    async def _do(self, op: Command[T] | Query[T]) -> T:
        return await self.client.execute(op)

    @property
    def ops(self) -> AsyncOmniqClient:
        """The same methods; OmniQ has them in a layer below."""
        return self

    async def close(self) -> None:
        """Close the connections; calls that are running fail."""
        await self.client.close()

    async def __aenter__(self) -> AsyncOmniqClient:
        await self.client.connect()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def publish(
        self,
        *,
        queue: str,
        payload: Any,
        job_id: str | None = None,
        max_attempts: int = 3,
        timeout_ms: int = 30_000,
        backoff_ms: int = 5_000,
        due_ms: int = 0,
        gid: str | None = None,
        group_limit: int = 0,
        now_ms_override: int = 0,
    ) -> str:
        """Publish a dict or a list as a job; gives its id. An id that is in use is left as it is."""
        op = publishing.publish_command(
            queue=queue,
            payload=payload,
            job_id=job_id,
            max_attempts=max_attempts,
            timeout_ms=timeout_ms,
            backoff_ms=backoff_ms,
            due_ms=due_ms,
            gid=gid,
            group_limit=group_limit,
            now_ms_override=now_ms_override,
        )
        return await self._do(op)

    async def publish_json(
        self,
        *,
        queue: str,
        payload: Any,
        job_id: str | None = None,
        max_attempts: int = 3,
        timeout_ms: int = 30_000,
        backoff_ms: int = 5_000,
        due_ms: int = 0,
        gid: str | None = None,
        group_limit: int = 0,
        now_ms_override: int = 0,
    ) -> str:
        """The same for models, dataclasses and what holds them (`publishing.json_payload`)."""
        op = publishing.publish_command(
            queue=queue,
            payload=publishing.json_payload(payload),
            job_id=job_id,
            max_attempts=max_attempts,
            timeout_ms=timeout_ms,
            backoff_ms=backoff_ms,
            due_ms=due_ms,
            gid=gid,
            group_limit=group_limit,
            now_ms_override=now_ms_override,
        )
        return await self._do(op)

    async def publish_many(
        self, *, queue: str, jobs: Sequence[NewJob | Mapping[str, Any]], now_ms_override: int = 0
    ) -> list[BatchResultItem]:
        """Publish many jobs, given as `NewJob` or with the arguments of `publish`; a result for each, in order.

        An id that is in use is left as it is: its result has the reason `EXISTS`. A job that cannot be sent is named by its
        index, and nothing is sent then. 256 jobs go in one atomic call. Of more, the calls follow each other: if the
        connection is lost between two, the jobs before are published, and so may be those of the call that was
        under way. Publishing all of them again with ids of your own completes it, without a double.
        """
        commands = publishing.publish_many_commands(queue=queue, jobs=jobs, now_ms_override=now_ms_override)
        return [item for command in commands for item in await self._do(command)]

    async def reserve(self, *, queue: str, now_ms_override: int = 0) -> ReserveJob | ReservePaused | None:
        """Lease the next job, if one waits and the queue is not paused."""
        return await self._do(calls.reserve(queue, now_ms_override))

    async def heartbeat(self, *, queue: str, job_id: str, lease_token: str, now_ms_override: int = 0) -> int:
        """Extend a lease to now plus the job's lease time; gives the new deadline, in ms."""
        return await self._do(calls.heartbeat(queue, job_id, lease_token, now_ms_override))

    async def ack_success(self, *, queue: str, job_id: str, lease_token: str, now_ms_override: int = 0) -> None:
        """Report a leased job as done."""
        return await self._do(calls.ack_success(queue, job_id, lease_token, now_ms_override))

    async def ack_fail(
        self, *, queue: str, job_id: str, lease_token: str, error: str | None = None, now_ms_override: int = 0
    ) -> calls.AttemptEnd:
        """Report an attempt as failed; gives `("RETRY", due_ms)` or `("FAILED", None)`. A blank `error` is not noted."""
        return await self._do(calls.ack_fail(queue, job_id, lease_token, error, now_ms_override))

    async def job_timeout_ms(self, *, queue: str, job_id: str) -> int:
        """For how long a job is leased, in ms; 60000 if it is gone or that cannot be read."""
        return await self._do(jobs.lease_time(queue, job_id))

    async def promote_delayed(self, *, queue: str, max_promote: int = 1000, now_ms_override: int = 0) -> int:
        """Let jobs whose time has come wait for a worker; gives how many."""
        return await self._do(calls.promote_delayed(queue, max_promote, now_ms_override))

    async def reap_expired(self, *, queue: str, max_reap: int = 1000, now_ms_override: int = 0) -> int:
        """Take back leases that ended; gives how many."""
        return await self._do(calls.reap_expired(queue, max_reap, now_ms_override))

    async def pause(self, *, queue: str) -> str:
        """Stop new leases of a queue."""
        return await self._do(calls.pause(queue))

    async def resume(self, *, queue: str) -> int:
        """Lease jobs again; 1 if the queue was paused, else 0."""
        return await self._do(calls.resume(queue))

    async def is_paused(self, *, queue: str) -> bool:
        """Whether a queue is paused."""
        return await self._do(admin.is_paused(queue))

    async def retry_failed(self, *, queue: str, job_id: str, now_ms_override: int = 0) -> None:
        """Start a failed job over; refused as `NO_JOB` or `NOT_FAILED`."""
        return await self._do(calls.retry_failed(queue, job_id, now_ms_override))

    async def retry_failed_batch(self, *, queue: str, job_ids: Sequence[str], now_ms_override: int = 0) -> list[BatchResultItem]:
        """Start at most 100 failed jobs over; a result for each, in order."""
        return await self._do(calls.retry_failed_batch(queue, job_ids, now_ms_override))

    async def remove_job(self, *, queue: str, job_id: str, lane: str) -> str:
        """Remove a job of a lane for good; refused as `NO_JOB`, `ACTIVE`, `LANE_MISMATCH` or `NOT_IN_LANE`."""
        return await self._do(calls.remove_job(queue, job_id, lane))

    async def remove_jobs_batch(self, *, queue: str, lane: str, job_ids: Sequence[str]) -> list[BatchResultItem]:
        """Remove at most 100 jobs of a lane for good; a result for each, in order."""
        return await self._do(calls.remove_jobs_batch(queue, lane, job_ids))

    async def childs_init(self, *, key: str, expected: int) -> None:
        """Start a completion counter for `expected` children; refused as `ALREADY_INIT` or `BAD_EXPECTED`."""
        await begin_counter_async(self.client, key, expected)

    async def child_ack(self, *, key: str, child_id: str) -> int:
        """Report a child; gives how many are missing, −1 if there is no counter. A lost connection raises."""
        return await self._do(counters.child_ack_answer(key, child_id))

    async def check_completion_init_job_counter(self, *, key: str, expected: int) -> None:
        """As `childs_init`, by its name of 1.4."""
        await begin_counter_async(self.client, key, expected, counters.init_job_counter)

    async def check_completion_job_decrement(self, *, key: str, child_id: str) -> int:
        """Report a child, by the name of 1.4; gives how many are missing. Refused as `NO_COUNTER`."""
        return await self._do(counters.job_decrement(key, child_id))

    async def consume(
        self,
        *,
        queue: str,
        handler: Handler,
        concurrency: int = 1,
        poll_interval_s: float | None = None,
        promote_interval_s: float = 1.0,
        promote_batch: int = 1000,
        reap_interval_s: float = 1.0,
        reap_batch: int = 1000,
        heartbeat_interval_s: float | None = None,
        verbose: bool = False,
        logger: Log = print,
        drain: bool = True,
        stop: Signal | None = None,
    ) -> None:
        """Work the jobs of a queue with `handler(ctx)` until `stop` is set or the task is cancelled; signals are the caller's."""
        from omniq_flow.omniq.consume import Consumer

        consumer = Consumer(
            self,
            queue=queue,
            handler=handler,
            concurrency=concurrency,
            poll_interval_s=poll_interval_s,
            promote_interval_s=promote_interval_s,
            promote_batch=promote_batch,
            reap_interval_s=reap_interval_s,
            reap_batch=reap_batch,
            heartbeat_interval_s=heartbeat_interval_s,
            verbose=verbose,
            logger=logger,
            drain=drain,
            stop=stop,
        )
        await consumer.run_async()
