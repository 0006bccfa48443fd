"""What the tests of the differences share: jobs of the queue `q`, moved at chosen times, and a look at them."""

from __future__ import annotations

import time
from typing import Any, cast

from omniq_flow.client.client import Client
from omniq_flow.model.jobs import JobOptions, Lease
from omniq_flow.ops import jobs, keys

T0 = 1_800_000_000_000
Q = "q"
STATS = "{q}:stats"


def publish(client: Client, job_id: str, at: int = 0, **options: Any) -> None:
    assert client.execute(jobs.publish(Q, {"job": job_id}, job_id=job_id, options=JobOptions(**options), now_ms=T0 + at)) == job_id


def take(client: Client, at: int = 0) -> Lease:
    lease = client.execute(jobs.reserve(Q, now_ms=T0 + at))
    assert isinstance(lease, Lease), lease
    return lease


def fail(client: Client, lease: Lease, at: int = 0, error: str = "boom") -> jobs.AttemptEnd:
    return client.execute(jobs.ack_fail(lease, error, now_ms=T0 + at))


def field(conn: Any, job_id: str, name: str) -> str | None:
    value = conn.hget(keys.job(Q, job_id), name)
    return None if value is None else cast("bytes", value).decode()


def is_present(ms: bytes | str | None) -> bool:
    return ms is not None and abs(time.time() * 1000 - int(ms)) < 60_000
