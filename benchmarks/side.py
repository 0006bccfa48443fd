"""One side of `plain_jobs.py`, run with the interpreter of one library: the calls are the same in both.

    python side.py LIBRARY PORT publish N | publish_many N | drain N | serve | ping N

Each prints one JSON object. Only the public names that both libraries have are used, but for `publish_many`.
"""

from __future__ import annotations

import importlib
import json
import random
import signal
import sys
import threading
import time
from typing import Any

QUEUE = "bench"
PAYLOAD = {"n": 1, "text": "x" * 64}
IDLE_GAP_S = (0.03, 0.13)


def publish(client: Any, n: int) -> dict[str, Any]:
    client.is_paused(queue=QUEUE)
    began = time.perf_counter()
    for _ in range(n):
        client.publish(queue=QUEUE, payload=PAYLOAD)
    return {"seconds": time.perf_counter() - began}


def publish_many(client: Any, n: int) -> dict[str, Any]:
    client.is_paused(queue=QUEUE)
    began = time.perf_counter()
    results = client.publish_many(queue=QUEUE, jobs=[{"payload": PAYLOAD}] * n)
    assert len(results) == n
    return {"seconds": time.perf_counter() - began}


def drain(client: Any, n: int) -> dict[str, Any]:
    """From the first handler to the last of n, in one consumer with the library's defaults."""
    times: list[float] = []

    def handler(ctx: Any) -> None:
        times.append(time.perf_counter())
        if len(times) == n:
            signal.raise_signal(signal.SIGTERM)

    client.consume(queue=QUEUE, handler=handler)
    return {"seconds": times[n - 1] - times[0]}


def serve(client: Any) -> None:
    """Says for each job how long after its publication the handler began, until SIGTERM."""

    def handler(ctx: Any) -> None:
        if "sent" in ctx.payload:
            print(json.dumps({"ms": (time.monotonic_ns() - ctx.payload["sent"]) / 1e6}), flush=True)

    threading.Timer(1.0, lambda: print(json.dumps({"ready": True}), flush=True)).start()
    client.consume(queue=QUEUE, handler=handler)


def ping(client: Any, n: int) -> dict[str, Any]:
    for _ in range(n):
        time.sleep(random.uniform(*IDLE_GAP_S))
        client.publish(queue=QUEUE, payload={"sent": time.monotonic_ns()})
    return {"sent": n}


def main() -> None:
    library, port, what, *numbers = sys.argv[1:]
    client = importlib.import_module(library).OmniqClient(host="127.0.0.1", port=int(port))
    works = {"publish": publish, "publish_many": publish_many, "drain": drain, "serve": serve, "ping": ping}
    result = works[what](client, *map(int, numbers))
    if result:
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
