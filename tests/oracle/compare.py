"""How a life must end: every step run as the oracle says, and in the end nothing left in Redis."""

from __future__ import annotations

from collections import Counter

from omniq_flow.model.names import StepRun
from omniq_flow.model.runs import Fact
from omniq_flow.model.states import RunState, StepState
from omniq_flow.ops import keys, runs
from tests.invariants.checker import leaks
from tests.oracle import deeds
from tests.oracle.life import Life, Track
from tests.oracle.recursion import Decided

LETTERS = {"v": "D", "s": "S", "f": "F"}


def compare(life: Life, track: Track) -> None:
    """Letters, values, verdict and number of dispatches of one run."""
    facts, want = deeds.all_facts(life, track), track.oracle.everything()
    state = life.execute(runs.run_header(life.queue, track.run_id)).state
    fails = track.oracle.fails()
    verdict = RunState.CANCELLED if track.is_cancelled else RunState.FAILED if fails else RunState.SUCCEEDED
    life.demand(state is verdict, f"{track.run_id} is {state}, the oracle says fails={fails}, cancelled={track.is_cancelled}")
    is_first = track.oracle.world.life == 1
    if track.is_cancelled:
        _cancelled(life, track, facts, want if is_first else {})
        return
    stopped = life.execute.connection.hget(keys.header(life.queue, track.run_id), "stopped") == b"1"
    life.demand(not stopped or (fails and track.plan.on_failure == "stop"), f"{track.run_id} stopped for nothing")
    life.demand(stopped or not (is_first and fails and track.plan.on_failure == "stop"), f"{track.run_id} did not stop")
    if stopped and not is_first:
        # What a stopped life did not reach stands as an earlier one left it.
        dispatched(life, track, stopped)
        return
    for at, decided in want.items():
        if stopped and at not in facts:
            continue
        fact = facts.pop(at, Fact())
        life.demand(fact.state.value == decided.letter, f"{at} is {fact}, the oracle says {decided.letter}")
        life.stats["step runs compared"] += 1
        if fact.state is StepState.SUCCEEDED:
            got = track.reader.value_of(at)
            life.demand(got == decided.value, f"{at} gave {str(got)[:200]}, the oracle says {str(decided.value)[:200]}")
            life.demand(fact.length == len(decided.elements) or at.step not in track.oracle.world.mapped, f"{at}: length {fact.length}")
    life.demand(not facts, f"step runs that do not exist: {list(facts)[:5]}")
    dispatched(life, track, stopped)


def _cancelled(life: Life, track: Track, facts: dict[StepRun, Fact], want: dict[StepRun, Decided]) -> None:
    """What was decided before the cancel, or ended well after it, is as ever; nothing waits, and nothing was begun since."""
    life.demand(all(fact.state is not StepState.QUEUED for fact in facts.values()), f"{track.run_id} was cancelled with jobs open")
    for at, decided in want.items():
        fact = facts.get(at, Fact())
        if fact.state in (StepState.PENDING, StepState.CANCELLED):
            continue
        life.demand(fact.state.value == decided.letter, f"{at} is {fact}, the oracle says {decided.letter}")
        if fact.state is StepState.SUCCEEDED:
            got = track.reader.value_of(at)
            life.demand(got == decided.value, f"{at} gave {str(got)[:200]}, the oracle says {str(decided.value)[:200]}")
        life.stats["step runs of cancelled runs compared"] += 1
    events = [e.event.split() for e in life.execute(runs.run_history(life.queue, track.run_id))]
    since = max((n for n, e in enumerate(events) if e == ["run", "cancelling"]), default=0)
    life.demand(not any(e[0] == "Q" for e in events[since:]), f"{track.run_id}: something was dispatched after the cancel")


def dispatched(life: Life, track: Track, stopped: bool) -> None:
    """L7: a step run is dispatched once in each life of its run, and once more for each lost job."""
    events = [e.event.split() for e in life.execute(runs.run_history(life.queue, track.run_id))]
    if any(e[0] == "checkpoint" for e in events):
        return
    start = max((n for n, e in enumerate(events) if e[0] == "retried"), default=0)
    is_partial, events = events[start][:3][2:] == ["only"], events[start:]
    times = Counter(StepRun.parse(e[1]) for e in events if e[0] == "Q")
    ended = Counter(StepRun.parse(e[1]) for e in events if e[0] in "DFS" and int(e[2]) > 0)
    lost = Counter(StepRun.parse(e[1]) for e in events if e[0] == "lost")
    for at, n in times.items():
        life.demand(n == 1 + min(lost[at], 3), f"L7: {at} was dispatched {n} times and lost {lost[at]} times")
        life.demand(lost[at] <= track.losses[at], f"{at} was lost {lost[at]} times, harmed {track.losses[at]} times")
    life.demand(not (stopped and not is_partial and goes_on(events)), "a stopped run was dispatched from")
    life.demand(stopped or set(times) == set(ended), "L7: a dispatch without an end, or an end without a dispatch")
    life.demand(all(n == 1 for n in ended.values()), "L7: a step run ended twice")


def goes_on(events: list[list[str]]) -> bool:
    """Whether something is dispatched for the first time after the run began to fail."""
    is_failing, known = False, set[str]()
    for word, *rest in events:
        is_failing |= word == "run" and rest[0] == "failing"
        if word == "Q" and is_failing and rest[0] not in known:
            return True
        known |= {rest[0]} if word == "Q" else set()
    return False


def compare_empty(life: Life) -> None:
    """After the purge only what belongs to the queue itself is there (I16), and the plain jobs that ended."""
    left = leaks(life.execute.connection, life.queue)
    if life.published:
        left = [name for name in left if ":job:plain" not in name and not name.endswith((":completed", ":failed"))]
    if "I10" in life.faults:
        left = [name for name in left if not name.endswith(":shared:inflight")]
    life.demand(not left, f"I16: left behind after the purge: {left[:8]}")
