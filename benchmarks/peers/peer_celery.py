"""celery. Variants are its pools: `prefork1`, `prefork2` (two processes), `threads` (8), `solo`.

One producer is used again, results are ignored but for the chord's, 64 tasks are prefetched a process (its advice for many short
tasks); gossip, mingle and heartbeats are off.
"""

from __future__ import annotations

import os

import celery
import probe

app = celery.Celery("peer_celery", broker=probe.URL, backend=probe.URL)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=64,
    broker_connection_retry_on_startup=True,
    task_store_errors_even_if_ignored=False,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
)
POOLS = {"prefork1": ("prefork", "1"), "prefork2": ("prefork", "2"), "threads": ("threads", "8"), "solo": ("solo", "1")}
OFF = ("--without-gossip", "--without-mingle", "--without-heartbeat")
producer = app.amqp.Producer(app.connection_for_write())


@app.task(name="noop")
def noop(text=""):
    probe.tick()


@app.task(name="step")
def step(run, i):
    probe.stamp(run, i)


@app.task(name="child", ignore_result=False)
def child(i):
    probe.tick()
    return 0


@app.task(name="after")
def after(results=None):
    probe.stamp(1)


@app.task(name="pinged")
def pinged(sent):
    probe.stamp(sent)


def worker():
    pool, concurrency = POOLS[probe.VARIANT or "prefork2"]
    name = f"w{os.getpid()}@bench"
    os.execvp("celery", ["celery", "-A", "peer_celery", "worker", "-P", pool, "-c", concurrency, "-l", "ERROR", "-n", name, *OFF])


def enqueue(count, text):
    for _ in range(count):
        noop.apply_async((text,), producer=producer)


def chain(runs, steps):
    for run in range(runs):
        celery.chain(*[step.si(run, i) for i in range(steps)]).apply_async(producer=producer)


def fanout(count):
    celery.chord([child.si(i) for i in range(count)])(after.s())


def send(sent):
    pinged.apply_async((sent,), producer=producer)


if __name__ == "__main__":
    probe.run(
        worker=worker, enqueue=enqueue, chain=chain, fanout=fanout, send=send, connect=lambda: producer.connection.ensure_connection()
    )
