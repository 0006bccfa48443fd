"""The counters of the runs that go on, one run at a time, plain ones beside them, and who is missing at one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omniq_flow.client.client import Client
from omniq_flow.errors import NotFound
from omniq_flow.observe.counters import Finding, Member, RunCounter, check_run, read_run_counter, run_counters
from omniq_flow.observe.plain_counters import MOST_LISTED, PlainCounter, PlainCounterReader, PlainCounters, read_counter
from omniq_flow.ops.runs import runs_of

MOST_RUNS = 100
MOST_QUEUES = 100
AT_ONCE = 10
"""A view is partial until so many runs were looked at."""


@dataclass(frozen=True, slots=True)
class CounterRow:
    """A counter, and what does not fit with it (empty: nothing)."""

    counter: RunCounter | PlainCounter
    fault: str = ""

    @property
    def id(self) -> str:
        c = self.counter
        return c.key if isinstance(c, PlainCounter) else f"{c.run_id}/{c.name}"

    @property
    def verdict(self) -> str:
        """A plain counter knows nothing of the jobs that it waits for."""
        if isinstance(self.counter, PlainCounter):
            return ""
        return "stuck" if self.fault else "ok"


@dataclass(frozen=True, slots=True)
class CounterView:
    """What is known so far. `members` are the missing ones of the counter `selected`, `reported` of a plain one those that are not;
    `trouble` says why there may be more plain ones than are shown."""

    rows: tuple[CounterRow, ...] = ()
    runs: int = 0
    looked_at: int = 0
    selected: str = ""
    members: tuple[Member, ...] = ()
    reported: tuple[str, ...] = ()
    trouble: str = ""
    at_ms: int = 0
    is_partial: bool = False
    """Whether it is worth while to look again at once."""


class CounterReader:
    """Looks at the runs or at one of them a tick, in turn. What is asked for by `check` and `look_at` reads more than a tick may."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], list[RunCounter]] = {}
        self._places: list[tuple[str, str]] = []
        self._faults: dict[str, str] = {}
        self._turn = 0
        self._to_check: list[tuple[str, str]] = []
        self._to_look_at: list[RunCounter | PlainCounter] = []
        self._plain_reader = PlainCounterReader()
        self._plain: PlainCounters | None = None

    def check(self, queue: str, run_id: str) -> None:
        """Have this run checked by the next read; may be called from another thread."""
        self._to_check.append((queue, run_id))

    def look_at(self, counter: RunCounter | PlainCounter) -> None:
        """Have the missing members of this counter read next, or who reported to it; may be called from another thread."""
        self._to_look_at = [counter]

    def read(self, client: Client, queues: Sequence[str]) -> CounterView:
        """What is known, and a little more than before."""
        self._turn += 1
        selected = ""
        members: tuple[Member, ...] = ()
        reported: tuple[str, ...] = ()
        if self._to_check:
            self._check(client, *self._to_check.pop())
        elif self._to_look_at:
            counter = self._to_look_at.pop()
            selected = CounterRow(counter).id
            if isinstance(counter, PlainCounter):
                reported = _reported(client, counter.key)
            else:
                members = _members(client, counter.queue, counter.run_id, counter.name)
        elif self._turn % 3 == 1:
            self._find(client, queues)
        elif self._turn % 3 == 2 and self._places:
            fresh = (p for p in self._places if p not in self._rows)
            place = next(fresh, self._places[self._turn // 3 % len(self._places)])
            self._rows[place] = _counters(client, *place)
        else:
            self._plain = self._plain_reader.read(client)
        plain = self._plain or PlainCounters()
        rows = [CounterRow(c, self._fault(c)) for place in self._places for c in self._rows.get(place, ())]
        rows.sort(key=lambda row: not row.fault)
        rows += map(CounterRow, plain.found[:MOST_LISTED])
        return CounterView(
            tuple(rows),
            len(self._places),
            len(self._rows),
            selected,
            members,
            reported,
            plain.trouble,
            plain.at_ms,
            is_partial=self._plain is None or len(self._rows) < min(len(self._places), AT_ONCE),
        )

    def _find(self, client: Client, queues: Sequence[str]) -> None:
        found = client.execute_all([runs_of(queue, "live", MOST_RUNS) for queue in queues[:MOST_QUEUES]]) if queues else []
        places = [(queue, run_id) for queue, ids in zip(queues, found, strict=False) for run_id in ids]
        self._places = sorted(places, key=lambda place: place[1], reverse=True)[:MOST_RUNS]
        self._rows = {place: self._rows[place] for place in self._places if place in self._rows}

    def _check(self, client: Client, queue: str, run_id: str) -> None:
        self._faults = {key: what for key, what in self._faults.items() if not key.startswith(run_id)}
        try:
            findings: list[Finding] = check_run(client, queue, run_id)
        except NotFound:
            return
        for finding in findings:
            self._faults.setdefault(f"{run_id}/{finding.counter}", finding.what)

    def _fault(self, c: RunCounter) -> str:
        if (known := self._faults.get(f"{c.run_id}/{c.name}")) is not None:
            return known
        if c.left > 0 and c.counted is None:
            return f"its record waits for {c.left}, the counter is gone"
        return ""


def _counters(client: Client, queue: str, run_id: str) -> list[RunCounter]:
    try:
        return [c for c in run_counters(client, queue, run_id) if c.left > 0]
    except NotFound:
        return []


def _members(client: Client, queue: str, run_id: str, name: str) -> tuple[Member, ...]:
    try:
        return tuple(read_run_counter(client, queue, run_id, name)[1])
    except NotFound:
        return ()


def _reported(client: Client, key: str) -> tuple[str, ...]:
    try:
        return read_counter(client, key).members
    except NotFound:
        return ()
