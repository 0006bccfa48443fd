"""How handlers reach the server: through clients that their worker opens, at most one of a kind, and closes at its end.

The blocking client is opened when a handler first asks for it. It would stop the whole loop if an async handler used it
there, so that is refused; `ctx.aio` goes through the worker's own client, or from any other loop through a thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from omniq_flow.client.connect import Target
from omniq_flow.client.exec import Aio, CheckCompletion, Exec
from omniq_flow.errors import UsageError
from omniq_flow.ops.command import Command, Operation, Query

if TYPE_CHECKING:
    from omniq_flow.client.client import AsyncClient, Client

T = TypeVar("T")


class Tools:
    """The tools of one process. `shared` is the client of the loop that is running when this is made."""

    def __init__(self, target: Target, shared: AsyncClient | None = None) -> None:
        self._blocking = _Blocking(target)
        self._awaited = _Awaited(self._blocking, shared)

    def exec(self, job_id: str) -> Exec:
        return Exec(self._blocking, job_id)

    def check_completion(self, job_id: str) -> CheckCompletion:
        return CheckCompletion(self._blocking, job_id)

    def aio(self, job_id: str) -> Aio:
        return Aio(self._awaited, job_id)

    def close(self) -> None:
        """Close what was opened here; a handler that still runs is told by its next call."""
        self._blocking.close()


class _Blocking:
    """A client that is opened by its first call."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._is_closed = False

    def execute(self, op: Command[T] | Query[T]) -> T:
        result: T = self.execute_all((op,))[0]
        return result

    def execute_all(self, ops: Sequence[Operation]) -> list[Any]:
        if _loop() is not None:
            raise UsageError("this call would block the event loop", hint="in an async handler use ctx.aio, and await it")
        return self.client().execute_all(ops)

    def client(self) -> Client:
        with self._lock:
            if self._is_closed:
                raise UsageError("the worker of this context has ended")
            if self._client is None:
                # A child process that does without need not load it.
                from omniq_flow.client.client import Client

                self._client = Client.open(self._target)
            return self._client

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            if self._client is not None:
                self._client.close()


class _Awaited:
    """The worker's client on its own loop, the blocking one in a thread for any other."""

    def __init__(self, blocking: _Blocking, shared: AsyncClient | None) -> None:
        self._blocking = blocking
        self._shared = shared
        self._loop = _loop()

    async def execute(self, op: Command[T] | Query[T]) -> T:
        result: T = (await self.execute_all((op,)))[0]
        return result

    async def execute_all(self, ops: Sequence[Operation]) -> list[Any]:
        if self._shared is not None and self._loop is _loop():
            return await self._shared.execute_all(ops)
        return await asyncio.to_thread(lambda: self._blocking.client().execute_all(ops))


def _loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
