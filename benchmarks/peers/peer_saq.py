"""saq. Variants: '' is its default concurrency of 10, `c100` has 100.

It enqueues one by one, here 100 at once. It has no chains: a handler enqueues the next step. Its way to fan in is a parent job that
waits in `map` for the children.
"""

from __future__ import annotations

import asyncio
import os

import probe
from saq import Queue

OPTIONS = {"timeout": 0, "ttl": -1}
queue = Queue.from_url(probe.URL, name="bench")


async def noop(ctx, text=""):
    probe.tick()


async def step(ctx, run, i, steps):
    probe.stamp(run, i)
    if i + 1 < steps:
        await ctx["worker"].queue.enqueue("step", run=run, i=i + 1, steps=steps, **OPTIONS)


async def parent(ctx, count):
    await ctx["worker"].queue.map("noop", [{} for _ in range(count)], timeout=100, retries=1)
    await ctx["worker"].queue.enqueue("after", **OPTIONS)


async def after(ctx):
    probe.stamp(1)


async def pinged(ctx, sent):
    probe.stamp(sent)


settings = {
    "queue": queue,
    "functions": [noop, step, parent, after, pinged],
    "concurrency": 100 if probe.VARIANT == "c100" else 10,
}


def worker():
    os.execvp("saq", ["saq", "peer_saq.settings", "--quiet"])


async def enqueue(count, text):
    for some in probe.parts(count, 100):
        await asyncio.gather(*[queue.enqueue("noop", text=text, **OPTIONS) for _ in range(some)])


async def chain(runs, steps):
    await asyncio.gather(*[queue.enqueue("step", run=run, i=0, steps=steps, **OPTIONS) for run in range(runs)])


async def fanout(count):
    await queue.enqueue("parent", count=count, timeout=100, ttl=-1)


async def send(sent):
    await queue.enqueue("pinged", sent=sent, **OPTIONS)


async def connect():
    await queue.connect()
    await queue.count("queued")


if __name__ == "__main__":
    probe.run(worker=worker, enqueue=enqueue, chain=chain, fanout=fanout, send=send, connect=connect, close=queue.disconnect)
