"""One peer on an empty server: its worker processes, its commands, and what its handlers noted."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.compare.machine import Server, end_sessions

ROOT = Path(__file__).parents[2]
PEERS = ROOT / "benchmarks" / "peers"
RECORD = struct.Struct("<QQQ")
STALLS_S = 30.0
TAIL = 800


class Trouble(Exception):
    """A peer did not do what was asked of it; the text goes into the results."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A library, how it is set up (`variant`), and where it is installed: a folder, or "" for this interpreter.

    `most_jobs` bounds what is put into its queue at once, and `leaves_out` names workloads that it has no use for.
    """

    name: str
    variant: str = ""
    folder: str = ""
    most_jobs: int = 10**9
    leaves_out: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.name}:{self.variant}" if self.variant else self.name

    @property
    def setting(self) -> str:
        """As it is named on the command line."""
        return f"{self.name}:{self.variant}"

    @property
    def is_node(self) -> bool:
        return self.name == "bullmq"

    @property
    def command(self) -> list[str]:
        if self.is_node:
            return ["node", str(PEERS / "peer_bullmq.mjs")]
        python = str(Path(self.folder, "bin", "python")) if self.folder else sys.executable
        return [python, str(PEERS / f"peer_{self.name}.py")]


@dataclass(frozen=True, slots=True)
class Handled:
    """How many handlers ran, when the first and the last did (ns)."""

    count: int
    first: int = 0
    last: int = 0


class Bench:
    """A context manager; at its end nothing of the peer runs any more."""

    def __init__(self, server: Server, peer: Peer, timeout_s: float) -> None:
        self.server, self.peer, self._timeout_s = server, peer, timeout_s
        self._workers: list[subprocess.Popen[bytes]] = []
        self._folder = Path(tempfile.mkdtemp(prefix="ofb"))

    def __enter__(self) -> Bench:
        self.server.clear()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        paths = str(PEERS) if self.peer.folder else f"{PEERS}:{ROOT}"
        own = {"BENCH_PORT": str(self.server.port), "BENCH_FOLDER": str(self._folder), "BENCH_VARIANT": self.peer.variant}
        own |= {"PYTHONPATH": paths, "BENCH_NODE_MODULES": str(Path(self.peer.folder, "node_modules"))}
        if self.peer.folder:
            own["PATH"] = f"{self.peer.folder}/bin:{os.environ.get('PATH', '')}"
        if self.peer.name == "rq" and not self.peer.variant.startswith("simple"):
            own["BENCH_SLOT"] = "inherit"
        return {**os.environ, **own}

    def call(self, *what: object) -> dict[str, Any]:
        """Run a command of the peer to its end; what it says."""
        try:
            done = subprocess.run(
                [*self.peer.command, *map(str, what)],
                cwd=PEERS,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=self._timeout_s,
            )
        except subprocess.TimeoutExpired:
            raise Trouble(f"{what}: not done within {self._timeout_s:.0f} s") from None
        for line in done.stdout.splitlines():
            if line.startswith("BENCH "):
                return dict(json.loads(line[6:]))
        raise Trouble(f"{what}: exit code {done.returncode}: {done.stdout[-TAIL:]}{done.stderr[-TAIL:]}")

    def start(self, count: int = 1) -> None:
        """Start worker processes; each leads a session, so all that it starts is found again."""
        for _ in range(count):
            with self._log.open("ab") as log:
                command = [*self.peer.command, "worker"]
                process = subprocess.Popen(
                    command, cwd=PEERS, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            self._workers.append(process)

    def warm(self) -> None:
        """A worker that is up, connected and idle."""
        self.start()
        self.call("enqueue", 20, 10)
        self.until(lambda: self.handled.count, 20, "the first jobs run")
        time.sleep(0.5)

    def stop(self) -> None:
        end_sessions(self._workers)
        self._workers = []

    @property
    def worker_pid(self) -> int:
        return self._workers[0].pid

    @property
    def _log(self) -> Path:
        return self._folder / "worker.log"

    @property
    def handled(self) -> Handled:
        slots = [RECORD.unpack(data) for file in self._folder.glob("slot-*") if len(data := file.read_bytes()) == RECORD.size]
        used = [slot for slot in slots if slot[0]]
        if not used:
            return Handled(0)
        return Handled(sum(s[0] for s in used), min(s[1] for s in used), max(s[2] for s in used))

    @property
    def stamp_count(self) -> int:
        file = self._folder / "stamps"
        return file.stat().st_size // RECORD.size if file.exists() else 0

    @property
    def stamps(self) -> list[tuple[int, int, int]]:
        """What the handlers noted: two numbers of their own, and when (ns)."""
        file = self._folder / "stamps"
        data = file.read_bytes() if file.exists() else b""
        return [RECORD.unpack_from(data, at) for at in range(0, len(data) - RECORD.size + 1, RECORD.size)]

    def until(self, progress: Callable[[], int], wanted: int, what: str, look_s: float = 0.01) -> None:
        """Wait until `progress()` is what is wanted; `Trouble` if it stands still or takes too long."""
        end = time.monotonic() + self._timeout_s
        last, since = -1, time.monotonic()
        while (now_at := progress()) < wanted:
            now = time.monotonic()
            if now_at != last:
                last, since = now_at, now
            if now > end or now - since > STALLS_S:
                tail = self._log.read_text(errors="replace")[-TAIL:] if self._log.exists() else ""
                raise Trouble(f"gave up waiting until {what}: {now_at} of {wanted}. {tail}")
            time.sleep(look_s)
