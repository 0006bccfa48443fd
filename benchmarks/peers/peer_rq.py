"""rq. Variants: '' is its default, which forks for each job; `simple` is its SimpleWorker, which does not.

Jobs are enqueued 1,000 at a time and deleted when done, but those that others depend on, which are kept for 60 s.
"""

from __future__ import annotations

import os

import probe
from redis import Redis
from rq import Queue

KIND = "rq.SimpleWorker" if probe.VARIANT == "simple" else "rq.Worker"
connection = Redis(port=probe.PORT)
queue = Queue("bench", connection=connection)


def noop(text=""):
    probe.tick()


def step(run, i):
    probe.stamp(run, i)


def after():
    probe.stamp(1)


def pinged(sent):
    probe.stamp(sent)


def worker():
    # The handlers are loaded before the fork, as its documentation advises.
    program = "import peer_rq, rq.cli; rq.cli.main()"
    os.execvp("python", ["python", "-c", program, "worker", "--quiet", "--url", probe.URL, "-w", KIND, "bench"])


def enqueue(count, text):
    for some in probe.parts(count, 1_000):
        queue.enqueue_many([Queue.prepare_data("peer_rq.noop", (text,), result_ttl=0) for _ in range(some)])


def chain(runs, steps):
    for run in range(runs):
        before = None
        for i in range(steps):
            before = queue.enqueue("peer_rq.step", run, i, depends_on=before, result_ttl=60)


def fanout(count):
    children = queue.enqueue_many([Queue.prepare_data("peer_rq.noop", (), result_ttl=60) for _ in range(count)])
    queue.enqueue("peer_rq.after", depends_on=children, result_ttl=60)


def send(sent):
    queue.enqueue("peer_rq.pinged", sent, result_ttl=0)


if __name__ == "__main__":
    probe.run(worker=worker, enqueue=enqueue, chain=chain, fanout=fanout, send=send, connect=connection.ping)
