"""A plain job, bound to the handler of its queue: from the payload's text to the call and its outcome.

The job's own record says how often it is tried and how long it waits in between, as for every client of OmniQ.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from omniq_flow.engine.outcomes import DONE, Outcome, job_failed
from omniq_flow.errors import UsageError
from omniq_flow.flow.app import JobHandler
from omniq_flow.flow.context import JobContext

NOT_AWAITED = "it returned a coroutine that nobody awaits; a handler that awaits is written async def"


class BoundJob:
    """The handler of a queue, as the engine calls it."""

    is_process = False

    def __init__(self, handler: JobHandler) -> None:
        self.handler = handler
        self.is_async = handler.is_async
        self.timeout_ms = handler.timeout_ms

    def call(self, given: bytes, context: JobContext, roll: float) -> Outcome:
        """Run a sync handler to its outcome; whatever it raises is in there."""
        try:
            value = self.handler.invoke(context, given)
            if value is not None and inspect.iscoroutine(value):
                value.close()
                raise UsageError(NOT_AWAITED)
            return DONE
        except BaseException as error:
            return job_failed(error)

    async def call_async(self, given: bytes, context: JobContext, roll: float, is_ours: Callable[[], bool]) -> Outcome | None:
        """The same for an async handler; None if it was cancelled by us (`is_ours`) and not by its own doing."""
        try:
            await self.handler.invoke(context, given)
            return DONE
        except BaseException as error:
            return None if is_ours() else job_failed(error)

    def failed(self, error: BaseException, context: Any, roll: float) -> Outcome:
        return job_failed(error)
