"""taskiq with taskiq-redis and taskiq-pipelines, one worker process. Variants: `list` and `stream` are its brokers.

With `nores` at their end no results are kept, which only plain jobs can do without. It sends one by one, here 100 at once. Its
fan-in is a task that asks for all results every 50 ms (by default every 500).
"""

from __future__ import annotations

import asyncio
import os

import probe
from taskiq_pipelines import Pipeline, PipelineMiddleware
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend, RedisStreamBroker

if probe.VARIANT.startswith("stream"):
    broker = RedisStreamBroker(probe.URL, queue_name="bench", consumer_id="0", max_connection_pool_size=120)
else:
    # Its BRPOP waits for ever, and redis-py 8 gives up after 5 s: an idle worker would end every few seconds.
    broker = ListQueueBroker(probe.URL, queue_name="bench", max_connection_pool_size=120, socket_timeout=None)
if not probe.VARIANT.endswith("nores"):
    broker = broker.with_result_backend(RedisAsyncResultBackend(probe.URL, result_ex_time=120))
broker = broker.with_middlewares(PipelineMiddleware())

WIDE = ("--workers", "1", "--max-async-tasks", "100", "--max-prefetch", "100", "--log-level", "ERROR")


@broker.task(task_name="noop")
async def noop(text: str = "") -> None:
    probe.tick()


@broker.task(task_name="step")
async def step(run: int = 0, i: int = 0) -> int:
    probe.stamp(run, i)
    return 0


@broker.task(task_name="numbers")
async def numbers(count: int) -> list:
    return list(range(count))


@broker.task(task_name="child")
async def child(i: int) -> int:
    probe.tick()
    return 0


@broker.task(task_name="after")
async def after() -> None:
    probe.stamp(1)


@broker.task(task_name="pinged")
async def pinged(sent: int) -> None:
    probe.stamp(sent)


def worker():
    os.execvp("taskiq", ["taskiq", "worker", "peer_taskiq:broker", *WIDE])


async def enqueue(count, text):
    for some in probe.parts(count, 100):
        await asyncio.gather(*[noop.kiq(text) for _ in range(some)])


async def chain(runs, steps):
    for run in range(runs):
        pipeline = Pipeline(broker, step)
        for i in range(1, steps):
            pipeline.call_after(step, run=run, i=i)
        await pipeline.kiq(run=run, i=0)


async def fanout(count):
    await Pipeline(broker, numbers).map(child, check_interval=0.05).call_after(after).kiq(count)


def main():
    probe.run(worker=worker, enqueue=enqueue, chain=chain, fanout=fanout, send=pinged.kiq, connect=broker.startup, close=broker.shutdown)


if __name__ == "__main__":
    # Tasks are known by their module.
    import peer_taskiq

    peer_taskiq.main()
