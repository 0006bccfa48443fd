"""arq. Variants: '' is its defaults (10 jobs at once, a look every 0.5 s), `tuned` has 100 jobs and looks every 10 ms.

It enqueues one by one, here 100 at once. It has neither chains nor fan-in: handlers enqueue what follows, and a counter in Redis
says who is last.
"""

from __future__ import annotations

import asyncio
import os
from typing import ClassVar

import probe
from arq import create_pool, func
from arq.connections import RedisSettings

SERVER = RedisSettings(host="127.0.0.1", port=probe.PORT)
START = (
    "import asyncio, peer_arq; from arq.worker import run_worker; "
    "asyncio.set_event_loop(asyncio.new_event_loop()); run_worker(peer_arq.WorkerSettings)"
)


async def noop(ctx, text=""):
    probe.tick()


async def step(ctx, run, i, steps):
    probe.stamp(run, i)
    if i + 1 < steps:
        await ctx["redis"].enqueue_job("step", run, i + 1, steps)


async def child(ctx, key):
    probe.tick()
    if await ctx["redis"].decr(key) == 0:
        await ctx["redis"].enqueue_job("after")


async def after(ctx):
    probe.stamp(1)


async def pinged(ctx, sent):
    probe.stamp(sent)


class WorkerSettings:
    functions: ClassVar = [func(f, keep_result=0) for f in (noop, step, child, after, pinged)]
    redis_settings = SERVER
    keep_result = 0
    max_jobs = 100 if probe.VARIANT == "tuned" else 10
    poll_delay = 0.01 if probe.VARIANT == "tuned" else 0.5


class Pool:
    """Opened by `connect`."""

    redis = None


def worker():
    os.execvp("python", ["python", "-W", "ignore", "-c", START])


async def connect():
    Pool.redis = await create_pool(SERVER)


async def enqueue(count, text):
    for some in probe.parts(count, 100):
        await asyncio.gather(*[Pool.redis.enqueue_job("noop", text) for _ in range(some)])


async def chain(runs, steps):
    await asyncio.gather(*[Pool.redis.enqueue_job("step", run, 0, steps) for run in range(runs)])


async def fanout(count):
    key = f"fan-{probe.now()}"
    await Pool.redis.set(key, count)
    for some in probe.parts(count, 100):
        await asyncio.gather(*[Pool.redis.enqueue_job("child", key) for _ in range(some)])


async def send(sent):
    await Pool.redis.enqueue_job("pinged", sent)


if __name__ == "__main__":
    probe.run(worker=worker, enqueue=enqueue, chain=chain, fanout=fanout, send=send, connect=connect)
