"""Counters of runs at one moment: who has reported, who is missing, and where the jobs of those are.

A **gate** counts the inputs of a step run, a **collection** the elements of a list. Both know their members from the plan, so
what is missing can be named and followed to its job. `check_run` compares each with its record and with the facts of the run
(I14, L3, L4).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from omniq_flow.client.client import Client
from omniq_flow.errors import NotFound
from omniq_flow.model.names import FlowJobId, StepRun
from omniq_flow.model.plan import Plan
from omniq_flow.model.routes import lists_between
from omniq_flow.model.runs import Fact, RunHeader
from omniq_flow.model.states import StepState
from omniq_flow.ops import counters, lanes
from omniq_flow.ops.command import Operation
from omniq_flow.ops.runs import plan_of, run_facts, run_header

MOST_MEMBERS = 1_000
"""So many members of a counter are named or compared."""
MOST_COUNTERS = 1_000
"""So many counters of a run are looked at."""
LONGEST_WALK = 20
"""So many steps back it is looked for what a pending step run waits for."""
READINGS = 5

Kind = Literal["gate", "collection"]


@dataclass(frozen=True, slots=True)
class RunCounter:
    """A gate or a collection of a run. `left` is what its record says, `counted` what the counter beside it says."""

    queue: str
    run_id: str
    name: str
    expected: int
    left: int
    counted: int | None = None
    done: int = 0
    failed: int = 0
    skipped: int = 0
    generation: int = field(default=0, repr=False)

    @property
    def kind(self) -> Kind:
        return "gate" if self.name.startswith("in:") else "collection"

    @property
    def of(self) -> StepRun:
        """The step run that a gate holds back; the step, and the list, whose elements a collection counts."""
        return StepRun.parse(self.name[3:])

    @property
    def base(self) -> str:
        return counters.run_counter_base(self.queue, self.run_id, self.generation, self.name)


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a counter of a run: what it stands for, and where that is.

    `step_run` is None where the member is a whole list. The job is its own, or that of the step run it waits for; `lane` is
    the job's state, empty if the job is gone.
    """

    name: str
    is_done: bool
    step_run: StepRun | None = None
    behind: str = ""
    """The collection that must be complete first, where the member is a whole list."""
    fact: Fact = Fact()
    waits_for: StepRun | None = None
    """The queued step run that a pending one waits for, as far as that is one."""
    job_id: str = ""
    lane: str = ""
    since_ms: int = 0

    @property
    def where(self) -> str:
        """Where it is, in words."""
        if self.step_run is None:
            return f"see {self.behind}"
        if not self.job_id:
            return self.fact.state.word
        return f"{f'waits for {self.waits_for}: ' if self.waits_for else ''}{self.lane or 'its job is gone'}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something of a run's counters that does not fit together."""

    queue: str
    run_id: str
    counter: str
    what: str


def run_counters(client: Client, queue: str, run_id: str) -> list[RunCounter]:
    """The counters of a run that wait for something; none of a run that has ended."""
    return _Reading.of(client, queue, run_id).counters


def read_run_counter(client: Client, queue: str, run_id: str, name: str) -> tuple[RunCounter, list[Member]]:
    """One counter of a run with its missing members, at most a thousand of them."""
    reading = _Reading.of(client, queue, run_id)
    found = next((counter for counter in reading.counters if counter.name == name), None)
    if found is None:
        raise NotFound(
            f"run {run_id} has no counter {name!r} that waits for something",
            where=f"queue {queue}",
            hint=f"omniq-flow counters list {run_id}",
        )
    return found, [member for member in reading.members(found) if not member.is_done]


def check_run(client: Client, queue: str, run_id: str) -> list[Finding]:
    """What does not fit together in the counters of a run, the records beside them and the facts.

    A run that moves is read again, and only what was found each time is told.
    """
    kept: dict[tuple[str, str], Finding] | None = None
    for _ in range(READINGS):
        reading = _Reading.of(client, queue, run_id)
        found = {(kind, f.counter): f for kind, f in reading.findings()}
        kept = found if kept is None else {key: f for key, f in found.items() if key in kept}
        if not kept or client.execute(run_header(queue, run_id)).rev == reading.header.rev:
            break
    return list((kept or {}).values())


@dataclass
class _Reading:
    """One look at the counters of a run."""

    client: Client
    header: RunHeader
    plan: Plan
    generation: int
    has_work: bool
    counters: list[RunCounter]

    @classmethod
    def of(cls, client: Client, queue: str, run_id: str) -> _Reading:
        header, work = client.execute_all([run_header(queue, run_id), counters.run_work(queue, run_id)])
        records, plan = client.execute_all(
            [counters.run_records(queue, run_id, work.generation, MOST_COUNTERS), plan_of(queue, header.plan_sha)]
        )
        reading = cls(client, header, plan, work.generation, work.is_left, [])
        reading.counters = reading._read(records)
        return reading

    def members(self, counter: RunCounter) -> list[Member]:
        """All members of a counter, the first thousand, with what they stand for."""
        members = self._gate_members(counter) if counter.kind == "gate" else self._collection_members(counter)
        done = self.client.execute(counters.are_done(counter.base, [name for name, _, _ in members])) if members else []
        facts = self._facts([step_run for _, step_run, _ in members if step_run is not None])
        rows = [
            Member(name, is_done, step_run, behind, facts[step_run] if step_run is not None else Fact())
            for (name, step_run, behind), is_done in zip(members, done, strict=True)
        ]
        return self._followed(rows)

    def findings(self) -> Iterable[tuple[str, Finding]]:
        """What does not fit, each with the kind of misfit."""
        if self.header.state.is_ended:
            return
        if self.header.open == 0 and not self.has_work:
            yield "still", self._finding("", "nothing is dispatched and no work is left, yet the run has not ended")
        for counter in self.counters:
            yield from self._misfits(counter)

    def _misfits(self, counter: RunCounter) -> Iterable[tuple[str, Finding]]:
        if counter.left != (counter.counted or 0):
            says = "is gone" if counter.counted is None else f"waits for {counter.counted}"
            yield "left", self._finding(counter.name, f"its record waits for {counter.left}, the counter {says}")
        if counter.left > 0 and counter.done != counter.expected - counter.left:
            yield (
                "done",
                self._finding(counter.name, f"{counter.expected - counter.left} have reported by its record, {counter.done} are noted"),
            )
        if counter.left == 0:
            return
        for member in self.members(counter):
            if member.step_run is None:
                continue
            if member.job_id and not member.lane and not member.waits_for:
                yield f"job {member.name}", self._finding(counter.name, f"{member.step_run} is queued and its job is gone")
            if member.is_done and not member.fact.state.is_final:
                yield f"early {member.name}", self._finding(counter.name, f"{member.step_run} has reported and is {member.fact.state.word}")
            if not member.is_done and member.fact.state.is_final and not self.has_work:
                yield (
                    f"late {member.name}",
                    self._finding(counter.name, f"{member.step_run} is {member.fact.state.word} and was not counted"),
                )

    def _finding(self, counter: str, what: str) -> Finding:
        return Finding(self.header.queue, self.header.run_id, counter, what)

    def _read(self, records: dict[str, str]) -> list[RunCounter]:
        found = [self._of_record(name, record) for name, record in sorted(records.items())]
        asked: list[Operation] = [op for c in found for op in (counters.left(c.base), counters.count_done(c.base))]
        answers = self.client.execute_all(asked) if asked else []
        return [_counted(c, left, done) for c, left, done in zip(found, answers[::2], answers[1::2], strict=True)]

    def _of_record(self, name: str, record: str) -> RunCounter:
        """A record is `left|flags|epoch|parked` of a gate, `size|left|failed|skipped|epoch` of a collection."""
        parts = record.split("|")
        place = (self.header.queue, self.header.run_id, name)
        if name.startswith("in:"):
            return RunCounter(*place, len(self._inputs(StepRun.parse(name[3:]))), int(parts[0]), generation=self.generation)
        size, left, failed, skipped = map(int, parts[:4])
        return RunCounter(*place, size, left, failed=failed, skipped=skipped, generation=self.generation)

    def _inputs(self, held: StepRun) -> list[tuple[str, str, int]]:
        """What a gate counts: parameter, producer, and how many lists lie between."""
        consumer, found = self.plan.by_name[held.step], []
        for i in consumer.inputs:
            if i.is_edge and i.kind != "each":
                producer = self.plan.by_name[i.step]
                up = lists_between(i, producer.level, consumer.level)
                if producer.depth - up == len(held.index):
                    found.append((i.param, i.step, up))
        return found

    def _gate_members(self, counter: RunCounter) -> list[tuple[str, StepRun | None, str]]:
        z = counter.of.index
        return [
            (param, None, f"of:{StepRun(step, z).id}") if up else (param, StepRun(step, z), "")
            for param, step, up in self._inputs(counter.of)
        ]

    def _collection_members(self, counter: RunCounter) -> list[tuple[str, StepRun | None, str]]:
        step, y = counter.of.step, counter.of.index
        is_inner = len(y) + 1 == self.plan.by_name[step].depth
        runs = [StepRun(step, (*y, n)) for n in range(min(counter.expected, MOST_MEMBERS))]
        return [(str(run.index[-1]), run, "") if is_inner else (str(run.index[-1]), None, f"of:{run.id}") for run in runs]

    def _followed(self, members: Sequence[Member]) -> list[Member]:
        """With the jobs that decide them next: their own, or those of what pending ones wait for."""
        queue, run_id = self.header.queue, self.header.run_id
        queued = {n: (m.step_run, m.fact) for n, m in enumerate(members) if m.step_run and m.fact.state is StepState.QUEUED}
        pending = {n: m.step_run for n, m in enumerate(members) if m.step_run and not m.is_done and m.fact.state is StepState.PENDING}
        blocking = self._blocking(pending)
        jobs = {n: str(FlowJobId(run_id, run, fact.epoch)) for n, (run, fact) in (queued | blocking).items()}
        asked = list(dict.fromkeys(jobs.values()))
        places = dict(
            zip(asked, self.client.execute_all([lanes.job_place(queue, job_id) for job_id in asked]) if asked else [], strict=True)
        )
        rows = list(members)
        for n, job_id in jobs.items():
            waits_for = blocking[n][0] if n in blocking else None
            rows[n] = replace(rows[n], waits_for=waits_for, job_id=job_id, lane=places[job_id][0], since_ms=places[job_id][1])
        return rows

    def _blocking(self, pending: dict[int, StepRun]) -> dict[int, tuple[StepRun, Fact]]:
        """For pending step runs the queued one that they wait for, found by walking the plan backwards."""
        found: dict[int, tuple[StepRun, Fact]] = {}
        for _ in range(LONGEST_WALK):
            sources = {n: self._sources(run) for n, run in pending.items()}
            wanted = list(dict.fromkeys(run for runs in sources.values() for run in runs))
            facts = self._facts(wanted)
            pending = {}
            for n, runs in sources.items():
                # One that is queued is a better answer than one that waits itself.
                open_ones = sorted(
                    (run for run in runs if not facts[run].state.is_final), key=lambda run: facts[run].state is StepState.PENDING
                )
                if open_ones and facts[open_ones[0]].state is StepState.QUEUED:
                    found[n] = (open_ones[0], facts[open_ones[0]])
                elif open_ones:
                    pending[n] = open_ones[0]
            if not pending:
                break
        return found

    def _sources(self, run: StepRun) -> list[StepRun]:
        """What a step run takes from single step runs."""
        step, found = self.plan.by_name[run.step], []
        for i in step.inputs:
            if i.is_edge:
                producer = self.plan.by_name[i.step]
                if not lists_between(i, producer.level, step.level):
                    found.append(StepRun(i.step, run.index[: producer.depth]))
        return found

    def _facts(self, runs: Sequence[StepRun]) -> dict[StepRun, Fact]:
        found: list[Fact] = []
        for at in range(0, len(runs), MOST_MEMBERS):
            ids = tuple(run.id for run in runs[at : at + MOST_MEMBERS])
            some: list[Fact] = self.client.execute(run_facts(self.header.queue, self.header.run_id, ids))
            found += some
        return dict(zip(runs, found, strict=True))


def _counted(counter: RunCounter, left: int | None, done: int) -> RunCounter:
    return replace(counter, counted=left, done=done)
