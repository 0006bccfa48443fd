"""huey, one consumer. Variants: `t1` and `t8` have that many threads, `p2` two processes. It enqueues one by one."""

from __future__ import annotations

import os

import probe
from huey import RedisHuey, chord

CONSUMERS = {"t1": ("thread", "1"), "t8": ("thread", "8"), "p2": ("process", "2")}
huey = RedisHuey("bench", url=probe.URL, results=True, store_none=False)


@huey.task()
def noop(text=""):
    probe.tick()


@huey.task()
def child(i):
    probe.tick()
    return 0


@huey.task()
def step(*given):
    # What the step before returned may stand first.
    probe.stamp(*given[-2:])


@huey.task()
def after(*results, **named):
    probe.stamp(1)


@huey.task()
def pinged(sent):
    probe.stamp(sent)


def worker():
    kind, count = CONSUMERS[probe.VARIANT or "t8"]
    os.execvp("huey_consumer", ["huey_consumer", "peer_huey.huey", "-w", count, "-k", kind, "-q", "-n", "-C"])


def enqueue(count, text):
    for _ in range(count):
        noop(text)


def chain(runs, steps):
    for run in range(runs):
        head = step.s(run, 0)
        for i in range(1, steps):
            head = head.then(step, run, i)
        huey.enqueue(head)


def fanout(count):
    huey.enqueue(chord([child.s(i) for i in range(count)], after.s()))


def main():
    probe.run(worker=worker, enqueue=enqueue, chain=chain, fanout=fanout, send=pinged, connect=lambda: len(huey))


if __name__ == "__main__":
    # Tasks are known by their module.
    import peer_huey

    peer_huey.main()
