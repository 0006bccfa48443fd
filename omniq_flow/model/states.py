"""The tables of states: which event leads where. Scripts, screens, docs and tests are drawn from them.

A **step run** is pending until it is decided or dispatched; it ends once per dispatch, and only the
newest dispatch (epoch) can end it (I1, R4). A **run** ends when nothing of it is dispatched any more and
no work is left (`levels` §4); it never ends earlier, so a run that has ended has nothing in flight.
Letters are what is stored, words are what is shown.
"""

from __future__ import annotations

from enum import StrEnum


class StepState(StrEnum):
    """The state of a step run; the value is the letter that the run's record holds."""

    PENDING = "P"
    QUEUED = "Q"
    SUCCEEDED = "D"
    FAILED = "F"
    UPSTREAM_FAILED = "U"
    SKIPPED = "S"
    CANCELLED = "X"

    @property
    def word(self) -> str:
        return self.name.lower()

    @property
    def is_final(self) -> bool:
        return self not in (StepState.PENDING, StepState.QUEUED)


class RunState(StrEnum):
    """The state of a run as its header stores it."""

    RUNNING = "running"
    FAILING = "failing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def is_ended(self) -> bool:
        return self in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


class Event(StrEnum):
    """What happens to a step run."""

    DISPATCH = "dispatch"
    SUCCEED = "succeed"
    FAIL = "fail"
    SKIP = "skip"
    BLOCK = "block"
    CANCEL = "cancel"
    LOSE = "lose"


P, Q, D, F, U, S, X = (StepState(letter) for letter in "PQDFUSX")

STEP_TRANSITIONS: dict[tuple[StepState, Event], StepState] = {
    (P, Event.DISPATCH): Q,
    (P, Event.SKIP): S,
    (P, Event.BLOCK): U,
    (Q, Event.SUCCEED): D,
    (Q, Event.FAIL): F,
    (Q, Event.SKIP): S,
    (Q, Event.CANCEL): X,
    (Q, Event.LOSE): Q,
    (D, Event.DISPATCH): Q,
    (F, Event.DISPATCH): Q,
    (S, Event.DISPATCH): Q,
    (U, Event.DISPATCH): Q,
    (X, Event.DISPATCH): Q,
}
"""(state, event) -> state. What is absent is refused: the operation answers STALE and changes nothing."""


class RunEvent(StrEnum):
    """What happens to a run."""

    START = "start"
    FAILURE = "failure"
    LAST_SUCCESS = "last_success"
    LAST_FAILURE = "last_failure"
    CANCEL = "cancel"
    LAST_CANCELLED = "last_cancelled"
    RETRY = "retry"


RUN_TRANSITIONS: dict[tuple[RunState, RunEvent], RunState] = {
    (RunState.RUNNING, RunEvent.FAILURE): RunState.FAILING,
    (RunState.RUNNING, RunEvent.LAST_SUCCESS): RunState.SUCCEEDED,
    (RunState.FAILING, RunEvent.FAILURE): RunState.FAILING,
    (RunState.FAILING, RunEvent.LAST_FAILURE): RunState.FAILED,
    (RunState.RUNNING, RunEvent.CANCEL): RunState.CANCELLING,
    (RunState.FAILING, RunEvent.CANCEL): RunState.CANCELLING,
    (RunState.CANCELLING, RunEvent.LAST_CANCELLED): RunState.CANCELLED,
    (RunState.FAILED, RunEvent.RETRY): RunState.RUNNING,
    (RunState.CANCELLED, RunEvent.RETRY): RunState.RUNNING,
}


class Lane(StrEnum):
    """Where the job of a queue stands; the value is the word that the job's record holds."""

    WAIT = "wait"
    ACTIVE = "active"
    DELAYED = "delayed"
    FAILED = "failed"
    COMPLETED = "completed"
