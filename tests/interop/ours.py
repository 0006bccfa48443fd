"""Our client at work in a process of its own: `ours.py URL publish FIRST COUNT STEP`, `consume`, or `consume_async`."""

from __future__ import annotations

import asyncio
import logging
import sys
from functools import partial
from typing import Any

import redis

from omniq_flow.omniq.client import OmniqClient
from omniq_flow.omniq.consume import consume
from tests.interop.shift import QUEUE, Notes, share

CONCURRENCY = 6


def log_what_is_not_planned() -> None:
    """Failures that the plan wants would fill the log."""
    handler = logging.StreamHandler()
    handler.addFilter(lambda record: "Planned:" not in record.getMessage())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def main(url: str, what: str, *numbers: str) -> None:
    log_what_is_not_planned()
    with OmniqClient(redis_url=url) as client:
        if what == "publish":
            for job in share(*map(int, numbers)):
                client.publish(queue=QUEUE, payload={"n": job.number}, **job.settings)
            return
        notes = Notes(redis.Redis.from_url(url), "ours")

        def handler(ctx: Any) -> None:
            notes.work(ctx.job_id, ctx.attempt)

        async def async_handler(ctx: Any) -> None:
            await asyncio.get_running_loop().run_in_executor(None, partial(notes.work, ctx.job_id, ctx.attempt))

        consume(client, queue=QUEUE, handler=async_handler if what == "consume_async" else handler, concurrency=CONCURRENCY)


if __name__ == "__main__":
    main(*sys.argv[1:])
