"""Consumers of plain jobs, each in a process of its own, as a user's script starts them; the rig has them in its crew.

plain = Plain(rig, '''
    def handler(ctx):
        note(ctx)
''')
plain.consumers(3)
plain.publish("a", {"n": 1})
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable
from typing import Any, cast

from omniq_flow.flow.context import JobContext
from omniq_flow.model.jobs import JobOptions
from omniq_flow.ops import jobs, keys
from tests.cases import effects
from tests.cases.effects import Effect
from tests.cases.plain import BARE
from tests.cases.rig import ROOT, Rig, WorkerProcess
from tests.support.until import wait_until

PROGRAM = """
import asyncio, os, signal, sys, time
from omniq_flow.omniq.consume import Consumer
from tests.cases.consumers import note

{handler}

Consumer(sys.argv[1], queue="case", handler=handler, concurrency=int(sys.argv[2]), verbose={verbose}).run()
"""


def note(ctx: JobContext, what: str = "start") -> None:
    """Note one effect of a plain job: its id stands for the step run."""
    effects.note(Effect(what, "", ctx.job_id, ctx.queue, ctx.attempt, os.getpid(), time.monotonic()))


class ConsumerProcess(WorkerProcess):
    """A script that consumes one queue."""

    def __init__(self, rig: Rig, concurrency: int) -> None:
        self.log = rig.folder / f"worker-{len(rig.crew) + 1}.log"
        environment = {**os.environ, effects.VARIABLE: str(rig.folder / "effects"), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-u", "consumer.py", rig.url, str(concurrency)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=rig.folder, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


class Plain:
    """A queue of plain jobs, and the script of those who work it."""

    def __init__(self, rig: Rig, handler: str, *, verbose: bool = False) -> None:
        self.rig = rig
        rig.write(BARE)
        source = PROGRAM.format(handler=textwrap.dedent(handler), verbose=verbose)
        (rig.folder / "consumer.py").write_text(source, encoding="utf-8")

    def consumer(self, concurrency: int = 16, *, wait: bool = True) -> ConsumerProcess:
        return self.consumers(1, concurrency, wait=wait)[0]

    def consumers(self, n: int, concurrency: int = 16, *, wait: bool = True) -> list[ConsumerProcess]:
        """Start some and wait until they serve the queue."""
        before = self._serving()
        crew = []
        for _ in range(n):
            crew.append(ConsumerProcess(self.rig, concurrency))
            self.rig.crew.append(crew[-1])
        if wait:
            wait_until(lambda: self._serving() >= before + n, f"{n} consumers serve the queue", 30)
        return crew

    def publish(self, job_id: str, payload: Any = None, *, options: JobOptions) -> None:
        self.publish_all([(job_id, payload)], options=options)

    def publish_all(self, named: Iterable[tuple[str, Any]], *, options: JobOptions) -> None:
        self.rig.client.execute_all([jobs.publish("case", payload, job_id=job_id, options=options) for job_id, payload in named])

    def field(self, job_id: str, name: str) -> str:
        return (cast("bytes | None", self.rig.conn.hget(keys.job("case", job_id), name)) or b"").decode()

    def is_idle(self) -> bool:
        """Nothing waits, runs or is delayed."""
        return not self.rig.conn.exists(*(keys.queue_key("case", lane) for lane in ("wait", "active", "delayed")))

    def ends(self, timeout: float = 20) -> None:
        wait_until(self.is_idle, "all jobs have ended", timeout)

    def _serving(self) -> int:
        return int(self.rig.conn.zcard(keys.workers("case")))
