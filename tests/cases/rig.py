"""The rig of the cases: a server, a project folder with flows, worker processes that may be killed, a log of effects.

    rig.write('''
        flow = Flow("case", lease="2s")
        @flow.step
        def a(ctx: StepContext) -> int:
            effect(ctx)
            return 1
    ''')
    rig.workers(3)
    run = rig.start()
    rig.ends(run)

Whatever a case does, `rig` checks the invariants of the keyspace when the test ends (S2–S7 of docs/cases.md).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import redis

from omniq_flow.client.client import Client
from omniq_flow.engine.registry import load_file
from omniq_flow.engine.starting import start
from omniq_flow.flow.definition import Flow
from omniq_flow.model.names import StepRun
from omniq_flow.model.runs import Fact, Failure, RunHeader
from omniq_flow.model.states import RunState, StepState
from omniq_flow.ops import keys
from omniq_flow.ops.runs import HistoryEntry, run_facts_page, run_header, run_history, run_outputs, run_purge, runs_of
from tests.cases import effects
from tests.cases.effects import Effect
from tests.invariants.checker import assert_holds
from tests.support.server import ScratchServer
from tests.support.until import wait_until

FAR_MS = 10**14 - 1
"""Later than any retention ends but the one of a run that is to be kept."""
HANDED_BACK = 9
"""How a worker exits that was stopped before it had finished."""

ROOT = Path(__file__).resolve().parents[2]

PROLOGUE = """
import os, signal, time, asyncio
from typing import Any
from pydantic import BaseModel
from omniq_flow import Flow, Retry, StepContext, each, gather, result, Failure
from tests.cases.effects import effect

class N(BaseModel):
    n: int = 0
    text: str = ""

NO_RETRY = Retry(attempts=1)
QUICK = Retry(attempts=3, backoff="fixed", delay="0.2s", jitter=False)
"""


class WorkerProcess:
    """`omniq-flow worker` as its user runs it, in a process of its own."""

    def __init__(self, url: str, folder: Path, number: int, options: tuple[str, ...]) -> None:
        self.log = folder / f"worker-{number}.log"
        environment = {**os.environ, effects.VARIABLE: str(folder / "effects"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "omniq_flow.cli.main", "worker", "--url", url, *options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    @property
    def has_crashed(self) -> bool:
        """Whether it ended by itself, neither drained nor with what it held handed back."""
        code = self.process.poll() or 0
        return code > 0 and code != HANDED_BACK

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self, timeout: float = 15) -> int:
        """SIGTERM: drain and leave; the exit code."""
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        return self.process.wait(timeout)

    def said(self) -> str:
        return self.log.read_text(errors="replace")


class Rig:
    """One case: everything it started ends with it."""

    def __init__(self, folder: Path, server: ScratchServer) -> None:
        self.folder = folder
        self.server = server
        self.url = server.url
        (folder / "flows").mkdir()
        self.client = Client.open(server.url)
        self.conn: redis.Redis = server.connection()
        self.crew: list[WorkerProcess] = []
        self.flow: Flow

    def write(self, source: str, name: str = "case", *, prologue: str = PROLOGUE) -> Flow:
        """Put a flow file into the project; gives its `flow`."""
        path = self.folder / "flows" / f"{name}.py"
        path.write_text(prologue + textwrap.dedent(source), encoding="utf-8")
        self.flow = load_file(path).flow
        return self.flow

    def worker(self, *options: str, url: str = "", wait: bool = True) -> WorkerProcess:
        """Start one worker and wait until it serves the flow's queue."""
        before = self._serving()
        worker = WorkerProcess(url or self.url, self.folder, len(self.crew) + 1, options)
        self.crew.append(worker)
        if wait:
            wait_until(lambda: self._serving() > before or not worker.is_alive, "the worker serves the queue", 20)
            assert worker.is_alive, f"the worker ended at once:\n{worker.said()}"
        return worker

    def workers(self, n: int, *options: str) -> list[WorkerProcess]:
        """Start several at once."""
        before = self._serving()
        crew = [self.worker(*options, wait=False) for _ in range(n)]
        wait_until(lambda: self._serving() >= before + n, f"{n} workers serve the queue", 30)
        return crew

    def _serving(self) -> int:
        """All that ever registered: names are never reused, so a killed one still counts until it expires."""
        return int(self.conn.zcard(keys.workers(self.flow.queue)))

    def start(self, value: dict[str, Any] | None = None, *, flow: Flow | None = None, key: str = "", run_id: str | None = None) -> str:
        chosen = flow or self.flow
        given = value if value is not None or chosen.input is None else {}
        return start(self.client, chosen, given, key=key, run_id=run_id).run_id

    def header(self, run: str) -> RunHeader:
        return self.client.execute(run_header(self.flow.queue, run))

    def ends(self, run: str, timeout: float = 30) -> RunState:
        """Wait until the run has ended; its state."""
        wait_until(lambda: self.header(run).state.is_ended, f"run {run} ends ({self.states(run)})", timeout)
        return self.header(run).state

    def facts(self, run: str) -> dict[StepRun, Fact]:
        cursor, found = self.client.execute(run_facts_page(self.flow.queue, run))
        while cursor:
            cursor, more = self.client.execute(run_facts_page(self.flow.queue, run, cursor))
            found |= more
        return found

    def states(self, run: str) -> dict[str, str]:
        """Step run -> word: `{"a": "succeeded", "m[0]": "failed"}`."""
        return {str(step_run): fact.state.word for step_run, fact in sorted(self.facts(run).items())}

    def state(self, run: str, step_run: str) -> StepState:
        return self.facts(run).get(StepRun.parse(step_run), Fact()).state

    def output(self, run: str, step_run: str) -> Any:
        """The value of a step run, read as JSON."""
        raw = self.client.execute(run_outputs(self.flow.queue, run, (StepRun.parse(step_run).id,)))[0]
        assert (raw or b"")[:1] == b"=", f"{step_run} has no inline output: {raw!r}"
        return json.loads((raw or b"")[1:])

    def failure(self, run: str, step_run: str) -> Failure:
        raw = self.client.execute(run_outputs(self.flow.queue, run, (StepRun.parse(step_run).id,)))[0]
        assert (raw or b"")[:1] == b"!", f"{step_run} has no failure: {raw!r}"
        return Failure.parse((raw or b"")[1:])

    def events(self, run: str) -> list[HistoryEntry]:
        return self.client.execute(run_history(self.flow.queue, run))

    def effects(self, what: str = "start", run: str = "") -> list[Effect]:
        found = effects.read(self.folder / "effects")
        return [e for e in found if e.what == what and (not run or e.run == run)]

    def starts(self, run: str = "") -> Counter[str]:
        """Handler starts by step run."""
        return Counter(e.id for e in self.effects("start", run))

    def dispatches(self, run: str) -> Counter[str]:
        """How often each step run was given a job, as the run's history tells."""
        return Counter(event.event.split()[1] for event in self.events(run) if event.event.startswith("Q "))

    def counters(self) -> list[str]:
        """Completion counters that are in Redis now."""
        return sorted(k.decode() for k in self.conn.scan_iter(match=f"{keys.base(self.flow.queue)}:cc:*", count=1_000))

    def check(self) -> None:
        """The invariants on the keyspace as it stands, the workers' logs, and what a purge of all that has ended leaves."""
        assert_holds(self.conn, self.flow.queue)
        # One that was killed has a code below zero.
        assert [worker.said() for worker in self.crew if "Traceback" in worker.said() or worker.has_crashed] == []
        self._check_purge()

    def _check_purge(self) -> None:
        """A run that was purged is named by no key (I16). One whose record the case took away cannot be purged as a whole."""
        queue = self.flow.queue
        ended = self.client.execute(runs_of(queue, "ended", 100_000))
        whole = {run for run in ended if self.conn.exists(keys.header(queue, run))}
        wait_until(lambda: not self.client.execute(run_purge(queue, keep_runs=0, now_ms=FAR_MS)).has_more, "all is purged")
        gone = {run for run in whole if not self.conn.exists(keys.header(queue, run))}
        left = [key.decode("utf-8", "backslashreplace") for key in self.conn.scan_iter(count=1_000)]
        assert [key for key in left if any(run in key for run in gone)] == []

    def close(self) -> None:
        for worker in self.crew:
            with contextlib.suppress(ProcessLookupError):
                worker.thaw()
            worker.kill()
        self.client.close()
        self.conn.close()
