"""The jobs of a queue, plain ones and those of flows: a page of a lane, one job, a search by what a job says of itself.

Nothing is kept in order but the lanes, so a search walks a lane in slices and tells how many it looked at. A job that
leaves meanwhile is left out, one that is met twice is shown once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from omniq_flow.client.client import Client
from omniq_flow.errors import NotFound
from omniq_flow.model.names import FlowJobId
from omniq_flow.observe.sound import Unsound, read_sound
from omniq_flow.ops import lanes
from omniq_flow.ops.command import number
from omniq_flow.ops.lanes import LaneName

MOST_SHOWN = 100
"""The longest page."""
LOOKED_AT = 100_000
"""A search looks at so many jobs of a lane, not more."""
SHORT_PAYLOAD = 4_096
"""A longer payload (bytes) is not read for a list."""
_SLICE = 500
DAMAGED = "damaged"
"""The state that is shown of a job whose key was overwritten; its error tells how."""


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """One job as its hash has it. Times in epoch ms, 0: has not happened. `payload` is None where it was not read."""

    queue: str
    job_id: str
    state: str
    gid: str = ""
    attempt: int = 0
    max_attempts: int = 0
    timeout_ms: int = 0
    backoff_ms: int = 0
    created_ms: int = 0
    updated_ms: int = 0
    queued_ms: int = 0
    first_started_ms: int = 0
    last_started_ms: int = 0
    completed_ms: int = 0
    failed_ms: int = 0
    due_ms: int = 0
    lock_until_ms: int = 0
    last_error: str = ""
    last_error_ms: int = 0
    payload_bytes: int = 0
    payload: str | None = None
    worker: str = ""
    """Who leased it, where that is known."""
    is_cancelled: bool = False
    """Whether its run is being cancelled, as far as that was asked: it still stands in its lane, and is put away when it is taken."""

    @property
    def step(self) -> FlowJobId | None:
        """The step run that it carries; None for a plain job."""
        return FlowJobId.parse(self.job_id)

    @property
    def since_ms(self) -> int:
        """Since when it is in its state."""
        began = {"active": self.last_started_ms, "failed": self.failed_ms, "completed": self.completed_ms}.get(self.state, 0)
        return began or self.updated_ms or self.created_ms


@dataclass(frozen=True, slots=True)
class JobFilter:
    """What a search asks for; what is left empty fits every job. `error` is any part of the error's text, in any case."""

    gid: str = ""
    error: str = ""
    since_ms: int = 0
    """Only jobs that have their state since then or later."""

    def __bool__(self) -> bool:
        return bool(self.gid or self.error or self.since_ms)

    def fits(self, job: JobSnapshot) -> bool:
        return (
            (not self.gid or job.gid == self.gid)
            and (not self.error or self.error.casefold() in job.last_error.casefold())
            and (not self.since_ms or job.since_ms >= self.since_ms)
        )


EVERY = JobFilter()


@dataclass(frozen=True, slots=True)
class JobPage:
    """Jobs of a lane. `length` is how many stand in it, `looked_at` how many were compared with the filter."""

    jobs: tuple[JobSnapshot, ...]
    length: int
    looked_at: int
    has_more: bool


@dataclass(frozen=True, slots=True)
class FoundIds:
    """The ids that a search found, in the order of the lane."""

    ids: tuple[str, ...]
    length: int
    looked_at: int

    @property
    def left(self) -> int:
        """How many jobs of the lane were not looked at."""
        return max(self.length - self.looked_at, 0)


def read_jobs(
    client: Client,
    queue: str,
    lane: LaneName,
    *,
    gid: str = "",
    where: JobFilter = EVERY,
    offset: int = 0,
    limit: int = 20,
    with_payload: bool = False,
) -> JobPage:
    """A page of a lane, at most a hundred jobs: those that fit, without the first `offset` of them.

    `gid` names the group whose list `gwait` is. Short payloads are read along if they are wanted.
    """
    limit, seen = min(max(limit, 1), MOST_SHOWN), set[str]()
    kept: list[JobSnapshot] = []
    length = client.execute(lanes.lane_length(queue, lane, gid))
    # Without a filter what is passed over need not be read.
    at, skip = (0, offset) if where else (offset, 0)
    looked_at = 0
    while at < length and looked_at < LOOKED_AT and len(kept) <= skip + limit:
        count = _SLICE if where else limit + 1
        ids = client.execute(lanes.lane_ids(queue, lane, at, count, gid))
        if not ids:
            break
        new = [job_id for job_id in dict.fromkeys(ids) if job_id not in seen]
        seen.update(new)
        kept += filter(where.fits, _read(client, queue, new))
        at, looked_at = at + len(ids), looked_at + len(ids)
    shown = kept[skip : skip + limit]
    has_more = len(kept) > skip + limit or at < length
    return JobPage(tuple(_with_payloads(client, queue, shown) if with_payload else shown), length, looked_at, has_more)


def find_ids(client: Client, queue: str, lane: LaneName, where: JobFilter = EVERY, *, gid: str = "", most: int = LOOKED_AT) -> FoundIds:
    """The ids of all jobs of a lane that fit, as far as `most` jobs tell."""
    length = client.execute(lanes.lane_length(queue, lane, gid))
    found: dict[str, None] = {}
    at = 0
    while at < min(length, most):
        ids = client.execute(lanes.lane_ids(queue, lane, at, min(_SLICE, most - at), gid))
        if not ids:
            # The lane grew shorter meanwhile.
            length = at
            break
        at += len(ids)
        fitting = [job.job_id for job in _read(client, queue, ids) if where.fits(job)] if where else ids
        found.update(dict.fromkeys(fitting))
    return FoundIds(tuple(found), length, at)


def read_job(client: Client, queue: str, job_id: str) -> JobSnapshot:
    """One job with its payload, and who leased it if that is known; `NotFound` if the queue has no such job."""
    fields, size, payload = client.execute_all(
        [lanes.job_fields(queue, job_id), lanes.payload_bytes(queue, job_id), lanes.payload(queue, job_id)]
    )
    if fields is None:
        raise NotFound(f"there is no job {job_id!r} in queue {queue}", where=f"queue {queue}", hint=f"omniq-flow jobs list {queue}")
    worker = _holder(client, queue, job_id) if fields["state"] == "active" else ""
    return _snapshot(queue, job_id, fields, payload_bytes=size, payload=payload, worker=worker)


def read_some(client: Client, queue: str, job_ids: Sequence[str]) -> dict[str, JobSnapshot]:
    """The jobs of these ids that are there, without their payloads."""
    return {job.job_id: job for at in range(0, len(job_ids), _SLICE) for job in _read(client, queue, job_ids[at : at + _SLICE])}


def _read(client: Client, queue: str, ids: Sequence[str]) -> Iterator[JobSnapshot]:
    asked = [op for job_id in ids for op in (lanes.job_fields(queue, job_id), lanes.payload_bytes(queue, job_id))]
    answers = read_sound(client, asked)
    for job_id, fields, size in zip(ids, answers[::2], answers[1::2], strict=True):
        if isinstance(fields, Unsound):
            yield JobSnapshot(queue, job_id, DAMAGED, last_error=str(fields))
        elif fields is not None:
            yield _snapshot(queue, job_id, fields, payload_bytes=size)


def _with_payloads(client: Client, queue: str, jobs: Sequence[JobSnapshot]) -> Iterator[JobSnapshot]:
    short = [job.job_id for job in jobs if job.payload_bytes <= SHORT_PAYLOAD]
    read = dict(zip(short, client.execute_all([lanes.payload(queue, job_id) for job_id in short]), strict=True)) if short else {}
    return (replace(job, payload=read.get(job.job_id)) for job in jobs)


def _snapshot(
    queue: str, job_id: str, fields: dict[str, str], *, payload_bytes: int, payload: str | None = None, worker: str = ""
) -> JobSnapshot:
    words = {name: fields[name] for name in ("state", "gid", "last_error")}
    numbers = {name: number(value) for name, value in fields.items() if name not in words}
    return JobSnapshot(queue, job_id, **words, **numbers, payload_bytes=payload_bytes, payload=payload, worker=worker)  # type: ignore[arg-type]


def _holder(client: Client, queue: str, job_id: str) -> str:
    """The worker whose latest take brought this lease, which the server remembers for a minute."""
    token, present = client.execute_all([lanes.lease_token(queue, job_id), lanes.present_workers(queue)])
    taken = client.execute_all([lanes.latest_take(queue, name) for name, _ in present]) if token and present else []
    return next((name for (name, _), note in zip(present, taken, strict=False) if (job_id, token) in note), "")
