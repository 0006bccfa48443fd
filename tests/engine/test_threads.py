"""Threads for sync handlers: short ones share a thread, long ones have one each, none waits for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio

from omniq_flow.engine.attempt import Attempt
from omniq_flow.engine.threads import Threads
from tests.support.until import until


class Crew:
    """Threads, and what their handlers gave."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.are_quick = True
        self.threads = Threads(
            asyncio.get_running_loop(), lambda _, outcome, successor: self.done.append(outcome), lambda: None, lambda: self.are_quick
        )

    def submit(self, handler: Callable[[], Any]) -> None:
        bound = SimpleNamespace(call=lambda given, context, roll: handler())
        self.threads.submit(cast(Attempt, SimpleNamespace(bound=bound, context=object(), given=[])))

    async def gave(self, n: int) -> None:
        await until(lambda: len(self.done) == n, f"{n} handlers have ended")


def at_work() -> int:
    return sum(thread.name == "omniq-flow-handler" for thread in threading.enumerate())


@pytest_asyncio.fixture
async def crew() -> AsyncIterator[Crew]:
    """No thread is there before, none after it was closed."""
    await until(lambda: at_work() == 0, "no thread is there")
    made = Crew()
    yield made
    made.threads.close()
    await until(lambda: at_work() == 0, "the threads are gone")


async def test_quick_handlers_share_a_thread(crew: Crew) -> None:
    """What is submitted in one turn is worked through by one thread, without waking others."""
    for _ in range(50):
        crew.submit(threading.get_ident)
    await crew.gave(50)
    assert at_work() <= 2


@pytest.mark.parametrize("are_quick", [True, False])
async def test_long_handlers_run_side_by_side(crew: Crew, are_quick: bool) -> None:
    """Handlers that wait for each other all run, also when the first was thought to be quick."""
    crew.are_quick = are_quick
    barrier = threading.Barrier(16, timeout=5)
    for _ in range(16):
        crew.submit(barrier.wait)
    await crew.gave(16)
    assert sorted(crew.done) == list(range(16))


async def test_there_are_never_more_threads_than_jobs(crew: Crew) -> None:
    """Handlers that block for long have a thread each, and all others together need but one more."""
    release = threading.Event()
    for _ in range(4):
        crew.submit(release.wait)
    await until(lambda: at_work() == 4, "four threads are at work")
    for n in range(1, 51):
        crew.submit(threading.get_ident)
        await crew.gave(n)
    assert at_work() == 5
    release.set()
    await crew.gave(54)
