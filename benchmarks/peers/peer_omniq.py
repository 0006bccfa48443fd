"""omniq 4.0.0. Variants: '' is its defaults; `tuned` polls every ms and has a fixed heartbeat interval, which saves a call a job.

It publishes one by one. Chain and fan-in are made by hand in the handlers, with its child counters for the latter.
"""

from __future__ import annotations

import probe
from omniq.client import OmniqClient

QUEUE = "bench"
TUNED = {"poll_interval_s": 0.001, "heartbeat_interval_s": 10.0}

client = OmniqClient(host="127.0.0.1", port=probe.PORT)


def handle(ctx):
    job = ctx.payload
    match job.get("kind"):
        case None:
            probe.tick()
        case "step":
            probe.stamp(job["run"], job["i"])
            if job["i"] + 1 < job["steps"]:
                ctx.exec.publish(queue=QUEUE, payload={**job, "i": job["i"] + 1})
        case "child":
            probe.tick()
            if ctx.exec.child_ack(job["key"]) == 0:
                ctx.exec.publish(queue=QUEUE, payload={"kind": "after"})
        case "after":
            probe.stamp(1)
        case "ping":
            probe.stamp(job["sent"])


def publish(**payload):
    client.publish(queue=QUEUE, payload=payload)


def worker():
    client.consume(queue=QUEUE, handler=handle, **(TUNED if probe.VARIANT == "tuned" else {}))


def enqueue(count, text):
    for _ in range(count):
        publish(text=text)


def chain(runs, steps):
    for run in range(runs):
        publish(kind="step", run=run, i=0, steps=steps)


def fanout(count):
    key = f"fan-{probe.now()}"
    client.childs_init(key=key, expected=count)
    for _ in range(count):
        publish(kind="child", key=key)


def send(sent):
    publish(kind="ping", sent=sent)


if __name__ == "__main__":
    probe.run(worker=worker, enqueue=enqueue, chain=chain, fanout=fanout, send=send, connect=lambda: client.is_paused(queue=QUEUE))
