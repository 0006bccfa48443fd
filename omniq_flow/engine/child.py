"""The program of a child process: it loads flow files, runs one handler at a time, and ends when its worker does.

What a handler prints goes to the worker's standard error: standard output carries the answers. Nobody but the worker can
stop a handler: interrupts from a terminal do not reach this process, it is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from queue import SimpleQueue
from typing import BinaryIO

from omniq_flow.client.connect import Target
from omniq_flow.engine.binding import Bound
from omniq_flow.engine.frames import Call, log_line, outcome_line
from omniq_flow.engine.outcomes import Outcome, failed
from omniq_flow.engine.registry import Registry, load_file, served_of
from omniq_flow.engine.tools import Tools
from omniq_flow.flow.context import NO_TOOLS


class _Channel:
    """The two pipes, kept out of the handlers' reach."""

    def __init__(self) -> None:
        self._in: BinaryIO = os.fdopen(os.dup(0), "rb")
        self._out: BinaryIO = os.fdopen(os.dup(1), "wb")
        with open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)
        self._calls: SimpleQueue[Call] = SimpleQueue()
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def calls(self) -> Iterator[Call]:
        while True:
            yield self._calls.get()

    def say(self, line: bytes) -> None:
        with self._lock:
            self._out.write(line)
            self._out.flush()

    def _listen(self) -> None:
        for line in self._in:
            self._calls.put(Call.parse(json.loads(line)))
        # The worker is gone: whatever a handler does now counts for nothing.
        os._exit(0)


@cache
def _flows(file: str, limit: int) -> Registry:
    registry = Registry.of(served_of(load_file(file)), value_limit=limit)
    registry.raise_faults()
    return registry


@cache
def _tools(target: Target) -> Tools:
    return Tools(target)


def _run(call: Call, channel: _Channel) -> Outcome:
    tools = _tools(call.target) if call.target else NO_TOOLS
    context = replace(call.context, write_log=lambda text: channel.say(log_line(text)), tools=tools)
    try:
        code = _flows(call.file, call.limit).code(context.flow, call.step.name)
    except Exception as error:
        # The file loads in the worker and not here: it depends on what is around it.
        return failed(error, context.step_run.id, context.attempt, call.step.options, call.roll)
    bound = Bound.of(call.step, code, is_mapped=call.is_mapped)
    if not bound.code.is_async:
        return bound.call(call.given, context, call.roll)
    outcome = asyncio.run(bound.call_async(call.given, context, call.roll, lambda: False))
    assert outcome is not None
    return outcome


def main() -> None:
    channel = _Channel()
    for call in channel.calls():
        channel.say(outcome_line(_run(call, channel)))


if __name__ == "__main__":
    main()
