"""Steering a run from outside: what takes several bounded calls, as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from omniq_flow.client.client import Client
from omniq_flow.ops import keys
from omniq_flow.ops.command import Query
from omniq_flow.ops.runs import Cancelled, Retried, run_cancel, run_header, run_purge, run_remove, run_retry


def cancel_run(client: Client, queue: str, run_id: str, *, by: str = "", reason: str = "") -> Cancelled:
    """Cancel a run and take away all of it that waits; the answer says how it stands then. Stopped half-way, workers go on."""
    first = answer = client.execute(run_cancel(queue, run_id, by=by, reason=reason))
    while answer.has_more:
        answer = client.execute(run_cancel(queue, run_id))
    return replace(answer, is_new=first.is_new)


def retry_run(
    client: Client, queue: str, run_id: str, *, only: Sequence[str] = (), redo: Sequence[str] = (), by: str = "", reason: str = ""
) -> Retried:
    """Let a run that failed or was cancelled go on, as it stands now."""
    seen = client.execute(run_header(queue, run_id)).epoch
    return client.execute(run_retry(queue, run_id, epoch=seen, only=only, redo=redo, by=by, reason=reason))


def remove_run(client: Client, queue: str, run_id: str) -> None:
    """Remove a run that has ended, with everything of it; what else is past its retention may go as well."""
    client.execute(run_remove(queue, run_id))
    is_there = Query(("EXISTS", keys.header(queue, run_id)), bool)
    while client.execute(is_there):
        client.execute(run_purge(queue, keep_runs=0))
