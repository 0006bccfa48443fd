"""A run as a screen shows it: its picture, its newest events, and one step looked at closely. Three round trips.

The jobs of a step are those of its newest dispatches as the picture before this one told them: so a job is shown one
tick late, and a tick never waits for its own answers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from omniq_flow.client.client import Client
from omniq_flow.model.names import FlowJobId, StepRun
from omniq_flow.model.runs import Fact, Failure
from omniq_flow.model.states import StepState
from omniq_flow.observe.reading import RunReader
from omniq_flow.observe.run_log import LogLine, log_lines
from omniq_flow.observe.snapshot import RunSnapshot
from omniq_flow.ops import keys, lanes
from omniq_flow.ops.admin import is_paused
from omniq_flow.ops.command import Operation, Query, number, text
from omniq_flow.ops.lanes import GroupNumbers
from omniq_flow.ops.runs import INPUT, HistoryEntry, run_facts, run_history, run_outputs

EVENTS = 200
LOG_LINES = 300
MEMBERS = 60
"""So many elements of a map are looked at at once."""
MOST_JOBS = 40
MOST_WORKERS = 10
"""So many workers of the queue are asked whether they have code for the step."""


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


@dataclass(frozen=True, slots=True)
class Member:
    """One step run of the step that is looked at: its state, its job if one is under way, why it failed."""

    step_run: StepRun
    fact: Fact
    job: JobPlace = JobPlace()
    failure: Failure | None = None


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
    """Workers of the queue that do not serve this step."""
    at_ms: int = 0
    output: str | None = None
    """The stored output of a step that runs once, as JSON; None if it has none."""


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
    """What of a run is wanted besides its picture."""

    step: str = ""
    offset: int = 0
    with_log: bool = False
    with_input: bool = False


class RunWatch:
    """Looks at one run again and again."""

    def __init__(self, queue: str, run_id: str) -> None:
        self.queue = queue
        self.run_id = run_id
        self._reader: RunReader | None = None
        self._rev = 0
        self._snapshot: RunSnapshot | None = None
        self._jobs: dict[str, int] = {}
        self._workers: tuple[str, ...] = ()

    def read(self, client: Client, focus: Focus) -> RunView:
        """The run now; the step is the first one of the plan if `focus` names none that is there."""
        reader = self._reader = self._reader or RunReader(client, self.queue, self.run_id)
        snapshot = reader.read(self._rev)
        self._rev = snapshot.header.rev
        step = focus.step if focus.step in snapshot.plan.by_name else snapshot.plan.steps[0].name
        ids = [run.id for run in member_runs(snapshot, step, focus.offset)]
        jobs = [job_id for i in ids if (job_id := self._job_id(i))][:MOST_JOBS]
        asked: list[Operation] = [
            run_history(self.queue, self.run_id, -EVENTS),
            lanes.server_time(),
            is_paused(self.queue),
            lanes.present_workers(self.queue),
            lanes.group_numbers(self.queue, snapshot.header.gid),
            log_lines(self.queue, self.run_id, LOG_LINES if focus.with_log else 1),
            _input(self.queue, self.run_id, focus.with_input),
            *((run_facts(self.queue, self.run_id, tuple(ids)), run_outputs(self.queue, self.run_id, tuple(ids))) if ids else ()),
            *(lanes.worker_fields(self.queue, name) for name in self._workers),
            *(lanes.job_fields(self.queue, job_id) for job_id in jobs),
        ]
        asked_workers = self._workers
        events, now_ms, paused, present, group, log, given, *rest = client.execute_all(asked)
        facts, outputs = rest[:2] if ids else ([], [])
        told = rest[2 if ids else 0 :]
        serving = dict(zip(asked_workers, told, strict=False))
        places = {FlowJobId.parse(i): _place(f) for i, f in zip(jobs, told[len(asked_workers) :], strict=True)}
        by_id = {job.step_run.id: place for job, place in places.items() if job}
        self._jobs = {i: fact.epoch for i, fact in zip(ids, facts, strict=True) if fact.state is StepState.QUEUED}
        members = [_member(i, fact, raw, by_id) for i, fact, raw in zip(ids, facts, outputs, strict=True)]
        output = _output(outputs[0]) if len(ids) == 1 and outputs else None
        names = tuple(name for name, until in present if until > now_ms)
        self._workers = names[:MOST_WORKERS]
        without = tuple(name for name in names if name in serving and not _serves(serving[name], snapshot.header.flow, step))
        close = Close(step, tuple(members), focus.offset, group, paused, len(names), without, now_ms, output)
        return RunView(snapshot, tuple(events), close, tuple(log) if focus.with_log else (), given)

    def _job_id(self, step_run_id: str) -> str:
        epoch = self._jobs.get(step_run_id)
        return str(FlowJobId(self.run_id, StepRun.parse(step_run_id), epoch)) if epoch else ""


def member_runs(snapshot: RunSnapshot, step: str, offset: int) -> list[StepRun]:
    """The step runs of a step, of a map those from `offset` on; none for lists within lists, whose lengths are stored elsewhere."""
    tally = snapshot.step(step)
    if not tally.is_map:
        return [StepRun(step)]
    if len(tally.level) > 1:
        return []
    return [StepRun(step, (n,)) for n in range(offset, min(offset + MEMBERS, tally.total))]


def _member(step_run_id: str, fact: Fact, raw: bytes | None, jobs: dict[str, JobPlace]) -> Member:
    failure = Failure.parse(raw[1:]) if fact.state is StepState.FAILED and raw and raw[:1] == b"!" else None
    place = jobs.get(step_run_id, JobPlace()) if fact.state is StepState.QUEUED else JobPlace()
    return Member(StepRun.parse(step_run_id), fact, place, failure)


def _place(fields: dict[str, str] | None) -> JobPlace:
    if fields is None:
        return JobPlace()
    attempt, most, due, lock, started = (
        number(fields[f]) for f in ("attempt", "max_attempts", "due_ms", "lock_until_ms", "last_started_ms")
    )
    return JobPlace(fields["state"], attempt, most, due, lock, started, fields["last_error"])


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
