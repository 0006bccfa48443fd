"""What a handler is told about the attempt it runs in, and what it can say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from omniq_flow.errors import StepFailed, StepSkipped
from omniq_flow.model.names import StepRun


class Signal(Protocol):
    """Something that is set once, such as `threading.Event`."""

    def is_set(self) -> bool: ...


class _Never:
    def is_set(self) -> bool:
        return False


NEVER: Signal = _Never()


def _drop(_: str) -> None:
    """A context without a log, as in a unit test of a handler."""


@dataclass(frozen=True, slots=True)
class StepContext:
    """One attempt of a step run, handed to the parameter annotated with this class.

    `idempotency_key` is the same over attempts, lost jobs and retries with the same inputs: give it to the
    outside world so that a repeated effect is seen as one. `fence` only grows; a store that remembers the
    highest can refuse a worker that was declared dead. Both flags are set while the handler runs.
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
    check_completion: Any = field(default=None, repr=False, compare=False)
    exec: Any = field(default=None, repr=False, compare=False)

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

    def log(self, message: object) -> None:
        """Write one line to the run's log."""
        self.write_log(str(message))

    def fail(self, message: str) -> NoReturn:
        """Fail the step for good: no further attempt."""
        raise StepFailed(message)

    def skip(self, reason: str = "") -> NoReturn:
        """End the step without a value and without a failure."""
        raise StepSkipped(reason)
