"""OmniQ Flow, as it stands in this repository: plain jobs through `publish_many`, chain and fan-in as flows.

Its worker is `omniq-flow worker` with its defaults. Variants: '' has async handlers, `c100` room for 100 of them at once, `threads`
sync ones; `consume` works the plain jobs (and nothing else) with `consume()` and a sync handler.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import probe

from omniq_flow import Client, OmniqClient
from omniq_flow.engine.starting import prepare, start

PROJECT = Path(__file__).with_name("ours")
sys.path.insert(0, str(PROJECT / "flows"))


def work() -> None:
    if probe.VARIANT != "consume":
        os.chdir(PROJECT)
        room = ["--concurrency", "100"] if probe.VARIANT == "c100" else []
        os.execv(sys.executable, [sys.executable, "-m", "omniq_flow.cli.main", "worker", "--url", probe.URL, *room])
    with OmniqClient(redis_url=probe.URL) as client:
        client.consume(queue="bench", handler=handle)


def handle(ctx: Any) -> None:
    if "t" in ctx.payload:
        probe.stamp(ctx.payload["t"])
    else:
        probe.tick()


def enqueue(count: int, size: int, **options: Any) -> None:
    """Plain jobs, in calls of 256 (the client's doing)."""
    with OmniqClient(redis_url=probe.URL) as client:
        client.is_paused(queue="bench")
        payload = {"p": probe.payload(size)}
        began = probe.now()
        client.publish_many(queue="bench", jobs=[{"payload": payload, **options} for _ in range(count)])
        probe.out(t0=began, t1=probe.now())


def runs(flow: str, count: int, n: int | None = None, size: int = 0, pause: bool = False) -> None:
    """Start runs one after the other; `n` is their input, by default the number of the run."""
    import nothing

    with Client.open(probe.URL) as client:
        began, times = probe.now(), []
        for i in range(count):
            if pause:
                time.sleep(probe.gap())
            times.append(probe.now())
            start(client, getattr(nothing, flow), {"n": i if n is None else n, "bytes": size})
        probe.out(t0=began, t1=probe.now(), started=times)


def fill(count: int) -> None:
    """Runs that are there, in as few round trips as may be."""
    import nothing

    with Client.open(probe.URL) as client:
        start(client, nothing.short, {"n": 0})
        for at in range(1, count, 500):
            client.execute_all([prepare(nothing.short, {"n": n}).command() for n in range(at, min(at + 500, count))])
        probe.out(ok=1)


def ping(count: int) -> None:
    with OmniqClient(redis_url=probe.URL) as client:
        for _ in range(count):
            time.sleep(probe.gap())
            client.publish(queue="bench", payload={"t": probe.now()})
        probe.out(ok=1)


def main() -> None:
    command, numbers = probe.args()
    if command == "worker":
        work()
    elif command == "enqueue":
        enqueue(*numbers)
    elif command == "chain":
        runs("chain", numbers[0])
    elif command == "fanout":
        runs("fan", 1, *numbers)
    elif command == "greedy":
        enqueue(numbers[0], 20, gid="greedy", group_limit=10)
    elif command == "newcomers":
        runs("short", numbers[0], pause=True)
    elif command == "fill":
        fill(numbers[0])
    elif command == "ping":
        ping(numbers[0])


if __name__ == "__main__":
    main()
