"""A run that is worked in this process, and followed beside it."""

from __future__ import annotations

import asyncio
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

from omniq_flow.cli.outcome import follow
from omniq_flow.cli.progress import progress_for
from omniq_flow.cli.session import Session
from omniq_flow.cli.working import logging_to, make_worker, prints_to, signals_to
from omniq_flow.observe.reading import read_run

if TYPE_CHECKING:
    from omniq_flow.client.client import Client
    from omniq_flow.flow.definition import Flow
    from omniq_flow.observe.snapshot import RunSnapshot


async def work_run(session: Session, client: Client, flow: Flow, run_id: str, timeout_ms: int | None) -> RunSnapshot:
    """Work one run until it has ended, the time is over, or somebody interrupts; then drain.

    Raises `GaveUpWaiting` when the time is over. Interrupted, it gives the last picture of a run that goes on.
    """
    progress = progress_for(session.output)
    progress.note(f"run {run_id}")
    stop = Event()
    worker = make_worker(session, [flow])
    follow_it = partial(follow, session.output, client, flow.queue, run_id)
    with logging_to(progress, is_verbose=session.is_verbose), prints_to(progress), signals_to(worker, stop):
        working = asyncio.create_task(worker.run())
        watching = asyncio.create_task(asyncio.to_thread(follow_it, timeout_ms=timeout_ms, stop=stop, progress=progress, is_worked=True))
        try:
            await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.set()
            if not worker.is_stopping:
                worker.stop()
            await asyncio.wait({working, watching})
        # A worker that broke down is the better reason.
        working.result()
        seen = watching.result()
        # What was at work when somebody interrupted may have been the last there was to do.
        return seen if seen.is_ended else read_run(client, flow.queue, run_id)
