"""What a queue carries: jobs, leases and their options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a plain job is worked; the defaults are those of OmniQ 4.0 (wire §9). Times in ms.

    `due_ms` is an absolute time, 0 means now. `group_limit` counts only for the first job of a group.
    """

    max_attempts: int = 3
    timeout_ms: int = 30_000
    backoff_ms: int = 5_000
    due_ms: int = 0
    gid: str = ""
    group_limit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob(JobOptions):
    """A plain job that is not published yet: its payload, its options, and its id (empty for a new one)."""

    payload: dict[str, Any] | list[Any]
    job_id: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work a job until a time; the token proves it."""

    queue: str
    job_id: str
    token: str
    until_ms: int
    attempt: int
    max_attempts: int
    gid: str = ""
    payload: str = ""
