"""Steering a run from outside: what takes several bounded calls, as one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from omniq_flow.client.client import AsyncClient, Client
from omniq_flow.errors import GaveUpWaiting, UsageError
from omniq_flow.model.clock import monotonic_ms
from omniq_flow.model.names import is_run_id
from omniq_flow.model.runs import RunHeader, new_run_id
from omniq_flow.ops import keys
from omniq_flow.ops.command import Command, Query
from omniq_flow.ops.rerun import EditedInput, Rerun, kept_steps, run_rerun
from omniq_flow.ops.runs import Cancelled, Retried, plan_of, run_cancel, run_header, run_purge, run_remove, run_retry

POLL_S = 0.1
PATIENCE_S = 60.0
"""So long the end of a run is waited for that is to be re-run from a step and still goes on."""


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


@dataclass(frozen=True, slots=True)
class RerunOptions:
    """How a run that has ended is begun once more.

    `steps`: these are done again, and all behind them; the whole run if none is named. What the other steps gave is copied.
    `edited` is another input, for what is worked. `new_id` names the new run and the request: stopped half-way, the same call goes
    on; without one a repeat is another run. `cancel`: a run that goes on is cancelled first; each life of it is begun again once,
    and a second call finds that run. From a step its end is waited for, `GaveUpWaiting` after a minute.
    """

    steps: Sequence[str] = ()
    edited: EditedInput | None = None
    cancel: bool = False
    new_id: str | None = None
    by: str = ""
    reason: str = ""


WHOLE = RerunOptions()


def rerun_run(client: Client, queue: str, run_id: str, options: RerunOptions = WHOLE) -> Rerun:
    """Begin a new run that does an ended run again, or some steps of it. Refusals are those of `run_rerun`."""
    header = client.execute(run_header(queue, run_id))
    keep = kept_steps(client.execute(plan_of(queue, header.plan_sha)), options.steps)
    command = _rerun(header, keep, options)
    if options.cancel and not header.state.is_ended:
        cancel_run(client, queue, run_id, by=options.by, reason=options.reason)
        gives_up = monotonic_ms() + int(PATIENCE_S * 1_000)
        while keep and not _has_ended(client.execute(run_header(queue, run_id)), gives_up):
            time.sleep(POLL_S)
    while (done := client.execute(command)).has_more:
        pass
    return done


async def rerun_run_async(client: AsyncClient, queue: str, run_id: str, options: RerunOptions = WHOLE) -> Rerun:
    """As `rerun_run`."""
    header = await client.execute(run_header(queue, run_id))
    keep = kept_steps(await client.execute(plan_of(queue, header.plan_sha)), options.steps)
    command = _rerun(header, keep, options)
    if options.cancel and not header.state.is_ended:
        answer = await client.execute(run_cancel(queue, run_id, by=options.by, reason=options.reason))
        while answer.has_more:
            answer = await client.execute(run_cancel(queue, run_id))
        gives_up = monotonic_ms() + int(PATIENCE_S * 1_000)
        while keep:
            if _has_ended(await client.execute(run_header(queue, run_id)), gives_up):
                break
            await asyncio.sleep(POLL_S)
    while (done := await client.execute(command)).has_more:
        pass
    return done


def _rerun(header: RunHeader, keep: Sequence[str], options: RerunOptions) -> Command[Rerun]:
    new_id = options.new_id if options.new_id is not None else new_run_id()
    if not is_run_id(new_id):
        raise UsageError(f"{new_id!r} is no run id", hint="leave it out, or give a ULID: 26 characters, capitals and digits")
    return run_rerun(
        header.queue,
        new_id,
        header.run_id,
        keep=keep,
        edited=options.edited,
        once=options.cancel,
        by=options.by,
        reason=options.reason,
    )


def _has_ended(header: RunHeader, gives_up_ms: int) -> bool:
    if not header.state.is_ended and monotonic_ms() >= gives_up_ms:
        raise GaveUpWaiting(
            f"run {header.run_id} is {header.state}, {header.open} of it are still worked; no new run was begun",
            where=f"queue {header.queue}",
            hint="say the same again later; from the start it need not be waited for",
        )
    return header.state.is_ended


def remove_run(client: Client, queue: str, run_id: str) -> None:
    """Remove a run that has ended, with everything of it; what else is past its retention may go as well."""
    client.execute(run_remove(queue, run_id))
    is_there = Query(("EXISTS", keys.header(queue, run_id)), bool)
    while client.execute(is_there):
        client.execute(run_purge(queue, keep_runs=0))
