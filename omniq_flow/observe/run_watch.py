"""A run as a screen shows it: its picture, its newest events, and one step looked at closely. Three round trips.

What a tick has learnt is asked about by the next one: the jobs of a step are those of its newest dispatches as the picture
before this one told them, and so is who holds slots. So they are shown one tick late, and a tick never waits for its own
answers. `look_closely` looks twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from omniq_flow.client.client import Client
from omniq_flow.model.names import FlowJobId, StepRun
from omniq_flow.model.routes import lists_between
from omniq_flow.model.runs import Fact, Failure
from omniq_flow.model.states import Lane, StepState
from omniq_flow.observe.audit import Steering, newest
from omniq_flow.observe.notes import note_of
from omniq_flow.observe.reading import RunReader
from omniq_flow.observe.run_log import LogLine, log_lines
from omniq_flow.observe.server_state import UNKNOWN, ServerState, ServerWatch
from omniq_flow.observe.snapshot import RunSnapshot
from omniq_flow.ops import keys, lanes
from omniq_flow.ops.admin import is_paused
from omniq_flow.ops.command import Operation, Query, number, text
from omniq_flow.ops.lanes import GroupNumbers
from omniq_flow.ops.runs import INPUT, HistoryEntry, run_facts, run_history, run_outputs
from omniq_flow.ops.steering import PauseNote

EVENTS = 200
LOG_LINES = 300
MEMBERS = 60
"""So many elements of a map are looked at at once."""
MOST_JOBS = 40
MOST_WORKERS = 10
"""So many workers of the queue are asked what they serve and how busy they are."""
LANE_HEAD = 30
"""So many jobs at the head of each lane are looked at: those of this run, and those that hold slots of its group."""


NO_GROUP = GroupNumbers(0, None)


@dataclass(frozen=True, slots=True)
class JobPlace:
    """Where the job of a step run stands; `state` is empty if there is no such job. Times in epoch ms."""

    state: str = ""
    attempt: int = 0
    max_attempts: int = 0
    due_ms: int = 0
    lock_until_ms: int = 0
    started_ms: int = 0
    last_error: str = ""
    worker: str = ""
    """Who leased it, where that is known."""
    lease_ms: int = 0

    @property
    def beat_ms(self) -> int:
        """When its lease began or was extended last; 0 if it is not known."""
        return self.lock_until_ms - self.lease_ms if self.state == Lane.ACTIVE and self.lease_ms else 0


@dataclass(frozen=True, slots=True)
class Member:
    """One step run of the step that is looked at: its state, its job if one is under way, why it failed.

    In a map within a map it may stand for a list of elements: `elements` is how many that list has, -1 for a step run itself,
    and `fact` is then the list's.
    """

    step_run: StepRun
    fact: Fact
    job: JobPlace = JobPlace()
    failure: Failure | None = None
    elements: int = -1


@dataclass(frozen=True, slots=True)
class Close:
    """What is looked at closely: a step, those of its elements from `offset` on, and what decides when they go on."""

    step: str = ""
    members: tuple[Member, ...] = ()
    offset: int = 0
    group: GroupNumbers = NO_GROUP
    is_paused: bool = False
    workers: int = 0
    without_code: tuple[str, ...] = ()
    """Workers of the queue that do not serve this step, of the ten that were asked."""
    at_ms: int = 0
    output: str | None = None
    """The stored output of a step that runs once, as JSON; None if it has none."""
    within: tuple[int, ...] = ()
    """The list, within a map of maps, whose elements are looked at."""
    total: int = 0
    """How many elements that list has."""
    element: StepRun | None = None
    """The one element that is looked at, if only one is."""
    needs: tuple[tuple[StepRun, Fact], ...] = ()
    """What that element takes its inputs from, as far as that is single step runs."""
    others: tuple[Member, ...] = ()
    """Further step runs of the step that are under way, as the heads of the lanes tell."""
    under_way: tuple[StepRun, ...] = ()
    """Step runs of any step that are under way, as the heads of the lanes tell."""
    holders: tuple[str, ...] = ()
    """Jobs that hold slots of the run's group, of those that are worked and whose leases end first."""
    present: tuple[str, ...] = ()
    slots: tuple[int, int] = (0, 0)
    """How many slots of the workers that were asked are busy, and how many they have."""
    pause: PauseNote | None = None
    cancel: Steering | None = None
    server: ServerState = UNKNOWN


@dataclass(frozen=True, slots=True)
class RunView:
    """Everything that the screen of a run shows."""

    snapshot: RunSnapshot
    events: tuple[HistoryEntry, ...] = ()
    close: Close = Close()
    log: tuple[LogLine, ...] = ()
    input: str | None = None


@dataclass(frozen=True, slots=True)
class Focus:
    """What of a run is wanted besides its picture. `within` names a list of a map of maps, `most` bounds the elements."""

    step: str = ""
    offset: int = 0
    with_log: bool = False
    with_input: bool = False
    within: tuple[int, ...] = ()
    most: int = MEMBERS

    @classmethod
    def on(cls, step_run: StepRun) -> Focus:
        """One element alone, or a whole step."""
        *within, at = step_run.index or (0,)
        return cls(step_run.step, at, within=tuple(within), most=1 if step_run.index else MEMBERS)


class RunWatch:
    """Looks at one run again and again."""

    def __init__(self, queue: str, run_id: str) -> None:
        self.queue = queue
        self.run_id = run_id
        self._reader: RunReader | None = None
        self._rev = 0
        self._server = ServerWatch()
        self._jobs: dict[str, int] = {}
        self._workers: tuple[str, ...] = ()
        self._own: tuple[FlowJobId, ...] = ()
        self._active: tuple[str, ...] = ()

    def read(self, client: Client, focus: Focus) -> RunView:
        """The run now; the step is the first one of the plan if `focus` names none that is there."""
        reader = self._reader = self._reader or RunReader(client, self.queue, self.run_id)
        snapshot = reader.read(self._rev)
        self._rev = snapshot.header.rev
        return _Look(self, snapshot, focus).view(client)


def look_closely(client: Client, queue: str, run_id: str, focus: Focus) -> RunView:
    """The run with its step as it is now."""
    watch = RunWatch(queue, run_id)
    watch.read(client, focus)
    return watch.read(client, focus)


class _Look:
    """One tick: what is asked for by name, and what is made of the answers."""

    def __init__(self, watch: RunWatch, snapshot: RunSnapshot, focus: Focus) -> None:
        self.watch, self.snapshot, self.focus = watch, snapshot, focus
        self.step = focus.step if focus.step in snapshot.plan.by_name else snapshot.plan.steps[0].name
        tally = snapshot.step(self.step)
        self.depth = len(tally.level)
        self.within = focus.within[: max(self.depth - 1, 0)]
        self.is_inner = self.depth <= len(self.within) + 1
        self.ids = [run.id for run in self._runs(tally.total if self.depth == 1 else focus.offset + focus.most)]
        self.element = StepRun.parse(self.ids[0]) if focus.most == 1 and self.depth and self.is_inner and self.ids else None
        self.sources = [run for run in needs_of(snapshot, self.element) if is_single(snapshot, run)] if self.element else []

    def _runs(self, end: int) -> list[StepRun]:
        """The rows of the step: its elements in a list, or in a map of maps the lists that stand for theirs."""
        if not self.depth:
            return [StepRun(self.step)]
        at = range(self.focus.offset, min(self.focus.offset + self.focus.most, end))
        name = self.step if self.is_inner else self.snapshot.step(self.step).level[len(self.within) + 1]
        return [StepRun(name, (*self.within, n)) for n in at]

    def view(self, client: Client) -> RunView:
        watch, focus = self.watch, self.focus
        asked = self._asked()
        server, answers = watch._server.execute_all(client, list(asked.values()))
        got = dict(zip(asked, answers, strict=True))
        events, now_ms = got["history"], got["time"]
        present = tuple(name for name, until in got["workers"] if until > now_ms)
        facts: dict[str, Fact] = dict(zip(self.ids, got.get("facts", ()), strict=True))
        own = dict(zip((job.step_run.id for job in watch._own), got.get("own", ()), strict=True))
        members = self._members(got, facts)
        shown = {m.step_run for m in members}
        waiting = [job for job in watch._own if _is_now(job, own)]
        others = [
            Member(job.step_run, own[job.step_run.id], got.get(("job", str(job)), JobPlace()))
            for job in waiting
            if job.step_run.step == self.step and job.step_run not in shown
        ]
        asked_workers = [name for name in watch._workers if name in present and got["worker", name]]
        fields = {name: got["worker", name] for name in asked_workers}
        close = Close(
            self.step,
            tuple(members),
            focus.offset,
            got["group"],
            got["paused"],
            len(present),
            tuple(name for name, told in fields.items() if not _serves(told, self.snapshot.header.flow, self.step)),
            now_ms,
            _output(got["outputs"][0]) if not self.depth and self.ids else None,
            self.within,
            self._total(got),
            self.element,
            tuple(zip(self.sources, got.get("sources", ()), strict=True)),
            () if self.element else tuple(others),
            tuple(job.step_run for job in waiting),
            tuple(job_id for job_id in watch._active if self._holds(job_id, got)),
            present,
            (sum(number(f.get("busy")) for f in fields.values()), sum(number(f.get("concurrency")) for f in fields.values())),
            note_of(got["note"]) if got["paused"] else None,
            newest(events, "cancel"),
            server,
        )
        self._learn(got, facts, present)
        return RunView(self.snapshot, tuple(events), close, tuple(got["log"]) if focus.with_log else (), got["input"])

    def _asked(self) -> dict[Any, Operation]:
        watch, queue, run_id, header = self.watch, self.watch.queue, self.watch.run_id, self.snapshot.header
        asked: dict[Any, Operation] = {
            "history": run_history(queue, run_id, -EVENTS),
            "time": lanes.server_time(),
            "paused": is_paused(queue),
            "note": lanes.pause_note(queue),
            "workers": lanes.present_workers(queue),
            "group": lanes.group_numbers(queue, header.gid),
            "log": log_lines(queue, run_id, LOG_LINES if self.focus.with_log else 1),
            "input": _input(queue, run_id, self.focus.with_input),
            "active": lanes.lane_ids(queue, "active", 0, LANE_HEAD),
            "delayed": lanes.lane_ids(queue, "delayed", 0, LANE_HEAD),
            "waiting": lanes.lane_ids(queue, "gwait", 0, LANE_HEAD, header.gid),
        }
        if self.ids:
            asked |= {"facts": run_facts(queue, run_id, tuple(self.ids)), "outputs": run_outputs(queue, run_id, tuple(self.ids))}
        if self.depth:
            asked["list"] = run_facts(queue, run_id, (self._list().id,))
        if self.sources:
            asked["sources"] = run_facts(queue, run_id, tuple(run.id for run in self.sources))
        if watch._own:
            asked["own"] = run_facts(queue, run_id, tuple(job.step_run.id for job in watch._own))
        asked |= {("worker", name): lanes.worker_fields(queue, name) for name in watch._workers}
        asked |= {("job", job_id): _job(queue, job_id) for job_id in self._job_ids()}
        if header.gid != run_id:
            theirs = [job_id for job_id in watch._active if not _is_of(job_id, run_id)]
            asked |= {("gid", job_id): lanes.job_group(queue, job_id) for job_id in theirs}
        return asked

    def _job_ids(self) -> list[str]:
        """The jobs of this step: those of the rows that are shown, then others that the lanes tell of."""
        shown = [str(FlowJobId(self.watch.run_id, StepRun.parse(i), epoch)) for i in self.ids if (epoch := self.watch._jobs.get(i))]
        told = [str(job) for job in self.watch._own if job.step_run.step == self.step]
        return list(dict.fromkeys([*shown, *told]))[:MOST_JOBS]

    def _list(self) -> StepRun:
        """The list whose elements the rows are."""
        return StepRun(self.snapshot.step(self.step).level[len(self.within)], self.within)

    def _total(self, got: dict[Any, Any]) -> int:
        """How many rows there are in all."""
        if not self.depth:
            return 1
        (fact,) = got["list"]
        return self.snapshot.step(self.step).total if self.depth == 1 else fact.length

    def _members(self, got: dict[Any, Any], facts: dict[str, Fact]) -> list[Member]:
        places = {FlowJobId.parse(key[1]): place for key, place in got.items() if isinstance(key, tuple) and key[0] == "job"}
        by_id = {job.step_run.id: place for job, place in places.items() if job}
        total = self._total(got)
        rows = [(i, facts[i], raw) for i, raw in zip(self.ids, got.get("outputs", ()), strict=True)]
        if not self.is_inner:
            lists = [(StepRun(self.step, StepRun.parse(i).index), fact) for i, fact, _ in rows]
            return [Member(run, fact, elements=fact.length) for run, fact in lists if run.index[-1] < total]
        return [_member(i, fact, raw, by_id) for i, fact, raw in rows if not self.depth or StepRun.parse(i).index[-1] < total]

    def _holds(self, job_id: str, got: dict[Any, Any]) -> bool:
        header = self.snapshot.header
        return _is_of(job_id, header.run_id) or (header.gid != header.run_id and got["gid", job_id] == header.gid)

    def _learn(self, got: dict[Any, Any], facts: dict[str, Fact], present: tuple[str, ...]) -> None:
        """What the next tick asks about."""
        watch = self.watch
        watch._jobs = {i: fact.epoch for i, fact in facts.items() if fact.state is StepState.QUEUED} if self.is_inner else {}
        watch._workers = present[:MOST_WORKERS]
        watch._active = tuple(got["active"])
        every = map(FlowJobId.parse, (*got["active"], *got["delayed"], *got["waiting"]))
        newest_ = {job.step_run: job for job in every if job is not None and job.run_id == watch.run_id}
        watch._own = tuple(newest_.values())


def needs_of(snapshot: RunSnapshot, step_run: StepRun | None) -> Iterable[StepRun]:
    """What a step run takes its inputs from; with fewer indices than its step has levels it stands for a whole list of it."""
    if step_run is None:
        return ()
    consumer = snapshot.plan.by_name[step_run.step]
    found = []
    for i in consumer.inputs:
        if i.is_edge:
            producer = snapshot.plan.by_name[i.step]
            found.append(StepRun(i.step, step_run.index[: producer.depth - lists_between(i, producer.level, consumer.level)]))
    return dict.fromkeys(found)


def is_single(snapshot: RunSnapshot, run: StepRun) -> bool:
    """Whether it is one step run, not all elements of a list."""
    return len(run.index) == snapshot.plan.by_name[run.step].depth


def _member(step_run_id: str, fact: Fact, raw: bytes | None, jobs: dict[str, JobPlace]) -> Member:
    failure = Failure.parse(raw[1:]) if fact.state is StepState.FAILED and raw and raw[:1] == b"!" else None
    place = jobs.get(step_run_id, JobPlace()) if fact.state is StepState.QUEUED else JobPlace()
    return Member(StepRun.parse(step_run_id), fact, place, failure)


def _is_now(job: FlowJobId, facts: dict[str, Fact]) -> bool:
    """Whether the run waits for this very job."""
    fact = facts[job.step_run.id]
    return fact.state is StepState.QUEUED and fact.epoch == job.epoch


def _is_of(job_id: str, run_id: str) -> bool:
    return job_id.startswith(f"f.{run_id}.")


def _job(queue: str, job_id: str) -> Query[JobPlace]:
    fields = ("state", "attempt", "max_attempts", "due_ms", "lock_until_ms", "last_started_ms", "last_error")
    more = ("timeout_ms", "lease_token", "flow_worker")

    def parse(reply: Any) -> JobPlace:
        if all(value is None for value in reply):
            return JobPlace()
        state, attempt, most, due, lock, started, error, lease, token, note = reply
        held_by, _, worker = text(note).partition(" ")
        times = (number(attempt), number(most), number(due), number(lock), number(started))
        return JobPlace(text(state), *times, text(error), worker if held_by == text(token) else "", number(lease))

    return Query(("HMGET", keys.job(queue, job_id), *fields, *more), parse)


def _serves(fields: dict[str, str], flow: str, step: str) -> bool:
    """Whether a worker says that it has code for a step; one that says nothing that can be read counts as having it."""
    try:
        served = json.loads(fields.get("serves", ""))
        return step in served.get(flow, ())
    except (ValueError, AttributeError, TypeError):
        return True


def _output(raw: bytes | None) -> str | None:
    """A stored value for people: the JSON itself, or what it is if it lives elsewhere."""
    if not raw:
        return None
    kind, rest = raw[:1], text(raw[1:])
    return {b"=": rest, b"@": "(a large value, stored apart)", b"#": f"(a list of {rest.partition(':')[2]})"}.get(kind)


def _input(queue: str, run_id: str, is_wanted: bool) -> Query[str | None]:
    def parse(reply: Any) -> str | None:
        if not is_wanted or reply is None:
            return None
        return text(reply[1:]) if reply[:1] == b"=" else text(reply)

    return Query(("HGET", keys.outputs(queue, run_id), INPUT if is_wanted else ":"), parse)
