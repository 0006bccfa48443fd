"""Child processes for handlers that hold the interpreter for long.

A child runs one handler at a time and is used again afterwards. It loads the flow's file by itself, so nothing but JSON
crosses the pipe. When a child is killed, by the system or by us, only the attempt that it worked on has failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process

from omniq_flow.client.connect import Target
from omniq_flow.engine.attempt import Attempt
from omniq_flow.engine.binding import Bound
from omniq_flow.engine.frames import Call, parse_outcome
from omniq_flow.engine.outcomes import Outcome

LONGEST_LINE = 1 << 30


class ProcessDied(Exception):
    """A child process ended before its handler did."""


class Children:
    """The child processes of a worker, made as they are wanted. With a `target` their handlers reach the server."""

    def __init__(self, target: Target | None = None) -> None:
        self._target = target
        self._idle: list[Process] = []
        self._busy: set[Process] = set()

    async def call(self, attempt: Attempt, roll: float) -> Outcome:
        """Run a handler in a child. `ProcessDied` if that was killed; if we are cancelled, it is killed."""
        child = await self._child()
        self._busy.add(child)
        try:
            outcome = await self._talk(child, attempt, roll)
        except BaseException:
            _kill(child)
            # Who dies is waited for, or the pipes outlive the loop.
            await asyncio.shield(child.wait())
            raise
        finally:
            self._busy.discard(child)
        self._idle.append(child)
        return outcome

    async def close(self) -> None:
        """Kill all of them, and wait until they are gone."""
        children = (*self._idle, *self._busy)
        for child in children:
            _kill(child)
        await asyncio.gather(*(child.wait() for child in children))

    async def _talk(self, child: Process, attempt: Attempt, roll: float) -> Outcome:
        assert isinstance(attempt.bound, Bound)
        assert child.stdin is not None
        assert child.stdout is not None
        bound = attempt.bound
        call = Call(
            bound.code.file, bound.step, bound.is_mapped, bound.code.codec.limit, attempt.given, attempt.context, roll, self._target
        )
        with contextlib.suppress(ConnectionError):
            child.stdin.write(call.line())
            await child.stdin.drain()
        while line := await child.stdout.readline():
            data = json.loads(line)
            if "outcome" in data:
                return parse_outcome(data["outcome"])
            attempt.context.log(data["log"])
        raise ProcessDied(f"the process of {attempt.name} {_how(await child.wait())}")

    async def _child(self) -> Process:
        while self._idle:
            child = self._idle.pop()
            if child.returncode is None:
                return child
        # A session of its own: an interrupt at the terminal is the worker's, and with it dies all that it started.
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "omniq_flow.engine.child",
            stdin=PIPE,
            stdout=PIPE,
            limit=LONGEST_LINE,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )


def _how(code: int) -> str:
    if code >= 0:
        return f"exited with {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def _kill(child: Process) -> None:
    if child.stdin is not None:
        child.stdin.close()
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
