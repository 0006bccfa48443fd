"""The real OmniQ client at work, run by its own interpreter: `theirs.py URL publish FIRST COUNT STEP`, or `consume`."""

from __future__ import annotations

import sys
from typing import Any

import redis

from tests.interop.shift import QUEUE, Notes, share


def main(url: str, what: str, *numbers: str) -> None:
    import omniq  # type: ignore[import-not-found]

    client: Any = omniq.OmniqClient(redis=redis.Redis.from_url(url, decode_responses=True))
    if what == "publish":
        for job in share(*map(int, numbers)):
            client.publish(queue=QUEUE, payload={"n": job.number}, **job.settings)
        return
    notes = Notes(redis.Redis.from_url(url), "theirs")

    def handler(ctx: Any) -> None:
        notes.work(ctx.job_id, ctx.attempt)

    client.consume(queue=QUEUE, handler=handler, poll_interval_s=0.02, promote_interval_s=0.2)


if __name__ == "__main__":
    main(*sys.argv[1:])
