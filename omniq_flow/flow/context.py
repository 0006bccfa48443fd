"""What a handler is told about the attempt it runs in, and what it can say and do.

A `StepContext` belongs to a step run of a flow, a `JobContext` to a plain job. Both reach the server by the same tools:
`exec` and `check_completion` block and are for sync handlers, `aio` has the same to be awaited. The tools are the worker's;
a context that was made by hand, as in a unit test, has none and says so when they are used.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from omniq_flow.errors import StepFailed, StepSkipped, UsageError
from omniq_flow.model.names import StepRun

logger = logging.getLogger("omniq_flow.job")


class Signal(Protocol):
    """Something that is set once, such as `threading.Event`."""

    def is_set(self) -> bool: ...


class _Never:
    def is_set(self) -> bool:
        return False


NEVER: Signal = _Never()


def _drop(_: str) -> None:
    """A context without a log, as in a unit test of a handler."""


class Exec(Protocol):
    """Publishing, pausing and counting from inside a handler (wire §9, `ctx.exec`). `child_id` is by default the running job's id."""

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
    ) -> str: ...
    def publish_json(
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
    ) -> str: ...
    def pause(self, *, queue: str) -> str: ...
    def resume(self, *, queue: str) -> int: ...
    def is_paused(self, *, queue: str) -> bool: ...
    def childs_init(self, key: str, expected: int) -> None: ...
    def child_ack(self, key: str, child_id: str | None = None) -> int: ...


class CheckCompletion(Protocol):
    """A completion counter in the words of OmniQ 1.4; a refusal is raised, whatever its reason."""

    def init_job_counter(self, key: str, expected: int) -> None: ...
    def job_decrement(self, key: str, child_id: str | None = None) -> int: ...
    def InitJobCounter(self, key: str, expected: int) -> None: ...
    def JobDecrement(self, key: str, child_id: str | None = None) -> int: ...


class AsyncExec(Protocol):
    """`Exec`, to be awaited."""

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
    ) -> str: ...
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
    ) -> str: ...
    async def pause(self, *, queue: str) -> str: ...
    async def resume(self, *, queue: str) -> int: ...
    async def is_paused(self, *, queue: str) -> bool: ...
    async def childs_init(self, key: str, expected: int) -> None: ...
    async def child_ack(self, key: str, child_id: str | None = None) -> int: ...


class AsyncCheckCompletion(Protocol):
    """`CheckCompletion`, to be awaited."""

    async def init_job_counter(self, key: str, expected: int) -> None: ...
    async def job_decrement(self, key: str, child_id: str | None = None) -> int: ...
    async def InitJobCounter(self, key: str, expected: int) -> None: ...
    async def JobDecrement(self, key: str, child_id: str | None = None) -> int: ...


class Aio(Protocol):
    """The tools for async handlers."""

    @property
    def exec(self) -> AsyncExec: ...
    @property
    def check_completion(self) -> AsyncCheckCompletion: ...


class Tools(Protocol):
    """What a worker lends to the contexts of its handlers; each is made for the job that asks."""

    def exec(self, job_id: str) -> Exec: ...
    def check_completion(self, job_id: str) -> CheckCompletion: ...
    def aio(self, job_id: str) -> Aio: ...


class _NoTools:
    def exec(self, job_id: str) -> NoReturn:
        raise UsageError("this context belongs to no worker, so it reaches no server", hint="hand a stand-in for it to what is tested")

    check_completion = aio = exec


NO_TOOLS: Tools = _NoTools()


@dataclass(frozen=True, slots=True)
class StepContext:
    """One attempt of a step run, handed to the parameter annotated with this class.

    `idempotency_key` is the same over attempts, lost jobs and retries with the same inputs: give it to the
    outside world so that a repeated effect is seen as one. `fence` only grows; a store that remembers the
    highest can refuse a worker that was declared dead. Both flags are set while the handler runs: `lease_lost` when
    another worker may hold the job, `cancelled` when its run was cancelled, it took too long or the worker leaves. What a
    handler returns after its run was cancelled is kept, an exception then is no failure.
    """

    run_id: str
    flow: str
    step_run: StepRun
    attempt: int = 1
    max_attempts: int = 1
    idempotency_key: str = ""
    fence: int = 0
    job_id: str = ""
    gid: str = ""
    cancelled: Signal = NEVER
    lease_lost: Signal = NEVER
    write_log: Callable[[str], None] = field(default=_drop, repr=False, compare=False)
    tools: Tools = field(default=NO_TOOLS, repr=False, compare=False)

    @property
    def step(self) -> str:
        return self.step_run.step

    @property
    def index(self) -> tuple[int, ...]:
        """The element's place, one number per list around it; empty for a step that runs once."""
        return self.step_run.index

    @property
    def is_cancelled(self) -> bool:
        """Whether what this handler would report no longer counts, so that it may stop."""
        return self.cancelled.is_set() or self.lease_lost.is_set()

    @property
    def is_last_attempt(self) -> bool:
        return self.attempt >= self.max_attempts

    @property
    def exec(self) -> Exec:
        """Publish, pause and count; blocks, and refuses with `UsageError` on an event loop."""
        return self.tools.exec(self.job_id)

    @property
    def check_completion(self) -> CheckCompletion:
        """Completion counters; blocks, and refuses with `UsageError` on an event loop."""
        return self.tools.check_completion(self.job_id)

    @property
    def aio(self) -> Aio:
        """`aio.exec` and `aio.check_completion`, to be awaited."""
        return self.tools.aio(self.job_id)

    def log(self, message: object) -> None:
        """Write one line to the run's log."""
        self.write_log(str(message))

    def fail(self, message: str) -> NoReturn:
        """Fail the step for good: no further attempt."""
        raise StepFailed(message)

    def skip(self, reason: str = "") -> NoReturn:
        """End the step without a value and without a failure."""
        raise StepSkipped(reason)


class JobContext:
    """One attempt of a plain job, handed to the parameter annotated with this class.

    `lock_until_ms` (epoch) is the end of the lease when the job was taken; a worker extends it while the handler runs.
    Both signals are set while the handler runs: `lease_lost` when another worker may hold the job by now, `cancelled`
    when the attempt took too long or the worker leaves. An async handler is cancelled besides.
    """

    __slots__ = (
        "_exec",
        "_payload",
        "_raw",
        "attempt",
        "cancelled",
        "gid",
        "job_id",
        "lease_lost",
        "lease_token",
        "lock_until_ms",
        "max_attempts",
        "queue",
        "tools",
    )

    def __init__(
        self,
        queue: str,
        job_id: str,
        payload_raw: str | bytes = b"null",
        *,
        attempt: int = 1,
        max_attempts: int = 1,
        lock_until_ms: int = 0,
        lease_token: str = "",
        exec: Exec | None = None,
        gid: str = "",
        cancelled: Signal = NEVER,
        lease_lost: Signal = NEVER,
        tools: Tools = NO_TOOLS,
    ) -> None:
        self.queue = queue
        self.job_id = job_id
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.lock_until_ms = lock_until_ms
        self.lease_token = lease_token
        self.gid = gid
        self.cancelled = cancelled
        self.lease_lost = lease_lost
        self.tools = tools
        self._raw = payload_raw
        self._exec = exec
        self._payload: Any = _UNREAD

    def __repr__(self) -> str:
        return f"<job {self.job_id} of queue {self.queue}, attempt {self.attempt}/{self.max_attempts}>"

    @property
    def payload_raw(self) -> str:
        """The payload's text as it was published; bytes that are no UTF-8 show as escapes."""
        return self._raw if isinstance(self._raw, str) else self._raw.decode("utf-8", "backslashreplace")

    @property
    def payload(self) -> Any:
        """The payload read as JSON, or its text if it is none."""
        if self._payload is _UNREAD:
            text = self.payload_raw
            try:
                self._payload = json.loads(text)
            except (ValueError, RecursionError):
                self._payload = text
        return self._payload

    @property
    def is_cancelled(self) -> bool:
        """Whether what this handler would report no longer counts, so that it may stop."""
        return self.cancelled.is_set() or self.lease_lost.is_set()

    @property
    def is_last_attempt(self) -> bool:
        return self.attempt >= self.max_attempts

    @property
    def exec(self) -> Exec:
        """Publish, pause and count; blocks, and refuses with `UsageError` on an event loop."""
        return self.tools.exec(self.job_id) if self._exec is None else self._exec

    @property
    def check_completion(self) -> CheckCompletion:
        """Completion counters; blocks, and refuses with `UsageError` on an event loop."""
        return self.tools.check_completion(self.job_id)

    @property
    def aio(self) -> Aio:
        """`aio.exec` and `aio.check_completion`, to be awaited."""
        return self.tools.aio(self.job_id)

    def log(self, message: object) -> None:
        """Write a line to the logger `omniq_flow.job`, with queue, job and attempt as fields of the record."""
        logger.info("%s", message, extra={"queue": self.queue, "job": self.job_id, "attempt": self.attempt})

    def fail(self, message: str) -> NoReturn:
        """Fail the job for good: no further attempt."""
        raise StepFailed(message)


_UNREAD: Any = object()
JobCtx = JobContext
