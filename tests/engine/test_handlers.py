"""Where handlers run: slots, stopping, and that each end is told once."""

from __future__ import annotations

import asyncio
import time

from omniq_flow import Flow, Retry
from omniq_flow.engine.attempt import Attempt
from omniq_flow.engine.binding import Bound
from omniq_flow.engine.handlers import Handlers
from omniq_flow.engine.outcomes import Outcome
from omniq_flow.engine.registry import Registry
from omniq_flow.engine.slots import Slots
from omniq_flow.flow.context import StepContext
from omniq_flow.model.names import StepRun
from omniq_flow.ops.ticks import Taken
from tests.support.until import until, wait_until


class Notes:
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def timed_out(self, attempt: Attempt, outcome: Outcome) -> None:
        self.said.append((attempt.taken.job_id, "timed out"))

    def ended(self, attempt: Attempt, outcome: Outcome | None) -> None:
        self.said.append((attempt.taken.job_id, outcome.kind if outcome else "stopped"))


flow = Flow("handlers", retry=Retry(attempts=1))


@flow.step
async def quick() -> int:
    return 1


@flow.step
async def endless() -> int:
    await asyncio.sleep(60)
    return 1


@flow.step
async def deaf() -> int:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(0.05)
    return 1


@flow.step
def blocked(ctx: StepContext) -> int:
    ctx.log("began")
    while not ctx.is_cancelled:
        time.sleep(0.001)
    return 1


@flow.step(timeout="10s")
def timed() -> int:
    return 1


def attempt(step: str, name: str = "a") -> Attempt:
    made = Attempt("q", Taken(name, f"token-{name}", 0, 1, 1, "", 0, b""), 30_000, 0, 30_000, 0)
    made.bound = Bound.of_plan(flow.plan(), step, Registry.of([flow]).code("handlers", step))
    made.context = StepContext("R", "handlers", StepRun(step), cancelled=made.cancelled)
    return made


async def test_no_more_run_than_there_are_slots() -> None:
    notes, slots = Notes(), Slots(1)
    handlers = Handlers(slots, notes)
    first, second, gone = attempt("endless", "first"), attempt("quick", "second"), attempt("quick", "gone")
    for each in (first, second, gone):
        handlers.admit(each)
        handlers.offer(each)
    assert (slots.busy, slots.waiting) == (1, 2)
    handlers.withdraw(gone)
    handlers.withdraw(gone)
    assert slots.waiting == 1
    await asyncio.sleep(0)
    handlers.stop(first)
    await until(lambda: len(notes.said) == 2, "both end")
    assert notes.said == [("first", "stopped"), ("second", "ok")]
    assert (slots.busy, slots.waiting) == (0, 0)
    await handlers.close()


async def test_a_handler_that_is_stopped_before_its_first_step_ends_once() -> None:
    notes, slots = Notes(), Slots(2)
    handlers = Handlers(slots, notes)
    early = attempt("endless")
    handlers.admit(early)
    handlers.offer(early)
    handlers.stop(early)
    handlers.stop(early)
    assert notes.said == [("a", "stopped")]
    await asyncio.sleep(0.01)
    assert notes.said == [("a", "stopped")]
    assert slots.busy == 0
    await handlers.close()


async def test_what_a_stopped_handler_still_returns_is_its_end() -> None:
    """It may finish its own way: the lane decides whether that still counts."""
    notes, slots = Notes(), Slots(1)
    handlers = Handlers(slots, notes)
    made = attempt("deaf")
    handlers.admit(made)
    handlers.offer(made)
    await asyncio.sleep(0)
    handlers.stop(made)
    assert slots.busy == 1, "its slot is kept until it ends"
    await until(lambda: notes.said, "it ends")
    assert notes.said == [("a", "ok")]
    assert slots.busy == 0
    await handlers.close()


async def test_a_thread_goes_on_with_the_next_without_the_loop() -> None:
    """A burst of sync handlers is worked through in one slot, in order, though the loop hears of none of them meanwhile."""
    notes, slots = Notes(), Slots(1)
    handlers = Handlers(slots, notes)
    first, *others = [attempt("blocked", name) for name in "abc"]
    for each in (first, *others):
        handlers.admit(each)
        handlers.offer(each)
    assert (slots.busy, slots.waiting) == (1, 2)
    for each in (first, *others):
        wait_until(lambda each=each: each.is_running, f"{each.taken.job_id} runs")  # type: ignore[misc]
        each.cancelled.set()
    assert notes.said == []
    await until(lambda: len(notes.said) == 3, "all have ended")
    assert notes.said == [("a", "ok"), ("b", "ok"), ("c", "ok")]
    assert (slots.busy, slots.waiting) == (0, 0)
    await handlers.close()


async def test_what_needs_the_loop_waits_for_it() -> None:
    """An async handler, one with a time limit, and whatever stands behind them."""
    notes, slots = Notes(), Slots(1)
    handlers = Handlers(slots, notes)
    first, awaited, limited, last = (
        attempt("blocked", "first"),
        attempt("quick", "awaited"),
        attempt("timed", "limited"),
        attempt("blocked", "last"),
    )
    for each in (first, awaited, limited, last):
        handlers.admit(each)
        handlers.offer(each)
    last.cancelled.set()
    first.cancelled.set()
    wait_until(lambda: first.ended_at, "the first has ended in its thread")
    assert not any(each.is_running for each in (awaited, limited, last))
    await until(lambda: len(notes.said) == 4, "all have ended")
    assert [name for name, _ in notes.said] == ["first", "awaited", "limited", "last"]
    assert (slots.busy, slots.waiting) == (0, 0)
    await handlers.close()


async def test_what_a_thread_has_started_cannot_be_taken_back() -> None:
    notes, slots = Notes(), Slots(1)
    handlers = Handlers(slots, notes)
    first, second, third = (attempt("blocked", name) for name in ("first", "second", "third"))
    for each in (first, second, third):
        handlers.admit(each)
        handlers.offer(each)
    first.cancelled.set()
    wait_until(lambda: second.is_running, "the second has its place")
    assert [handlers.withdraw(each) for each in (second, third, third)] == [False, True, False]
    second.cancelled.set()
    await until(lambda: len(notes.said) == 2, "both have ended")
    assert notes.said == [("first", "ok"), ("second", "ok")]
    assert not third.is_running
    assert (slots.busy, slots.waiting) == (0, 0)
    await handlers.close()
