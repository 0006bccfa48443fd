"""One lane of a queue as a screen shows it: how long all lanes are, a window of jobs, one of them looked at closely.

Three round trips a window at most. A search is no window: it goes through the lane in slices when it is asked to go on, and what
it has found stays until it is asked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from omniq_flow.client.client import Client
from omniq_flow.model.states import RunState
from omniq_flow.observe.jobs import FoundIds, JobFilter, JobSnapshot, find_ids, read_some
from omniq_flow.observe.notes import note_of
from omniq_flow.observe.sound import Unsound, read_sound, sound
from omniq_flow.ops import keys, lanes
from omniq_flow.ops.admin import is_paused
from omniq_flow.ops.command import Query, text
from omniq_flow.ops.lanes import LaneName
from omniq_flow.ops.steering import PauseNote

SLICE = 2_000
MOST_MARKED = 10_000
MOST_RUNS = 20
"""The jobs of so many runs are asked whether their run is being cancelled."""
_SIMPLE: tuple[LaneName, ...] = ("wait", "active", "delayed", "failed", "completed")


@dataclass(frozen=True, slots=True)
class LaneQuery:
    """What is looked at. An empty `gid` in `gwait` stands for the group that is served next."""

    queue: str
    lane: LaneName
    gid: str = ""
    where: JobFilter = field(default_factory=JobFilter)


@dataclass(frozen=True, slots=True)
class LaneView:
    """One moment. `total` jobs fit; those from `offset` on are here. `ids` are all that fit, if they were asked for."""

    query: LaneQuery
    lengths: Mapping[str, int] = field(default_factory=dict)
    is_paused: bool = False
    jobs: tuple[JobSnapshot, ...] = ()
    offset: int = 0
    total: int = 0
    looked_at: int = 0
    selected: JobSnapshot | None = None
    ids: tuple[str, ...] | None = None
    gid: str = ""
    at_ms: int = 0
    pause: PauseNote | None = None
    faults: tuple[str, ...] = ()
    """What could not be read, for a key has another type."""
    place: tuple[str, int] = ("", -1)
    """Where the job stands that was asked for; −1 if it is not in the lane."""

    @property
    def is_whole(self) -> bool:
        return self.looked_at >= self.total if not self.query.where else self.looked_at >= self.lengths.get(self.query.lane, 0)


class LaneReader:
    """Reads views of lanes; keep one for as long as the screen is there."""

    def __init__(self) -> None:
        self._found: tuple[LaneQuery, FoundIds] | None = None
        self._slices = 1

    def search_on(self) -> None:
        """Let the search look at one more slice; may be called from another thread."""
        self._slices += 1
        self._found = None

    def read(
        self, client: Client, query: LaneQuery, offset: int, count: int, selected: str = "", stays: str = "", *, with_ids: bool = False
    ) -> LaneView:
        """A window of at most `count` jobs; `selected` is the job that is looked at closely, of `stays` it is told where it is by now."""
        queue, lane, gid = query.queue, query.lane, query.gid
        asked: list[Query[Any]] = [lanes.lane_length(queue, name) for name in _SIMPLE]
        asked += [lanes.statistics(queue), is_paused(queue), lanes.server_time(), lanes.ready_groups(queue, 0, 1), lanes.pause_note(queue)]
        asked += [lanes.payload(queue, selected)] if selected else []
        if lane != "gwait" or gid:
            asked += [lanes.lane_length(queue, lane, gid), lanes.lane_ids(queue, lane, offset, count, gid)]
            asked += [lanes.lane_place(queue, lane, stays, gid)] if stays else []
        told = read_sound(client, asked)
        faults = tuple(dict.fromkeys(str(answer) for answer in told if isinstance(answer, Unsound)))
        answers = [sound(answer, _nothing(query)) for query, answer in zip(asked, told, strict=True)]
        *lengths, stats, paused, now_ms, ready, note = answers[: len(_SIMPLE) + 5]
        payload, *window = answers[len(_SIMPLE) + 5 :] if selected else (None, *answers[len(_SIMPLE) + 5 :])
        length, ids, *places = window or (0, [])
        if lane == "gwait" and not gid and ready:
            gid = ready[0][0]
            length, ids = client.execute_all([lanes.lane_length(queue, lane, gid), lanes.lane_ids(queue, lane, offset, count, gid)])
        every: tuple[str, ...] | None = None
        looked_at = length
        if query.where:
            found = self._search(client, query, gid)
            length, ids, looked_at = len(found.ids), list(found.ids[offset : offset + count]), found.looked_at
            every = found.ids
        elif with_ids:
            every = find_ids(client, queue, lane, gid=gid, most=MOST_MARKED).ids
        jobs = read_some(client, queue, list(dict.fromkeys([*ids, *([selected] if selected else [])])))
        if lane in ("wait", "gwait", "delayed"):
            jobs |= _cancelled(client, queue, jobs.values())
        chosen = replace(jobs[selected], payload=payload) if selected in jobs else None
        return LaneView(
            query,
            dict(zip(_SIMPLE, lengths, strict=True)) | {"gwait": stats.get("group_waiting", 0)},
            paused,
            tuple(jobs[job_id] if job_id in jobs else JobSnapshot(queue, job_id, "gone") for job_id in ids),
            offset,
            length,
            looked_at,
            chosen,
            every if with_ids else None,
            gid,
            now_ms,
            note_of(note) if paused else None,
            faults,
            (stays, places[0] if places and not query.where else -1),
        )

    def _search(self, client: Client, query: LaneQuery, gid: str) -> FoundIds:
        if self._found is None or self._found[0] != query:
            if self._found is not None:
                self._slices = 1
            self._found = (query, find_ids(client, query.queue, query.lane, query.where, gid=gid, most=SLICE * self._slices))
        return self._found[1]


def _cancelled(client: Client, queue: str, jobs: Iterable[JobSnapshot]) -> dict[str, JobSnapshot]:
    """Those of the jobs whose run is being cancelled: in a list that others share they wait until they are taken."""
    by_run: dict[str, list[JobSnapshot]] = {}
    for job in jobs:
        if job.step is not None:
            by_run.setdefault(job.step.run_id, []).append(job)
    some = list(by_run)[:MOST_RUNS]
    states = read_sound(client, [Query(("HGET", keys.header(queue, run_id), "state"), text) for run_id in some])
    cancelling = [run_id for run_id, state in zip(some, states, strict=True) if state == RunState.CANCELLING]
    return {job.job_id: replace(job, is_cancelled=True) for run_id in cancelling for job in by_run[run_id]}


def _nothing(query: Query[Any]) -> Any:
    """What an empty key would have answered."""
    return {"LLEN": 0, "ZCARD": 0, "HGETALL": {}, "HGET": "", "LPOS": -1, "ZRANK": -1}.get(str(query.args[0]), [])
