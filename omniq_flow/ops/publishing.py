"""Many jobs in one call: what `publish` does for each of them, atomically and at a fraction of the cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from omniq_flow.errors import ValueNotJson
from omniq_flow.model.clock import SERVER_TIME
from omniq_flow.model.jobs import JobOptions, NewJob
from omniq_flow.model.names import check_queue
from omniq_flow.ops import keys
from omniq_flow.ops.command import Arg, Command
from omniq_flow.ops.jobs import check_job_id, new_job_id, payload_json
from omniq_flow.ops.replies import OK, BatchResultItem, reading, unexpected

MAX_JOBS = 256
"""Jobs of one call; the server does nothing else meanwhile."""

EXISTS = "EXISTS"
"""The reason beside an OK when the id was in use: that job is left as it is (D2)."""


def publish_many(queue: str, jobs: Sequence[NewJob], *, now_ms: int = SERVER_TIME) -> Command[list[BatchResultItem]]:
    """Publish at most 256 jobs, all or none; a result for each, in order.

    An id that is in use, or stands in the batch before, is no error: its result is OK with the reason `EXISTS`. So the call
    may be sent again, and if a reply was lost on the way, jobs that it published itself read `EXISTS`. A job that cannot
    be sent is named by its index: `ValueNotJson` for its payload, `ValueError` for its id.
    """
    if len(jobs) > MAX_JOBS:
        raise ValueError(f"at most {MAX_JOBS} jobs a call, {len(jobs)} were given")
    return (publish_slices(queue, jobs, now_ms=now_ms) or [_command(check_queue(queue), [], now_ms)])[0]


def publish_slices(queue: str, jobs: Sequence[NewJob], *, now_ms: int = SERVER_TIME) -> list[Command[list[BatchResultItem]]]:
    """Publish any number of jobs as calls of `publish_many`, all of them checked before the first is made."""
    ids = new_job_ids()
    ready = [_ready(job, index, ids) for index, job in enumerate(jobs)]
    check_queue(queue)
    return [_command(queue, ready[i : i + MAX_JOBS], now_ms) for i in range(0, len(ready), MAX_JOBS)]


def named(index: int, error: Exception) -> Exception:
    """An error about one job of many, which says about which."""
    text = f"jobs[{index}]: {error}"
    if isinstance(error, ValueNotJson):
        return ValueNotJson(text)
    return TypeError(text) if isinstance(error, (TypeError, AttributeError)) else ValueError(text)


def new_job_ids() -> Iterator[str]:
    """ULIDs without end, each greater than the one before. Drawing each by itself would cost more than sending its job."""
    while True:
        head = new_job_id()[:-4]
        for high in _PAIRS:
            for low in _PAIRS:
                yield head + high + low


_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]


class _Ready(NamedTuple):
    """A job as it is sent; `options` are those of the script, in its order."""

    job_id: str
    payload: bytes
    options: tuple[Arg, ...]


def _ready(job: NewJob, index: int, ids: Iterator[str]) -> _Ready:
    try:
        job_id = check_job_id(job.job_id) if job.job_id else next(ids)
        return _Ready(job_id, payload_json(job.payload), _options(job))
    except (ValueNotJson, ValueError) as error:
        raise named(index, error) from error


def _options(job: JobOptions) -> tuple[Arg, ...]:
    return job.max_attempts, job.timeout_ms, job.backoff_ms, job.due_ms, job.gid.strip(), max(job.group_limit, 0)


def _command(queue: str, ready: Sequence[_Ready], now_ms: int) -> Command[list[BatchResultItem]]:
    # Most batches have one set of options; it is sent and read once.
    sets: dict[tuple[Arg, ...], int] = {}
    args: list[Arg] = []
    for job in ready:
        args += (job.job_id, job.payload, sets.setdefault(job.options, len(sets) + 1))

    def read(word: str, known: list[str]) -> list[BatchResultItem]:
        if word != OK:
            raise unexpected("PUBLISH_MANY", word)
        is_known = set(map(int, known))
        return [BatchResultItem(job.job_id, "OK", EXISTS if n in is_known else None) for n, job in enumerate(ready, 1)]

    flat = [option for options in sets for option in options]
    return Command("flow/jobs_publish", (keys.anchor(queue),), (now_ms, len(sets), *flat, *args), reading("PUBLISH_MANY", read))
