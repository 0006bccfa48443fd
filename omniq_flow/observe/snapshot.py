"""Frozen pictures of runs: what a screen, a command or a program is shown.

A picture is drawn from the run's header, its plan, its tallies and its history, never from the lanes of a queue:
what it says stays true after the jobs are gone. Words that are not stored (`running` of a map, `upstream_failed`
of a map that never got elements) are derived here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import Plan, StepPlan
from omniq_flow.model.runs import Failure, RunHeader
from omniq_flow.model.states import RunState, StepState

RUNNING = "running"
"""Shown for a map of which some elements are dispatched or decided, and others are not."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When a step was first dispatched and last decided (0: not yet), and how many attempts were tried again."""

    started_ms: int = 0
    ended_ms: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class StepTally:
    """How the step runs of one step stand. `total` counts those that are known so far; a map grows while lists open."""

    step: str
    level: tuple[str, ...]
    state: str
    total: int
    pending: int = 0
    queued: int = 0
    succeeded: int = 0
    failed: int = 0
    upstream_failed: int = 0
    skipped: int = 0
    cancelled: int = 0
    timing: Timing = Timing()

    @property
    def is_map(self) -> bool:
        return bool(self.level)

    @property
    def done(self) -> int:
        """How many are decided, one way or the other."""
        return self.total - self.pending - self.queued

    @property
    def is_settled(self) -> bool:
        return self.state not in (RUNNING, StepState.PENDING.word, StepState.QUEUED.word)


@dataclass(frozen=True, slots=True)
class StepFailure:
    """A step run that failed by itself, and why."""

    step_run: StepRun
    failure: Failure

    def __str__(self) -> str:
        return f"{self.step_run}: {self.failure}"


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """One run at one moment. `failures` holds those that were cheap to find; `causes.failures` finds the rest."""

    header: RunHeader
    plan: Plan
    steps: tuple[StepTally, ...]
    failures: tuple[StepFailure, ...] = ()

    @property
    def run_id(self) -> str:
        return self.header.run_id

    @property
    def is_ended(self) -> bool:
        return self.header.state.is_ended

    @property
    def word(self) -> str:
        return run_word(self.header.state)

    @property
    def failed(self) -> int:
        """How many step runs failed by themselves."""
        return sum(step.failed for step in self.steps)

    def step(self, name: str) -> StepTally:
        return next(step for step in self.steps if step.step == name)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line of a list of runs."""

    header: RunHeader
    total: int
    done: int
    failed: int

    @property
    def word(self) -> str:
        return run_word(self.header.state)


def run_word(state: RunState) -> str:
    """The word that is shown: a run with failures that still goes on is running."""
    return RUNNING if state is RunState.FAILING else str(state)


def tally_steps(plan: Plan, counts: dict[str, int], state: RunState) -> tuple[StepTally, ...]:
    """The steps of a plan with their numbers, in the order of definition."""
    words: dict[str, str] = {}
    tallies = {}
    # A map's word may depend on the list around it, which always has a smaller depth.
    for step in sorted(plan.steps, key=lambda s: s.depth):
        numbers = {letter: max(counts.get(f"{step.name}:{letter}", 0), 0) for letter in StepState}
        made = sum(numbers[letter] for letter in StepState if letter is not StepState.PENDING)
        total = max(counts.get(f"{step.name}:t", 0), made) if step.level else 1
        numbers[StepState.PENDING] = total - made
        words[step.name] = _map_word(step, numbers, total, words, state) if step.level else _single_word(numbers, state)
        tallies[step.name] = StepTally(
            step.name,
            step.level,
            words[step.name],
            total,
            **{letter.word: number for letter, number in numbers.items()},
            timing=Timing(*(counts.get(f"{step.name}:{mark}", 0) for mark in "ber")),
        )
    return tuple(tallies[step.name] for step in plan.steps)


def _single_word(numbers: dict[StepState, int], state: RunState) -> str:
    word = next((letter.word for letter in StepState if numbers[letter]), StepState.PENDING.word)
    return StepState.CANCELLED.word if word == StepState.PENDING.word and state is RunState.CANCELLED else word


def _map_word(step: StepPlan, numbers: dict[StepState, int], total: int, words: dict[str, str], state: RunState) -> str:
    if not total:
        return _empty_word(words[step.level[-1]])
    if numbers[StepState.PENDING] == total:
        return StepState.CANCELLED.word if state is RunState.CANCELLED else StepState.PENDING.word
    if numbers[StepState.QUEUED] or (numbers[StepState.PENDING] and not state.is_ended):
        return RUNNING
    order = (StepState.FAILED, StepState.UPSTREAM_FAILED, StepState.CANCELLED, StepState.PENDING, StepState.SUCCEEDED, StepState.SKIPPED)
    return next(letter.word for letter in order if numbers[letter])


def _empty_word(around: str) -> str:
    """A map without elements: its list is empty, or was never made."""
    blocked = (StepState.FAILED.word, StepState.UPSTREAM_FAILED.word)
    if around in blocked:
        return StepState.UPSTREAM_FAILED.word
    return StepState.PENDING.word if around in (RUNNING, StepState.QUEUED.word) else around
