"""What OmniQ's methods give, by OmniQ's names (wire §9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from omniq_flow.ops.replies import BatchResultItem as BatchResultItem


@dataclass(frozen=True, slots=True)
class ReservePaused:
    """The queue leases nothing until it is resumed."""

    status: Literal["PAUSED"] = "PAUSED"


@dataclass(frozen=True, slots=True)
class ReserveJob:
    """A leased job; `lease_token` proves the lease, which ends at `lock_until_ms` unless it is extended."""

    status: Literal["JOB"]
    job_id: str
    payload: str
    lock_until_ms: int
    attempt: int
    max_attempts: int
    gid: str
    lease_token: str
