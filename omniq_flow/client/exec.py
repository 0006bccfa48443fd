"""What handlers do with `ctx.exec` and `ctx.check_completion`: publish, pause, count completions; blocking and awaited.

A counter says zero once (wire §8). So a report whose reply was lost is never sent again and never swallowed: `child_ack`
answers −1 for "no such counter" only, and everything else is raised (Q26); `check_completion` raises there, too.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from omniq_flow.client.counting import AsyncExecutesAll, ExecutesAll, begin_counter, begin_counter_async
from omniq_flow.client.publishing import json_payload, publish_command
from omniq_flow.ops import admin, counters
from omniq_flow.ops.command import Command, Query

T = TypeVar("T")


class Executes(ExecutesAll, Protocol):
    """Carries out operations, as `Client` does."""

    def execute(self, op: Command[T] | Query[T]) -> T: ...


class AsyncExecutes(AsyncExecutesAll, Protocol):
    """Carries out operations, as `AsyncClient` does."""

    async def execute(self, op: Command[T] | Query[T]) -> T: ...


class Exec:
    """The actions of a handler. Children report as `default_child_id`, the running job's id, unless they name another."""

    def __init__(self, client: Executes, default_child_id: str) -> None:
        self._client = client
        self._child_id = default_child_id

    def publish(
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
    ) -> str:
        """Publish a job with a dict or a list as its payload; gives its id."""
        return self._client.execute(
            publish_command(
                queue=queue,
                payload=payload,
                job_id=job_id,
                max_attempts=max_attempts,
                timeout_ms=timeout_ms,
                backoff_ms=backoff_ms,
                due_ms=due_ms,
                gid=gid,
                group_limit=group_limit,
            )
        )

    def publish_json(self, *, queue: str, payload: Any, **options: Any) -> str:
        """As `publish`; the payload may be a model or a dataclass."""
        return self.publish(queue=queue, payload=json_payload(payload), **options)

    def pause(self, *, queue: str) -> str:
        self._client.execute(admin.pause(queue))
        return "OK"

    def resume(self, *, queue: str) -> int:
        """1 if the queue was paused, else 0."""
        return int(self._client.execute(admin.resume(queue)))

    def is_paused(self, *, queue: str) -> bool:
        return self._client.execute(admin.is_paused(queue))

    def childs_init(self, key: str, expected: int) -> None:
        """Start a counter; `OperationRefused` with `ALREADY_INIT` while it runs."""
        begin_counter(self._client, key, expected)

    def child_ack(self, key: str, child_id: str | None = None) -> int:
        """Report a child; how many are missing, −1 if there is no such counter."""
        return self._client.execute(counters.child_ack_answer(key, self._child_id if child_id is None else child_id))


class CheckCompletion:
    """Completion counters in the words of OmniQ 1.4, in both of its spellings. Every refusal is raised."""

    def __init__(self, client: Executes, default_child_id: str) -> None:
        self._client = client
        self._child_id = default_child_id

    def init_job_counter(self, key: str, expected: int) -> None:
        """Start a counter for `expected` children."""
        begin_counter(self._client, key, expected, counters.init_job_counter)

    def job_decrement(self, key: str, child_id: str | None = None) -> int:
        """Report a child; gives how many are missing."""
        return self._client.execute(counters.job_decrement(key, self._child_id if child_id is None else child_id))

    InitJobCounter = init_job_counter
    JobDecrement = job_decrement


class AsyncExec:
    """`Exec`, to be awaited."""

    def __init__(self, client: AsyncExecutes, default_child_id: str) -> None:
        self._client = client
        self._child_id = default_child_id

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
    ) -> str:
        """As `Exec.publish`."""
        return await self._client.execute(
            publish_command(
                queue=queue,
                payload=payload,
                job_id=job_id,
                max_attempts=max_attempts,
                timeout_ms=timeout_ms,
                backoff_ms=backoff_ms,
                due_ms=due_ms,
                gid=gid,
                group_limit=group_limit,
            )
        )

    async def publish_json(self, *, queue: str, payload: Any, **options: Any) -> str:
        """As `Exec.publish_json`."""
        return await self.publish(queue=queue, payload=json_payload(payload), **options)

    async def pause(self, *, queue: str) -> str:
        await self._client.execute(admin.pause(queue))
        return "OK"

    async def resume(self, *, queue: str) -> int:
        """As `Exec.resume`."""
        was_paused = await self._client.execute(admin.resume(queue))
        return int(was_paused)

    async def is_paused(self, *, queue: str) -> bool:
        return await self._client.execute(admin.is_paused(queue))

    async def childs_init(self, key: str, expected: int) -> None:
        """As `Exec.childs_init`."""
        await begin_counter_async(self._client, key, expected)

    async def child_ack(self, key: str, child_id: str | None = None) -> int:
        """As `Exec.child_ack`."""
        return await self._client.execute(counters.child_ack_answer(key, self._child_id if child_id is None else child_id))


class AsyncCheckCompletion:
    """`CheckCompletion`, to be awaited."""

    def __init__(self, client: AsyncExecutes, default_child_id: str) -> None:
        self._client = client
        self._child_id = default_child_id

    async def init_job_counter(self, key: str, expected: int) -> None:
        """As `CheckCompletion.init_job_counter`."""
        await begin_counter_async(self._client, key, expected, counters.init_job_counter)

    async def job_decrement(self, key: str, child_id: str | None = None) -> int:
        """As `CheckCompletion.job_decrement`."""
        return await self._client.execute(counters.job_decrement(key, self._child_id if child_id is None else child_id))

    InitJobCounter = init_job_counter
    JobDecrement = job_decrement


class Aio:
    """Both, to be awaited."""

    def __init__(self, client: AsyncExecutes, default_child_id: str) -> None:
        self.exec = AsyncExec(client, default_child_id)
        self.check_completion = AsyncCheckCompletion(client, default_child_id)
