"""The life of a queue with a few runs on it: workers that take, settle, stall, crash and come back, under a clock of its own.

Everything follows from the seed. What the scripts answer is checked as it comes (codes, leases, inputs); what must
hold between scripts is checked after each of them, in full at every `CHECK_EVERY`th; `compare` says how it must end.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import Plan
from omniq_flow.model.runs import Fact, RunHeader
from omniq_flow.ops import runs
from omniq_flow.ops.command import Command
from omniq_flow.ops.ticks import Taken
from tests.invariants.checker import check
from tests.invariants.snapshot import Snapshot
from tests.oracle.executor import Executor
from tests.oracle.flows import random_plan
from tests.oracle.reading import Reader
from tests.oracle.recursion import Oracle
from tests.oracle.world import Outcome, World, digest

T = TypeVar("T")

START_MS = 1_800_000_000_000
CHECK_EVERY = 7
CALM_AFTER = 120
MOST_STEPS = 3_000
ITEM_UNITS = 8
DEFAULT_BUDGET = 256
SYSTEM_FAILURES = {"LeaseLost", "JobLost", "JobFailed", "CompletedOutside", "JobRemoved"}
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Violation(AssertionError):
    """Something that must hold does not."""


@dataclass
class Held:
    """A lease as the worker that took it sees it."""

    taken: Taken
    outcome: Outcome
    is_clean: bool = True


@dataclass(frozen=True)
class Wanted:
    """A retry that is about to be sent: these failures only, and these steps again."""

    only: frozenset[StepRun] = frozenset()
    redo: tuple[str, ...] = ()


@dataclass
class Track:
    """What the oracle knows of one run."""

    plan: Plan
    run_id: str
    given: bytes
    key: str
    gid: str
    oracle: Oracle
    reader: Reader
    is_started: bool = False
    is_purged: bool = False
    is_cancelled: bool = False
    """Whether this life of it was cancelled."""
    header: RunHeader | None = None
    ended: dict[StepRun, str] = field(default_factory=dict)
    suspects: set[StepRun] = field(default_factory=set)
    losses: Counter[StepRun] = field(default_factory=Counter)
    outside: set[StepRun] = field(default_factory=set)
    facts: dict[StepRun, Fact] = field(default_factory=dict)
    """As they were when the run ended last."""
    wanted: Wanted | None = None
    asked: set[tuple[StepRun, int]] = field(default_factory=set)
    """Failures whose jobs were asked for since this life began."""

    @property
    def is_over(self) -> bool:
        return self.header is not None and self.header.state.is_ended


@dataclass
class Worker:
    name: str
    held: list[Held] = field(default_factory=list)
    beats: int = 0


class Life:
    """One queue from empty to empty. `chaos` is how often something goes wrong; `full` checks after every script."""

    def __init__(
        self, execute: Executor, seed: int, queue: str, *, chaos: float | None = None, flows: int = 0, most: int = 11, full: bool = False
    ) -> None:
        rng = random.Random(seed)
        self.execute, self.seed, self.rng, self.queue, self.full = execute, seed, rng, queue, full
        self.now = START_MS
        self.chaos = rng.choice((0.0, 0.08, 0.25)) if chaos is None else chaos
        self.budget = rng.choice((1, 2, 3, 4, 0, 0))
        self.workers = [Worker(f"w{n}") for n in range(rng.randint(1, 3))]
        self.zombies: list[Held] = []
        self.attempts: Counter[str] = Counter()
        self.log: deque[str] = deque(maxlen=160)
        self.stats: Counter[str] = Counter()
        self.scripts = 0
        self.published: set[str] = set()
        self.faults: set[str] = set()
        self.cancels = rng.random() < 0.3
        self.harm = rng.choice(("", "", "clean", "rough")) if self.chaos else ""
        self.to_sweep: list[str] = []
        self.next_ms = 0
        shared = rng.random() < 0.3
        self.tracks = [
            self._track(n, most, "shared" if shared and rng.random() < 0.7 else "") for n in range(flows or rng.choice((1, 1, 2, 3)))
        ]

    def _track(self, n: int, most: int, gid: str) -> Track:
        rng = self.rng
        plan = random_plan(rng, f"flow{n}", self.queue, most=most)
        run_id = "".join(rng.choice(CROCKFORD) for _ in range(26))
        lengths = rng.choice(((0, 1, 1, 2, 3, 5), (0, 1, 1, 2, 3, 5), (1, 2, 4), (0, 0, 1, 9)))
        world = World(plan, digest(self.seed, n), rng.choice((0, 0.05, 0.2)), rng.choice((0, 0.05, 0.2, 0.5)), lengths)
        given = b'{"n":%d,"empty":[]}' % n if rng.random() < 0.9 else b'"' + b"i" * 70_000 + b'"'
        key = f"key{n}" if rng.random() < 0.3 else ""
        return Track(plan, run_id, given, key, gid or run_id, Oracle(plan, world, given), Reader(self.execute, plan, run_id))

    # -- talking to the scripts ---------------------------------------------------------

    def call(self, what: str, op: Command[T], *, items: int = 0, closed: int = 0, may_make: int | None = None) -> T:
        """Run one script and check what must hold after any."""
        self.scripts += 1
        self.log.append(f"{self.scripts} +{self.now - START_MS} {what}")
        try:
            reply = self.execute(op)
        except Exception as fault:
            raise Violation(f"{what}: {type(fault).__name__}: {fault}") from fault
        budget = self.budget or DEFAULT_BUDGET
        self.look(budget + min(ITEM_UNITS, budget) * items if may_make is None else may_make, closed)
        return reply

    def look(self, may_make: int, closed: int) -> None:
        """Check the headers after a script, all keys now and then."""
        started = [t for t in self.tracks if t.is_started and not t.is_purged]
        made, ended = closed, []
        for track in started:
            before, now = track.header, self.execute(runs.run_header(self.queue, track.run_id))
            was_over, is_again = before is not None and before.state.is_ended, False
            if before is not None:
                self.demand(now.rev >= before.rev and now.epoch >= before.epoch, f"{track.run_id}: rev or epoch fell")
                is_again = was_over and now.epoch > before.epoch
                self.demand(not was_over or is_again or now.state == before.state, f"{track.run_id} went on after its end")
            self.demand(now.open >= 0, f"{track.run_id}: open is {now.open}")
            made += now.open - (before.open if before else 0)
            track.header = now
            if is_again:
                lives.begin(self, track)
            if now.state.is_ended and (is_again or not was_over):
                ended.append(track)
        self.demand(made <= may_make, f"L6: one script made {made} jobs, {may_make} is the most")
        self._learn_of_failures(started)
        for track in ended:
            lives.end(self, track)
        if self.full or self.scripts % CHECK_EVERY == 0:
            self.check_all()

    def check_all(self) -> None:
        snapshot = Snapshot.read(self.execute.connection, self.queue, self.now)
        for track in self.tracks:
            if run := snapshot.runs.get(track.run_id):
                self._check_windows(track.plan, run.tallies)
        found = check(snapshot)
        found = [f for f in found if f.partition(":")[0] not in self.faults]
        self.demand(not found, "; ".join(found[:6]))
        self.stats["full checks"] += 1

    def _check_windows(self, plan: Plan, tallies: Mapping[str, int]) -> None:
        """L6: of each step that can wait at once inside a list no more jobs are open than its window and a script's budget."""
        for step in plan.steps:
            inside = sum(1 for s in plan.steps if step.name in s.level)
            most = (plan.window + (self.budget or DEFAULT_BUDGET)) * inside
            self.demand(tallies.get(f"{step.name}:i", 0) <= most, f"L6: {tallies.get(f'{step.name}:i')} jobs are open inside {step.name}")

    def demand(self, holds: bool, what: str) -> None:
        if not holds:
            raise Violation(what)

    def _learn_of_failures(self, started: list[Track]) -> None:
        """A step run whose job was harmed may have failed without a word of its handler: rightly so?"""
        for track in started:
            if not track.suspects:
                continue
            suspects = sorted(track.suspects)
            ids = tuple(s.id for s in suspects)
            facts = self.execute(runs.run_facts(self.queue, track.run_id, ids))
            outputs = self.execute(runs.run_outputs(self.queue, track.run_id, ids))
            for at, fact, output in zip(suspects, facts, outputs, strict=True):
                if fact.state.is_final:
                    track.suspects.discard(at)
                    if output and output[:1] == b"!" and at not in track.ended:
                        self._force(track, at, fact.epoch, output.decode())

    def _force(self, track: Track, at: StepRun, epoch: int, failure: str) -> None:
        kind = failure.partition('"type":"')[2].partition('"')[0]
        self.demand(kind in SYSTEM_FAILURES, f"{at} failed by itself: {failure}")
        most = track.plan.by_name[at.step].options.attempts
        if kind == "LeaseLost":
            self.demand(self.attempts[f"f.{track.run_id}.{at.id}.{epoch}"] == most, f"{at} gave up early: {failure}")
        elif kind == "JobLost":
            self.demand(track.losses[at] >= 4, f"{at} was lost {track.losses[at]} times only: {failure}")
        else:
            self.demand(at in track.outside, f"nobody ended {at} outside: {failure}")
        track.ended[at] = "F"
        track.oracle.force(at)
        self.stats["failed by the system"] += 1

    # -- what goes on ---------------------------------------------------------------------

    def live(self) -> Counter[str]:
        """The whole life; returns what was done."""
        chaos = self.chaos
        while True:
            self._work()
            deeds.settle_down(self)
            if all(t.is_over for t in self.tracks):
                # What foreign clients broke is healed by now, except figures that are nobody's truth and slots that nobody waits for.
                self.faults -= {"I4", "I5", "I11"}
                self.check_all()
                for track in self.tracks:
                    lives.nothing_is_asked(self, track)
                goes_on = lives.retry_some(self)
                if not again.rerun_some(self) and not goes_on:
                    break
            self.chaos = chaos
        for track in self.tracks:
            self.demand(deeds.all_facts(self, track) == track.facts, f"{track.run_id} changed after its end")
        deeds.purge(self)
        compare_empty(self)
        self.stats.update({"flows": len(self.tracks), "lives": 1, "scripts": self.scripts})
        return self.stats

    def _work(self) -> None:
        """Until every run has ended."""
        for n in range(MOST_STEPS):
            if all(t.is_over for t in self.tracks):
                return
            if n >= CALM_AFTER:
                self.chaos = 0.0
            if not any(deed(self) for deed in damage.DEEDS):
                deeds.go_on(self)
        raise Violation(f"stuck: {[(t.run_id, t.header) for t in self.tracks if not t.is_over]}")

    def track_of(self, run_id: str) -> Track:
        return next(t for t in self.tracks if t.run_id == run_id)

    def note(self, what: str) -> None:
        self.log.append(f"    {what}")

    def tail(self) -> str:
        return "\n".join(self.log)

    def any_of(self, items: list[Any]) -> Any:
        return self.rng.choice(items) if items else None


# These know what a life is; a life knows them by what they do to it.
from tests.oracle import again, damage, deeds, lives  # noqa: E402
from tests.oracle.compare import compare_empty  # noqa: E402
