"""One leased job in the hands of this worker, from the take to the report.

An attempt is *held* until the server has heard how it ended: so long its lease is extended. It is *running* while its
handler really runs, which may be longer (a thread cannot be stopped) or shorter (a report waits for the server). What
is reported is the first word on it: the outcome, a time-out, or that it is given back; later words are dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from omniq_flow.engine.outcomes import Outcome
from omniq_flow.ops.ticks import Taken


class Flag:
    """Set once, from any thread."""

    __slots__ = ("_is_set",)

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set


class Callee(Protocol):
    """A handler as it is called: a step of a plan, or the plain jobs of a queue. `given` and `context` are its own affair."""

    @property
    def is_async(self) -> bool: ...
    @property
    def is_process(self) -> bool: ...
    @property
    def timeout_ms(self) -> int: ...
    def call(self, given: Any, context: Any, roll: float) -> Outcome: ...
    async def call_async(self, given: Any, context: Any, roll: float, is_ours: Callable[[], bool]) -> Outcome | None: ...
    def failed(self, error: BaseException, context: Any, roll: float) -> Outcome: ...


@dataclass(slots=True, eq=False)
class Attempt:
    """A leased job and all that is known of it. Times are of the monotonic clock.

    `trusted_until` is when somebody else may take the job unless its lease was extended; it counts from before the call.
    `beat_ms` is how often it is extended, 0 for as often as others. `is_gone`: the server said that the lease is held by
    nobody or by somebody else. `is_stopped`: we ended the handler.
    """

    queue: str
    taken: Taken
    lease_ms: int
    extended_at: int
    trusted_until: int
    taken_at: int
    bound: Callee | None = None
    given: Any = ()
    context: Any = None
    cancelled: Flag = field(default_factory=Flag)
    lease_lost: Flag = field(default_factory=Flag)
    beat_ms: int = 0
    given_at: int = 0
    started_at: int = 0
    ended_at: int = 0
    is_waiting: bool = False
    is_running: bool = False
    is_entered: bool = False
    is_reported: bool = False
    is_stopped: bool = False
    is_gone: bool = False
    stagings: int = 0
    task: asyncio.Task[Any] | None = None
    alarm: asyncio.TimerHandle | None = None
    outcome: Outcome | None = None

    @property
    def token(self) -> str:
        return self.taken.token

    @property
    def run_id(self) -> str:
        return self.taken.flow.run_id if self.taken.flow else ""

    @property
    def name(self) -> str:
        """The step run as people read it, or the id of a plain job."""
        return str(self.taken.flow.step_run) if self.taken.flow else self.taken.job_id

    @property
    def title(self) -> str:
        """What a log calls it."""
        return f"{self.name} of run {self.run_id}" if self.taken.flow else f"job {self.name} of queue {self.queue}"

    @property
    def extra(self) -> dict[str, object]:
        """Fields of a log record."""
        return {"queue": self.queue, "run": self.run_id, "step": self.name, "attempt": self.taken.attempt}
