"""A long list of runs, a window at a time: what is visible is read, the rest is only counted.

The order is that of the ids, newest first. The ids of a queue are read again when the number of its runs or the one that
ended last has changed. What a run says of itself is remembered, so a search reads each of them once; those that go on and
those that did not succeed are read again in turn. Three round trips, 150 commands: a search takes several windows, each tells how
far it is.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from omniq_flow.client.client import Client
from omniq_flow.errors import NotFound
from omniq_flow.model.plan import Plan
from omniq_flow.model.runs import RunHeader
from omniq_flow.model.states import RunState
from omniq_flow.observe.run_query import InputFits, RunQuery
from omniq_flow.observe.snapshot import RunSummary, tally_steps
from omniq_flow.observe.sound import Unsound, damaged, read_sound, sound
from omniq_flow.ops import keys
from omniq_flow.ops.command import Operation, Query, number
from omniq_flow.ops.runs import INPUT, large_value, plan_of, run_header, run_outputs, run_tallies, runs_of

MOST_RUNS = 20_000
"""Of each queue, and each of those that go on and those that ended."""
SLICE = 2_000
"""So many runs are looked at by one piece of a search."""
BUDGET = 148
"""Commands of one window. What the visible runs leave of it goes to ended runs that are not known yet."""
CHECKED = 13
"""So many queues are asked with each window whether their runs have changed."""
AGAIN = 20
"""So many runs that did not succeed are read again with each window, and as many of the newest failures."""
MOST_FAILED = 20
"""So many of the newest failures are named."""
SEARCHING = 60
"""So many commands of a window belong to a search that is not through yet."""
INPUTS = 40
LARGE_INPUTS = 2
"""So many inputs are read with one window; a large one, from 64 KiB on, is a value of its own."""

_DAY_MS = 86_400_000
_CLEAN_MS = 60_000


@dataclass(frozen=True, slots=True)
class RunCounts:
    """How many runs there are. The last two count those that ended in the last 24 hours, as far as they are known."""

    open: int = 0
    ended: int = 0
    failed_day: int = 0
    done_day: int = 0


NONE = RunCounts()


@dataclass(frozen=True, slots=True)
class RunWindow:
    """Some of the runs that fit: those from `offset` on. `searched` of `length` were looked at."""

    rows: tuple[RunSummary, ...] = ()
    offset: int = 0
    total: int = 0
    searched: int = 0
    length: int = 0
    counts: RunCounts = NONE
    is_partial: bool = False
    """Whether some queues were not looked at yet, or totals are still missing."""
    failed: tuple[RunSummary, ...] = ()
    """The newest runs that failed in the last day."""
    every: tuple[RunHeader, ...] | None = None
    """All that fit among those that were searched, if they were asked for."""

    @property
    def is_whole(self) -> bool:
        return self.searched >= self.length


class RunList:
    """Reads windows; keep one for as long as the list is shown."""

    def __init__(self) -> None:
        self._stamps: dict[str, tuple[Any, ...]] = {}
        self._ids: dict[str, tuple[list[str], list[str]]] = {}
        self._live: list[tuple[str, str]] = []
        self._ended: list[tuple[str, str]] = []
        self._all: list[tuple[str, str]] = []
        self._plans: dict[tuple[str, str], Plan | None] = {}
        self._gone: set[tuple[str, str]] = set()
        self._known: dict[str, RunHeader] = {}
        self._going: dict[str, RunHeader] = {}
        self._absent: set[str] = set()
        self._inputs: dict[str, bool] = {}
        self._large: dict[str, int] = {}
        self._asked_of_inputs: tuple[InputFits, ...] = ()
        self._day: dict[str, RunHeader] = {}
        self._cleaned_ms = 0
        self._slices: dict[RunQuery, int] = {}
        self._goes_on = False

    def search_on(self) -> None:
        """Let the search look at one more slice when it is read next; may be called from another thread."""
        self._goes_on = True

    def read(
        self, client: Client, queues: Sequence[str], query: RunQuery, offset: int, count: int, *, now_ms: int = 0, with_all: bool = False
    ) -> RunWindow:
        """A window of at most `count` runs. A search looks at one slice, and at one more for each `search_on`.

        While it is not through that far the window is partial, and what it found so far is there.
        """
        left = BUDGET - self._index(client, queues)
        self._forget_old(now_ms)
        places, unknown = self._places(query), list[tuple[str, str]]()
        length = searched = len(places)
        if query.needs_headers or with_all:
            reach = places[: self._reach(query)]
            verdicts = [(place, self._verdict(query, place[1], now_ms)) for place in reach]
            unknown = [place for place, verdict in verdicts if verdict is None]
            places = [place for place, verdict in verdicts if verdict]
            searched = len(reach) - len(unknown)
        every = tuple(h for _, run_id in places if (h := self._header(run_id))) if with_all and not unknown else None
        offset = max(min(offset, len(places) - count), 0)
        found = self._look(client, query, places[offset : offset + count], unknown, left, now_ms)
        rows = [row for row in found if query.fits(row.header, now_ms)]
        total = len(places) - (len(found) - len(rows))
        is_partial = bool(unknown) or any(q not in self._ids for q in queues) or bool(self._missing_plans())
        return RunWindow(tuple(rows), offset, total, searched, length, self._counts(), is_partial, self._failed(), every)

    def _reach(self, query: RunQuery) -> int:
        slices = self._slices.get(query, 1) + (1 if self._goes_on else 0)
        self._slices, self._goes_on = {query: slices}, False
        if query.inputs != self._asked_of_inputs:
            self._asked_of_inputs, self._inputs, self._large = query.inputs, {}, {}
        return slices * SLICE

    def _header(self, run_id: str) -> RunHeader | None:
        return self._known.get(run_id) or self._going.get(run_id)

    def _verdict(self, query: RunQuery, run_id: str, now_ms: int) -> bool | None:
        """Whether a run fits; None while that is not known."""
        header = self._header(run_id)
        if header is None:
            return False if run_id in self._absent else None
        if not query.fits(header, now_ms):
            return False
        return self._inputs.get(run_id) if query.inputs else True

    def _places(self, query: RunQuery) -> list[tuple[str, str]]:
        if query.which == "open":
            return self._live
        if query.which == "ended":
            return self._ended
        return self._all

    def _index(self, client: Client, queues: Sequence[str]) -> int:
        """Read the ids of queues again whose numbers tell that they have changed; gives how many commands that took."""
        gone = [queue for queue in self._ids if queue not in queues]
        for queue in gone:
            del self._ids[queue], self._stamps[queue]
        turn = [*(q for q in queues if q not in self._stamps), *(q for q in self._stamps if q in queues)][:CHECKED]
        cards = client.execute_all([op for queue in turn for op in _cards(queue)]) if turn else []
        stamps = {queue: tuple(cards[3 * n : 3 * n + 3]) for n, queue in enumerate(turn)}
        changed = [queue for queue in turn if self._stamps.get(queue) != stamps[queue]]
        asked: list[Operation] = [op for q in changed for op in (runs_of(q, "live", MOST_RUNS), runs_of(q, "ended", MOST_RUNS))]
        found = client.execute_all(asked) if asked else []
        for queue in turn:
            # Whoever was asked goes to the end, so all get their turn.
            self._stamps.pop(queue, None)
            self._stamps[queue] = stamps[queue]
        for n, queue in enumerate(changed):
            self._ids[queue] = (found[2 * n], found[2 * n + 1])
        if changed or gone:
            self._sort()
        return len(cards) + len(asked)

    def _sort(self) -> None:
        self._live = sorted(((q, i) for q, (some, _) in self._ids.items() for i in some), key=_newest, reverse=True)
        self._ended = sorted(((q, i) for q, (_, some) in self._ids.items() for i in some), key=_newest, reverse=True)
        self._all = sorted({*self._live, *self._ended}, key=_newest, reverse=True)
        there, goes_on = {run_id for _, run_id in self._ended}, {run_id for _, run_id in self._live}
        self._known = {run_id: header for run_id, header in self._known.items() if run_id in there}
        self._day = {run_id: header for run_id, header in self._day.items() if run_id in there}
        self._going = {run_id: header for run_id, header in self._going.items() if run_id in goes_on and run_id not in there}
        self._absent = set()

    def _doubtful(self) -> list[tuple[str, str]]:
        """Ended runs that may have been retried: the newest failures, then those that were not read for longest."""
        oldest = (h for h in self._known.values() if h.state is not RunState.SUCCEEDED)
        return list(dict.fromkeys((h.queue, h.run_id) for h in (*(s.header for s in self._failed()), *islice(oldest, AGAIN))))

    def _look(
        self, client: Client, query: RunQuery, places: list[tuple[str, str]], unknown: Sequence[tuple[str, str]], left: int, now_ms: int
    ) -> list[RunSummary]:
        """The visible runs; besides what a search wants to know, and headers of some that are not known or are doubtful.

        A plan that is new comes with the next window.
        """
        plans = self._missing_plans()[:5]
        left -= len(plans)
        places = places[: (left - (SEARCHING if unknown else AGAIN if query.needs_headers else 0)) // 2]
        inputs = self._wanted_inputs(unknown)
        left -= 2 * len(places) + len(inputs)
        heads = [*places, *self._heads_behind(query, set(places), unknown, left)]
        asked: list[Query[Any]] = [_maybe(run_header(*p)) for p in heads]
        asked += [run_tallies(*p) for p in places]
        asked += [_maybe(plan_of(*key)) for key in plans]
        asked += inputs.values()
        answers = read_sound(client, asked)
        headers = _headers(heads, answers[: len(heads)])
        at = len(heads) + len(places)
        tallies = answers[len(heads) : at]
        self._plans.update(zip(plans, (sound(plan, None) for plan in answers[at : at + len(plans)]), strict=True))
        self._gone |= {key for key in plans if self._plans[key] is None}
        self._absent |= {run_id for (_, run_id), header in zip(heads, headers, strict=True) if header is None}
        self._note(headers, now_ms)
        self._note_inputs(query, inputs, answers[at + len(plans) :])
        return [self._summary(h, sound(t, {})) for h, t in zip(headers, tallies, strict=False) if h is not None]

    def _heads_behind(
        self, query: RunQuery, visible: set[tuple[str, str]], unknown: Sequence[tuple[str, str]], most: int
    ) -> list[tuple[str, str]]:
        """Whose headers are read besides those of the visible runs: what a search waits for, the doubtful ones, ended ones not known."""
        wanted = [p for p in unknown if self._header(p[1]) is None]
        going = [(h.queue, h.run_id) for h in islice(self._going.values(), AGAIN)] if query.needs_headers else []
        ended = islice((p for p in self._ended if p[1] not in self._known), most)
        found = dict.fromkeys((*wanted, *going, *self._doubtful(), *ended))
        return [p for p in found if p not in visible][:most]

    def _wanted_inputs(self, unknown: Sequence[tuple[str, str]]) -> dict[str, Query[Any]]:
        """How the inputs are read that the search wants to know next; large ones are read when it is known that they are."""
        small = [p for p in unknown if self._header(p[1]) is not None and p[1] not in self._large][:INPUTS]
        found: dict[str, Query[Any]] = {p[1]: run_outputs(*p, (INPUT,)) for p in small}
        large = [p for p in unknown if p[1] in self._large][:LARGE_INPUTS]
        return found | {p[1]: large_value(*p, INPUT, self._large[p[1]]) for p in large}

    def _note_inputs(self, query: RunQuery, asked: Iterable[str], answers: Sequence[Any]) -> None:
        for run_id, answer in zip(asked, answers, strict=True):
            raw = sound(answer, None)
            if run_id not in self._large and raw is not None:
                (raw,) = raw
                if raw is not None and raw[:1] == b"@":
                    self._large[run_id] = number(raw[1:])
                    continue
                raw = raw and raw[1:]
            self._inputs[run_id] = raw is not None and query.fits_input(raw)

    def _missing_plans(self) -> list[tuple[str, str]]:
        return [key for key, plan in self._plans.items() if plan is None and key not in self._gone]

    def _summary(self, header: RunHeader, tallies: dict[str, int]) -> RunSummary:
        plan = self._plans.setdefault((header.queue, header.plan_sha), None)
        steps = tally_steps(plan, tallies, header.state) if plan else ()
        return RunSummary(header, sum(s.total for s in steps), sum(s.done for s in steps), sum(s.failed for s in steps))

    def _note(self, headers: Iterable[RunHeader | None], now_ms: int) -> None:
        """Remember runs that have ended, and which of them did so in the last day; who was read last stands last."""
        for h in filter(None, headers):
            for of in (self._known, self._going, self._day):
                of.pop(h.run_id, None)
            if h.state.is_ended:
                self._known[h.run_id] = h
                if h.ended_ms > now_ms - _DAY_MS:
                    self._day[h.run_id] = h
            else:
                self._going[h.run_id] = h

    def _forget_old(self, now_ms: int) -> None:
        """Now and then leave out what ended more than a day ago; to look through all of them each time would cost more."""
        if now_ms - self._cleaned_ms > _CLEAN_MS:
            self._cleaned_ms = now_ms
            self._day = {i: h for i, h in self._known.items() if h.ended_ms > now_ms - _DAY_MS}

    def _counts(self) -> RunCounts:
        failed = sum(h.state is RunState.FAILED for h in self._day.values())
        return RunCounts(len(self._live), len(self._ended), failed, sum(h.state is RunState.SUCCEEDED for h in self._day.values()))

    def _failed(self) -> tuple[RunSummary, ...]:
        failed = [run_id for run_id, h in self._day.items() if h.state is RunState.FAILED]
        return tuple(_bare(self._day[run_id]) for run_id in heapq.nlargest(MOST_FAILED, failed))


def _bare(header: RunHeader) -> RunSummary:
    return RunSummary(header, 0, 0, 0)


def _headers(places: Sequence[tuple[str, str]], answers: Sequence[Any]) -> list[RunHeader | None]:
    return [damaged(*place, answer) if isinstance(answer, Unsound) else answer for place, answer in zip(places, answers, strict=True)]


def _cards(queue: str) -> tuple[Operation, ...]:
    live, ended = keys.live(queue), keys.ended(queue)
    return Query(("ZCARD", live), number), Query(("ZCARD", ended), number), Query(("ZRANGE", ended, 0, 0, "REV", "WITHSCORES"), repr)


def _newest(place: tuple[str, str]) -> tuple[str, str]:
    return place[1], place[0]


def _maybe(query: Query[Any]) -> Query[Any]:
    """None where the answer would be `NotFound`."""

    def parse(reply: Any) -> Any:
        try:
            return query.parse(reply)
        except NotFound:
            return None

    return Query(query.args, parse)
