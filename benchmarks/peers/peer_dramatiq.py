"""dramatiq on Redis, one process. Variants: `t8` is its default of 8 threads, `t1` has one.

`fast` has 8 threads, looks every 10 ms at the latest (its own back-off goes further) and prefetches 128. It sends one by one.
"""

from __future__ import annotations

import os

import dramatiq
import probe
from dramatiq.brokers.redis import RedisBroker
from dramatiq.composition import group, pipeline
from dramatiq.middleware.group_callbacks import GroupCallbacks
from dramatiq.rate_limits.backends import RedisBackend

broker = RedisBroker(url=probe.URL)
broker.add_middleware(GroupCallbacks(RedisBackend(url=probe.URL)))
dramatiq.set_broker(broker)


@dramatiq.actor
def noop(text=""):
    probe.tick()


@dramatiq.actor
def step(run, i):
    probe.stamp(run, i)


@dramatiq.actor
def after():
    probe.stamp(1)


@dramatiq.actor
def pinged(sent):
    probe.stamp(sent)


def worker():
    if probe.VARIANT == "fast":
        os.environ.update(dramatiq_worker_timeout="10", dramatiq_queue_prefetch="128")
    threads = probe.VARIANT[1:] if probe.VARIANT[:1] == "t" else "8"
    os.execvp("dramatiq", ["dramatiq", "peer_dramatiq", "--processes", "1", "--threads", threads, "--skip-logging"])


def enqueue(count, text):
    for _ in range(count):
        noop.send(text)


def chain(runs, steps):
    for run in range(runs):
        pipeline([step.message_with_options(args=(run, i), pipe_ignore=True) for i in range(steps)]).run()


def fanout(count):
    children = group([noop.message() for _ in range(count)])
    children.add_completion_callback(after.message())
    children.run()


if __name__ == "__main__":
    probe.run(worker=worker, enqueue=enqueue, chain=chain, fanout=fanout, send=pinged.send, connect=lambda: broker.client.ping())
