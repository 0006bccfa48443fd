"""What `jobs publish` was asked for, as jobs: payloads, options, when they are due. Nothing is sent here."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from omniq_flow.cli.inputs import PAYLOAD, read_input, read_lines, with_settings
from omniq_flow.cli.session import read_duration
from omniq_flow.errors import InputError, UsageError
from omniq_flow.model.jobs import NewJob

SHORTEST_LEASE_MS = 1_000
_YEAR_2000_MS = 946_684_800_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """The flags of `jobs publish` as they were given."""

    payload: str | None = None
    settings: list[str] = field(default_factory=list)
    is_lines: bool = False
    job_id: str = ""
    group: str = ""
    group_limit: int = 0
    attempts: int = 3
    lease: str = ""
    backoff: str = ""
    delay: str | None = None
    at: str | None = None


def new_jobs(wanted: Wanted) -> tuple[list[NewJob], int]:
    """The jobs to publish, all checked, and how many ms after the server's now they are due.

    `UsageError` for flags that do not go together, `InputError` for a payload that is none.
    """
    if wanted.is_lines and wanted.job_id:
        raise UsageError("--id names one job, --lines publishes many")
    if wanted.group_limit and not wanted.group:
        raise UsageError("--group-limit needs a group", hint="add --group")
    if wanted.delay is not None and wanted.at is not None:
        raise UsageError("--in and --at say the same; give one")
    options = _options(wanted)
    payloads = [_checked(payload, place) for place, payload in _payloads(wanted)]
    return [NewJob(payload=payload, job_id=wanted.job_id, **options) for payload in payloads], read_duration(wanted.delay, "--in") or 0


def time_ms(text: str, flag: str) -> int:
    """A point in time: ISO, in the local zone if it names none, or epoch ms."""
    try:
        if text.isdigit() and int(text) > _YEAR_2000_MS:
            return int(text)
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise UsageError(f"{flag}: {text!r} is no time; write 2026-01-31T09:00, 2026-01-31T09:00+01:00 or epoch ms") from None


def _payloads(wanted: Wanted) -> list[tuple[str, Any]]:
    if not wanted.is_lines:
        return [(PAYLOAD.flag, read_input(wanted.payload, wanted.settings, PAYLOAD))]
    if wanted.payload is None:
        raise UsageError("--lines needs a payload", hint="write -p @file.jsonl or -p -")
    return [
        (f"payload {n}", with_settings(value, wanted.settings, PAYLOAD)) for n, value in enumerate(read_lines(wanted.payload, PAYLOAD), 1)
    ]


def _checked(payload: Any, place: str) -> dict[str, Any] | list[Any]:
    if isinstance(payload, (dict, list)):
        return payload
    if payload is None and place == PAYLOAD.flag:
        raise UsageError("a job needs a payload", hint=PAYLOAD.example)
    raise InputError(f"a payload is an object or a list, this is {type(payload).__name__}", where=place, hint=PAYLOAD.example)


def _options(wanted: Wanted) -> dict[str, Any]:
    lease, backoff = read_duration(wanted.lease or None, "--lease"), read_duration(wanted.backoff or None, "--backoff")
    if lease is not None and lease < SHORTEST_LEASE_MS:
        raise UsageError("--lease: 1s is the least; nobody could extend a shorter one in time")
    found: dict[str, Any] = {"gid": wanted.group.strip(), "group_limit": wanted.group_limit, "max_attempts": wanted.attempts}
    found |= {} if wanted.at is None else {"due_ms": time_ms(wanted.at, "--at")}
    return found | ({} if lease is None else {"timeout_ms": lease}) | ({} if backoff is None else {"backoff_ms": backoff})
