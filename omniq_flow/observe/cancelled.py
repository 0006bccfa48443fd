"""Jobs that wait although their run is being cancelled: in a list that others share they stand until they are taken.

Nothing is searched for them. A run has as many open step runs as jobs (I4, L1); those of its jobs that are neither worked nor delayed
wait, all in the group of the run. So it takes the headers of such runs, and the ids in two lanes of their queue; which runs they are is
told by the states of those that go on. Three round trips. What cannot be told for sure is counted, and the picture says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any, NamedTuple

from omniq_flow.client.client import Client
from omniq_flow.model.names import FlowJobId
from omniq_flow.model.states import RunState
from omniq_flow.observe.groups import GroupSnapshot
from omniq_flow.observe.queues import QueueSnapshot
from omniq_flow.observe.sound import read_sound, sound
from omniq_flow.ops import keys, lanes
from omniq_flow.ops.command import Query, number, text
from omniq_flow.ops.runs import runs_of

MOST_RUNS = 2_000
"""So many runs of a queue that go on are looked at."""
MOST_CANCELLED = 500
"""So many runs that are being cancelled are counted."""
MOST_IDS = 2_000
"""With more jobs active or delayed it is not told where those of a run stand."""

_Place = tuple[str, str]


class _Run(NamedTuple):
    state: str = ""
    open: int = 0
    gid: str = ""


_NO_RUN = _Run()


@dataclass(frozen=True, slots=True)
class CancelledJobs:
    """Of one queue: how many jobs of runs that are being cancelled wait in each group, and how many wait there at the same moment.

    `group_waiting` is what the queue's counter said then. `is_whole`: no other job that waits is of such a run.
    """

    by_group: Mapping[str, int] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
    group_waiting: int = 0
    is_whole: bool = True

    def out_of_queue(self, queue: QueueSnapshot) -> QueueSnapshot:
        """The picture of the queue without them."""
        total = sum(self.by_group.values())
        if not total:
            return replace(queue, may_count_cancelled=not self.is_whole)
        left = max(self.group_waiting - total, 0)
        return replace(queue, group_waiting=left, cancelled_waiting=total, may_count_cancelled=not self.is_whole)

    def out_of_group(self, group: GroupSnapshot) -> GroupSnapshot:
        """The picture of the group without them."""
        there = min(self.by_group.get(group.gid, 0), self.waiting.get(group.gid, 0))
        if not there:
            return group
        return replace(group, waiting=self.waiting[group.gid] - there, cancelled_waiting=there)


_NONE = CancelledJobs()


class CancelledReader:
    """Looks for such jobs again and again; which runs are being cancelled is remembered."""

    def __init__(self) -> None:
        self._runs: dict[_Place, _Run] = {}

    def read(
        self, client: Client, queues: Iterable[str], *, most: int = MOST_RUNS, most_cancelled: int = MOST_CANCELLED
    ) -> dict[str, CancelledJobs]:
        """Those of these queues. The states of at most `most` runs are read, those of others in turn when it is asked again."""
        names = list(dict.fromkeys(queues))
        if not names:
            return {}
        answers = read_sound(client, [op for name in names for op in (runs_of(name, "live", MOST_RUNS), _runs_that_go_on(name))])
        live = {name: sound(ids, []) for name, ids in zip(names, answers[::2], strict=True)}
        cut = {name for name, count in zip(names, answers[1::2], strict=True) if sound(count, 0) > MOST_RUNS}
        places = [(name, run_id) for name in names for run_id in live[name]]
        self._learn(client, set(names), places, most)
        chosen = [place for place in places if self._is_cancelled(place)]
        cut |= {place[0] for place in places if place not in self._runs} | {name for name, _ in chosen[most_cancelled:]}
        found = self._count(client, chosen[:most_cancelled])
        return {name: replace(jobs, is_whole=jobs.is_whole and name not in cut) for name in names for jobs in [found.get(name, _NONE)]}

    def _is_cancelled(self, place: _Place) -> bool:
        return place in self._runs and self._runs[place].state == RunState.CANCELLING

    def _learn(self, client: Client, names: set[str], places: Sequence[_Place], most: int) -> None:
        """Read the states that are not known, then those that were not read for longest. One that is being cancelled is read anyway."""
        there = set(places)
        self._runs = {place: run for place, run in self._runs.items() if place in there or place[0] not in names}
        known = (place for place in self._runs if place in there and not self._is_cancelled(place))
        turn = list(islice(chain((place for place in places if place not in self._runs), known), most))
        for place, run in zip(turn, read_sound(client, [_about(*place) for place in turn]), strict=True):
            self._runs.pop(place, None)
            self._runs[place] = sound(run, _NO_RUN)

    def _count(self, client: Client, places: Sequence[_Place]) -> dict[str, CancelledJobs]:
        """How many jobs of these runs wait, and the lengths that belong to it, told in one round trip."""
        names = list(dict.fromkeys(name for name, _ in places))
        groups = list(dict.fromkeys((place[0], self._runs[place].gid) for place in places))
        asked: list[Query[Any]] = [_about(*place) for place in places]
        asked += [lanes.lane_length(name, "gwait", gid) for name, gid in groups]
        asked += [lanes.statistics(name) for name in names]
        asked += [lanes.lane_ids(name, lane, 0, MOST_IDS + 1) for name in names for lane in ("active", "delayed")]
        answers = iter(read_sound(client, asked))
        self._runs |= {place: sound(next(answers), _NO_RUN) for place in places}
        lengths = {group: sound(next(answers), 0) for group in groups}
        group_waiting = {name: sound(next(answers), {}).get("group_waiting", 0) for name in names}
        found = {}
        for name in names:
            held = [sound(next(answers), []) for _ in ("active", "delayed")]
            by_group = self._waiting([place for place in places if place[0] == name], held)
            waiting = {gid: length for (queue, gid), length in lengths.items() if queue == name}
            is_whole = all(len(ids) <= MOST_IDS for ids in held)
            found[name] = CancelledJobs(by_group if is_whole else {}, waiting, group_waiting[name], is_whole)
        return found

    def _waiting(self, places: Sequence[_Place], held: Sequence[Sequence[str]]) -> dict[str, int]:
        """By group how many jobs of these runs are neither worked nor delayed."""
        elsewhere = Counter(job.run_id for ids in held for job in map(FlowJobId.parse, ids) if job is not None)
        found: Counter[str] = Counter()
        for place in places:
            if self._is_cancelled(place):
                found[self._runs[place].gid] += max(self._runs[place].open - elsewhere[place[1]], 0)
        return {gid: number for gid, number in found.items() if number}


def hide_cancelled(client: Client, queues: Sequence[QueueSnapshot]) -> list[QueueSnapshot]:
    """Pictures of queues without the jobs of cancelled runs that wait."""
    found = CancelledReader().read(client, [queue.name for queue in queues if queue.group_waiting])
    return [found[queue.name].out_of_queue(queue) if queue.name in found else queue for queue in queues]


def hide_cancelled_in_groups(client: Client, queue: str, groups: Sequence[GroupSnapshot]) -> list[GroupSnapshot]:
    """Pictures of groups of one queue without the jobs of cancelled runs that wait."""
    if not any(group.waiting for group in groups):
        return list(groups)
    found = CancelledReader().read(client, [queue])[queue]
    return [found.out_of_group(group) for group in groups]


def _runs_that_go_on(queue: str) -> Query[int]:
    return Query(("ZCARD", keys.live(queue)), number)


def _about(queue: str, run_id: str) -> Query[_Run]:
    def parse(reply: Any) -> _Run:
        state, open_, gid = reply
        return _Run(text(state), number(open_), text(gid))

    return Query(("HMGET", keys.header(queue, run_id), "state", "open", "gid"), parse)
