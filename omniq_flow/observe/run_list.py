"""A long list of runs, a window at a time: what is visible is read, the rest is only counted.

The order is that of the ids, newest first. The ids of a queue are read again when the number of its runs or the one that
ended last has changed. What a run that ended says of itself is remembered, so a search reads each of them once; those that
did not succeed may be retried, so they are read again in turn. Three round trips, 150 commands.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from omniq_flow.client.client import Client
from omniq_flow.errors import NotFound
from omniq_flow.model.plan import Plan
from omniq_flow.model.runs import RunHeader
from omniq_flow.model.states import RunState
from omniq_flow.observe.snapshot import RunSummary, tally_steps
from omniq_flow.observe.sound import Unsound, damaged, read_sound, sound
from omniq_flow.ops import keys
from omniq_flow.ops.command import Operation, Query, number
from omniq_flow.ops.runs import plan_of, run_header, run_tallies, runs_of

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

Which = Literal["all", "open", "failed", "ended"]
_DAY_MS = 86_400_000
_CLEAN_MS = 60_000


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs are wanted; empty fields fit all. `text` is part of an id, a key or a flow's name."""

    which: Which = "all"
    flow: str = ""
    state: str = ""
    text: str = ""

    @property
    def needs_headers(self) -> bool:
        """Whether a run must be read to know if it fits."""
        return bool(self.flow or self.state or self.text or self.which == "failed")

    def fits(self, header: RunHeader) -> bool:
        word = "running" if header.state is RunState.FAILING else str(header.state)
        return (
            (self.which != "failed" or header.state in (RunState.FAILED, RunState.FAILING))
            and (not self.flow or header.flow.startswith(self.flow.rstrip("*")))
            and (not self.state or word == self.state)
            and (not self.text or any(self.text.casefold() in part.casefold() for part in (header.run_id, header.key, header.flow)))
        )


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
        """A window of at most `count` runs. A search looks at one slice, and at one more for each `search_on`."""
        left = BUDGET - self._index(client, queues)
        self._forget_old(now_ms)
        places = self._places(query)
        searched = len(places)
        if query.needs_headers or with_all:
            slices = self._slices.get(query, 1) + (1 if self._goes_on else 0)
            self._slices, self._goes_on = {query: slices}, False
            searched = min(slices * SLICE, len(places))
            self._learn(client, places[:searched], now_ms)
            places = [p for p in places[:searched] if (h := self._known.get(p[1])) is not None and query.fits(h)]
        every = tuple(self._known[run_id] for _, run_id in places) if with_all else None
        offset = max(min(offset, len(places) - count), 0)
        rows = self._summaries(client, places[offset : offset + count], left, now_ms)
        is_partial = any(q not in self._ids for q in queues) or bool(self._missing_plans())
        counts, length = self._counts(), len(self._places(query))
        return RunWindow(tuple(rows), offset, len(places), searched, length, counts, is_partial, self._failed(), every)

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
        there = {run_id for _, run_id in self._ended}
        self._known = {run_id: header for run_id, header in self._known.items() if run_id in there}
        self._day = {run_id: header for run_id, header in self._day.items() if run_id in there}

    def _learn(self, client: Client, places: Sequence[tuple[str, str]], now_ms: int) -> None:
        """Read the headers that are not known, or that may have changed."""
        wanted = [p for p in places if not ((h := self._known.get(p[1])) and h.state.is_ended)]
        headers = _headers(wanted, read_sound(client, [_maybe(run_header(*place)) for place in wanted]))
        self._note(headers, now_ms)
        self._known |= {h.run_id: h for h in headers if h is not None and not h.state.is_ended}

    def _doubtful(self) -> list[tuple[str, str]]:
        """Ended runs that may have been retried: the newest failures, then those that were not read for longest."""
        oldest = (h for h in self._known.values() if h.state.is_ended and h.state is not RunState.SUCCEEDED)
        return list(dict.fromkeys((h.queue, h.run_id) for h in (*(s.header for s in self._failed()), *islice(oldest, AGAIN))))

    def _summaries(self, client: Client, places: Sequence[tuple[str, str]], left: int, now_ms: int) -> list[RunSummary]:
        """The visible runs, and headers of some that are not known or are doubtful; a plan that is new comes with the next window."""
        plans = self._missing_plans()[:5]
        places = places[: (left - len(plans)) // 2]
        again = [p for p in self._doubtful() if p not in places]
        behind = [*again, *(p for p in self._ended if p[1] not in self._known)][: left - len(plans) - 2 * len(places)]
        heads = [*places, *behind]
        asked: list[Query[Any]] = [_maybe(run_header(*p)) for p in heads]
        asked += [run_tallies(*p) for p in places]
        asked += [_maybe(plan_of(*key)) for key in plans]
        answers = read_sound(client, asked)
        headers = _headers(heads, answers[: len(heads)])
        tallies = answers[len(heads) : len(heads) + len(places)]
        self._plans.update(zip(plans, (sound(plan, None) for plan in answers[len(heads) + len(places) :]), strict=True))
        self._gone |= {key for key in plans if self._plans[key] is None}
        self._note(headers, now_ms)
        return [self._summary(h, sound(t, {})) for h, t in zip(headers, tallies, strict=False) if h is not None]

    def _missing_plans(self) -> list[tuple[str, str]]:
        return [key for key, plan in self._plans.items() if plan is None and key not in self._gone]

    def _summary(self, header: RunHeader, tallies: dict[str, int]) -> RunSummary:
        plan = self._plans.setdefault((header.queue, header.plan_sha), None)
        steps = tally_steps(plan, tallies, header.state) if plan else ()
        return RunSummary(header, sum(s.total for s in steps), sum(s.done for s in steps), sum(s.failed for s in steps))

    def _note(self, headers: Iterable[RunHeader | None], now_ms: int) -> None:
        """Remember runs that have ended, and which of them did so in the last day; who was read last stands last."""
        for h in filter(None, headers):
            self._known.pop(h.run_id, None)
            self._day.pop(h.run_id, None)
            if h.state.is_ended:
                self._known[h.run_id] = h
                if h.ended_ms > now_ms - _DAY_MS:
                    self._day[h.run_id] = h

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
