"""A worker inside a command: its signals, its log, and the server that it may have to bring back."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

from omniq_flow.cli import garbage
from omniq_flow.cli.progress import Lines, Live, NoteStream, Progress
from omniq_flow.cli.session import Session
from omniq_flow.errors import ServerUnavailable
from omniq_flow.tui.link import ReadOnly

if TYPE_CHECKING:
    from omniq_flow.engine.registry import Registry
    from omniq_flow.engine.worker import Ending, Worker
    from omniq_flow.flow.definition import Flow

SIGNALS = (signal.SIGINT, signal.SIGTERM)
DRAIN_MS = 30_000
LOOK_EVERY_S = 2.0

logger = logging.getLogger("omniq_flow.worker")


class Service:
    """A worker that serves until it is stopped, and keeps the project's own server alive meanwhile.

    A server that died is started again, at another address; a new worker takes the place of the one that cannot
    reach it. What that one was at work on comes back when its leases lapse.
    """

    def __init__(self, session: Session, flows: Registry, drain_ms: int) -> None:
        self._session = session
        self._make = partial(make_worker, session, flows, drain_ms)
        self._worker = self._make()
        self._is_stopping = False

    def stop(self) -> None:
        """As `Worker.stop`: drain, and called again hand back at once."""
        self._is_stopping = True
        self._worker.stop()

    async def run(self) -> Ending:
        """Work until stopped; gives how it ended."""
        while True:
            working = asyncio.create_task(self._worker.run())
            moved = asyncio.create_task(self._server_moved())
            await asyncio.wait({working, moved}, return_when=asyncio.FIRST_COMPLETED)
            moved.cancel()
            if working.done():
                return working.result()
            working.cancel()
            await asyncio.wait({working})
            logger.warning("the server of this project was gone; another one was started")
            self._worker = self._make()

    async def _server_moved(self) -> None:
        """Return once the project's server is found at another address, started again if need be."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._session.settings.url or self._is_stopping:
                continue
            try:
                if await asyncio.to_thread(self._session.server_moved):
                    return
            except ServerUnavailable as error:
                logger.warning("the server of this project does not come back: %s", error)


async def serve(session: Session, flows: Registry, drain_ms: int) -> Ending:
    """Work flows until a signal says to stop, then drain; gives how that went."""
    service = Service(session, flows, drain_ms)
    with logging_to(Lines(session.output.talk), is_verbose=True), signals_to(service):
        names = ", ".join([*flows.flows, *(f"jobs of {queue}" for queue in flows.handlers)])
        session.output.talk(f"worker serves {names}; queues {', '.join(flows.queues)}; ctrl-c drains")
        ending = await service.run()
        session.output.talk(ending.replace("_", " "))
        return ending


def make_worker(session: Session, flows: Registry | list[Flow], drain_ms: int = DRAIN_MS) -> Worker:
    """A worker with the settings of this command, for a server that was seen to be there."""
    from omniq_flow.engine.worker import Worker

    settings = session.settings
    if settings.read_only:
        raise ReadOnly("a worker changes what it works on", where=settings.origin["read_only"], hint="work without read_only")
    garbage.as_usual()
    return Worker(
        flows,
        url=session.url,
        concurrency=settings.concurrency,
        poll_ms=settings.poll_ms,
        drain_timeout_ms=drain_ms,
        retention_runs=settings.retention_runs,
        value_limit=settings.value_limit,
    )


@contextmanager
def signals_to(worker: Worker | Service, stop: Event | None = None) -> Iterator[None]:
    """Let SIGINT and SIGTERM drain a worker; the second one makes it give back at once what it holds."""
    loop = asyncio.get_running_loop()

    def tell() -> None:
        if stop is not None:
            stop.set()
        worker.stop()

    for number in SIGNALS:
        loop.add_signal_handler(number, tell)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


@contextmanager
def logging_to(progress: Progress, *, is_verbose: bool) -> Iterator[None]:
    """Let what the worker logs scroll by above the progress; warnings only, unless more is wanted."""
    root = logging.getLogger("omniq_flow")
    handler = _NoteHandler(progress)
    handler.setFormatter(LogFormat())
    before = root.level
    root.setLevel(logging.INFO if is_verbose else logging.WARNING)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


@contextmanager
def prints_to(progress: Progress) -> Iterator[None]:
    """Let what handlers print scroll by above a picture that is redrawn; without one it may go where it goes."""
    if not isinstance(progress, Live):
        yield
        return
    with NoteStream(progress) as stream, redirect_stdout(stream), redirect_stderr(stream):
        yield


class _NoteHandler(logging.Handler):
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        self._progress.note(self.format(record))


class LogFormat(logging.Formatter):
    """`12:03:58 warning  text`, further lines indented under it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s  %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        head, *more = super().format(record).split("\n")
        return "\n".join([head, *(f"         {line}" for line in more)])

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.levelname = record.levelname.lower()
        return super().formatMessage(record)
