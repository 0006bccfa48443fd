"""Waiting for a run: its revision is polled, a picture is taken only when it has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event

from omniq_flow.client.client import Client
from omniq_flow.errors import GaveUpWaiting
from omniq_flow.model.clock import monotonic_ms, show_duration
from omniq_flow.observe.reading import RunReader
from omniq_flow.observe.snapshot import RunSnapshot

QUICK_MS = 100
SLOW_MS = 500
QUIET_MS = 2_000
"""So long without a change makes the polls slow."""


def wait_run(
    client: Client,
    queue: str,
    run_id: str,
    *,
    timeout_ms: int | None = None,
    stop: Event | None = None,
    on_quiet: Callable[[int], None] | None = None,
) -> Iterator[RunSnapshot]:
    """Yield a picture of the run now, one after each change, and the last one when it has ended.

    Raises `GaveUpWaiting` when the time is over; ends early when `stop` is set. `on_quiet` is called after each
    poll that found nothing new, with the ms since the latest change.
    """
    stop = stop or Event()
    reader = RunReader(client, queue, run_id)
    began = changed = monotonic_ms()
    snapshot = reader.read()
    yield snapshot
    while not snapshot.is_ended:
        now = monotonic_ms()
        left = SLOW_MS if timeout_ms is None else began + timeout_ms - now
        if left <= 0:
            raise GaveUpWaiting(
                f"run {run_id} is not over after {show_duration(timeout_ms or 0)}; it goes on",
                where=f"queue {queue}",
                hint=f"omniq-flow runs wait {run_id}",
            )
        if stop.wait(min(QUICK_MS if now - changed < QUIET_MS else SLOW_MS, left) / 1000):
            return
        rev = reader.header().rev
        if rev != snapshot.header.rev:
            changed = monotonic_ms()
            snapshot = reader.read(rev)
            yield snapshot
        elif on_quiet:
            on_quiet(monotonic_ms() - changed)
