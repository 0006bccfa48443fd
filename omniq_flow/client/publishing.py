"""What a caller of OmniQ's `publish` gives, turned into commands (wire §9).

Both OmniQ clients and the contexts of handlers publish through these functions, so defaults and checks are written once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from omniq_flow.errors import ValueNotJson
from omniq_flow.model.clock import SERVER_TIME
from omniq_flow.model.jobs import NewJob
from omniq_flow.ops import jobs, publishing
from omniq_flow.ops.command import Command
from omniq_flow.ops.replies import BatchResultItem

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def publish_command(
    *,
    queue: str,
    payload: Any,
    job_id: str | None = None,
    max_attempts: int = 3,
    timeout_ms: int = 30_000,
    backoff_ms: int = 5_000,
    due_ms: int = 0,
    gid: str | None = None,
    group_limit: int = 0,
    now_ms_override: int = SERVER_TIME,
) -> Command[str]:
    """Publish one job; gives its id. `TypeError` for a payload that is no dict and no list, before anything else is looked at."""
    job = new_job(
        payload=payload,
        job_id=job_id,
        max_attempts=max_attempts,
        timeout_ms=timeout_ms,
        backoff_ms=backoff_ms,
        due_ms=due_ms,
        gid=gid,
        group_limit=group_limit,
    )
    return jobs.publish(queue, job.payload, job_id=job.job_id, options=job, now_ms=int(now_ms_override))


def new_job(
    *,
    payload: Any,
    job_id: str | None = None,
    max_attempts: int = 3,
    timeout_ms: int = 30_000,
    backoff_ms: int = 5_000,
    due_ms: int = 0,
    gid: str | None = None,
    group_limit: int = 0,
) -> NewJob:
    """A job as `publish` takes it, its numbers whole; `TypeError` for a payload that is no dict and no list."""
    if type(payload) not in (dict, list):
        raise TypeError(f"a payload is a dict or a list, not {type(payload).__name__}; publish_json takes models and dataclasses")
    return NewJob(
        payload=payload,
        job_id=job_id or "",
        max_attempts=int(max_attempts),
        timeout_ms=int(timeout_ms),
        backoff_ms=int(backoff_ms),
        due_ms=int(due_ms),
        gid=(gid or "").strip(),
        group_limit=max(int(group_limit), 0),
    )


def publish_many_commands(
    *, queue: str, jobs: Sequence[NewJob | Mapping[str, Any]], now_ms_override: int = SERVER_TIME
) -> list[Command[list[BatchResultItem]]]:
    """Publish many jobs in slices that are atomic each; an error about one job names its index, and then nothing is sent."""
    return publishing.publish_slices(queue, [_as_new_job(job, index) for index, job in enumerate(jobs)], now_ms=int(now_ms_override))


def _as_new_job(job: NewJob | Mapping[str, Any], index: int) -> NewJob:
    if isinstance(job, NewJob) and type(job.payload) in (dict, list):
        return job
    try:
        return new_job(**(job if isinstance(job, Mapping) else {"payload": job.payload}))
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise publishing.named(index, error) from error


def json_payload(obj: Any) -> dict[str, Any] | list[Any]:
    """A payload out of models and dataclasses, also inside dicts and lists; times, UUIDs and the like become texts.

    Dataclasses, Pydantic models, objects with `model_dump()` and objects with `dict()` are taken. `TypeError` if what comes
    out is no dict and no list, or for an object of another kind anywhere; `ValueNotJson` for one that holds itself.
    """
    if isinstance(obj, (str, bytes, int, float, tuple, set, frozenset)) or obj is None:
        raise TypeError(f"a payload is a dict or a list, or becomes one; not {type(obj).__name__}")
    try:
        payload = _any().dump_python(obj, mode="json", fallback=_as_plain)
    except ValueError as error:
        raise ValueNotJson(f"the payload cannot be sent as JSON: {error}") from error
    if type(payload) not in (dict, list):
        raise TypeError(f"a payload is a dict or a list, or becomes one; {type(obj).__name__} becomes {type(payload).__name__}")
    result: dict[str, Any] | list[Any] = payload
    return result


@cache
def _any() -> TypeAdapter[Any]:
    # Loaded here: most who publish have no need of it.
    from pydantic import ConfigDict, TypeAdapter

    # NaN stays what it is, for `payload_json` to refuse.
    return TypeAdapter(Any, config=ConfigDict(ser_json_inf_nan="constants"))


def _as_plain(obj: Any) -> Any:
    for name in ("model_dump", "dict"):
        if callable(dump := getattr(obj, name, None)) and not isinstance(obj, type):
            return dump()
    raise TypeError(f"{type(obj).__name__} is no dataclass, no model and has no dict(): it cannot be part of a payload")
