"""streaq. Variants: '' is its default concurrency of 16, `c100` has 100. Jobs are enqueued 1,000 at a time."""

from __future__ import annotations

import os

import probe
from streaq import Worker

START = "import logging, peer_streaq; logging.disable(logging.WARNING); peer_streaq.streaq.run_sync()"
streaq = Worker(redis_url=probe.URL, queue_name="bench", concurrency=100 if probe.VARIANT == "c100" else 16)


@streaq.task(ttl=0)
async def noop(text: str = "") -> None:
    probe.tick()


@streaq.task()
async def child(i: int) -> int:
    probe.tick()
    return 0


@streaq.task()
async def step(before: int | None = None, *, run: int = 0, i: int = 0) -> int:
    probe.stamp(run, i)
    return 0


@streaq.task()
async def after() -> None:
    probe.stamp(1)


@streaq.task(ttl=0)
async def pinged(sent: int) -> None:
    probe.stamp(sent)


def worker():
    os.execvp("python", ["python", "-c", START])


async def enqueue(count, text):
    for some in probe.parts(count, 1_000):
        await streaq.enqueue_many([noop.enqueue(text) for _ in range(some)])


async def chain(runs, steps):
    for run in range(runs):
        task = step.enqueue(0, run=run, i=0)
        for i in range(1, steps):
            task = task.then(step, run=run, i=i)
        await task


async def fanout(count):
    children = [child.enqueue(i) for i in range(count)]
    await streaq.enqueue_many(children)
    await after.enqueue().start(after=[task.id for task in children])


async def send(sent):
    await pinged.enqueue(sent)


async def connect():
    await streaq.__aenter__()
    await streaq.queue_size()


async def close():
    await streaq.__aexit__(None, None, None)


def main():
    probe.run(worker=worker, enqueue=enqueue, chain=chain, fanout=fanout, send=send, connect=connect, close=close)


if __name__ == "__main__":
    # Tasks are known by their module.
    import peer_streaq

    peer_streaq.main()
