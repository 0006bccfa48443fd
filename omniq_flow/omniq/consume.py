"""A consumer of one queue: OmniQ's loop by its names, on the worker of this package.

Every beat of a worker settles what ended, promotes what is due, reaps what lapsed and takes what is next, at most 100 of
each. So upkeep never waits for a handler, and OmniQ's settings of it (`promote_interval_s`, `promote_batch`,
`reap_interval_s`, `reap_batch`) are bounds that hold by themselves; they are checked and change nothing.

How a consumer ends: a *stop* finishes what runs, gives back what was not started, and takes nothing new. *Handing back*
gives back what runs as well, without waiting for it: an async handler is cancelled, a thread cannot be stopped and is
told by `ctx.is_cancelled`. Neither costs an attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from omniq_flow.client.connect import Target
from omniq_flow.engine.failures import head_of
from omniq_flow.engine.loop import run as run_loop
from omniq_flow.engine.registry import Registry
from omniq_flow.engine.worker import Ending, Worker
from omniq_flow.errors import UsageError
from omniq_flow.flow.app import JobHandler, is_coroutine_function
from omniq_flow.flow.context import JobContext, Signal
from omniq_flow.model.names import check_queue

LOOK_EVERY_S = 0.05
MOST_PAYLOAD = 300
AHEAD = 32
LONGEST_S = 86_400.0

Handler = Callable[[JobContext], Any]
Log = Callable[[str], Any]


class _Client(Protocol):
    """`Client`, `AsyncClient`."""

    target: Target


class _Face(Protocol):
    """`OmniqClient`, `AsyncOmniqClient`."""

    @property
    def client(self) -> _Client: ...


Server = str | Target | _Client | _Face
"""An address, or any client of this package, which knows one."""


class Consumer:
    """Works the plain jobs of one queue with `handler(ctx)`, a function or an async one, until it is stopped.

    `client` says where the server is; the consumer opens connections of its own and closes only those. `concurrency` is how
    many handlers run at once. `poll_interval_s` None lets wake-ups come and looks slowly besides; a number fixes how often
    an idle consumer looks. `heartbeat_interval_s` extends leases that often, and never less often than every third of
    them. `drain` says what the first SIGINT does: stop, or hand back at once. `stop` is an event, of threads or asyncio,
    that stops it. `logger` is given lines that begin with `[consume]` if `verbose`.
    """

    def __init__(
        self,
        client: Server,
        *,
        queue: str,
        handler: Handler,
        concurrency: int = 1,
        poll_interval_s: float | None = None,
        promote_interval_s: float = 1.0,
        promote_batch: int = 1000,
        reap_interval_s: float = 1.0,
        reap_batch: int = 1000,
        heartbeat_interval_s: float | None = None,
        verbose: bool = False,
        logger: Log = print,
        drain: bool = True,
        stop_on_ctrl_c: bool = True,
        stop: Signal | None = None,
    ) -> None:
        if not callable(handler):
            raise UsageError(f"a handler is a function that takes the context, not {type(handler).__name__}")
        for name, seconds in (("promote_interval_s", promote_interval_s), ("reap_interval_s", reap_interval_s)):
            _ms(name, seconds, is_zero_allowed=True)
        for name, number in (("promote_batch", promote_batch), ("reap_batch", reap_batch)):
            if number < 1:
                raise UsageError(f"{name} is {number}; it is at least 1")
        self.queue = check_queue(queue)
        self._say: Log = (lambda line: logger(f"[consume] {line}")) if verbose else _nothing
        self._drains = drain
        self._listens = stop_on_ctrl_c
        self._stop = stop
        self._is_interrupted = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._worker = Worker(
            Registry(handlers={self.queue: _ContextHandler(self.queue, _told(handler, self._say) if verbose else handler)}),
            url=_target_of(client),
            concurrency=concurrency,
            poll_ms=None if poll_interval_s is None else _ms("poll_interval_s", poll_interval_s, is_zero_allowed=True),
            beat_ms=None if heartbeat_interval_s is None else _ms("heartbeat_interval_s", heartbeat_interval_s),
            ahead=AHEAD,
            drain_timeout_ms=None,
        )

    def __repr__(self) -> str:
        return f"<consumer of queue {self.queue}>"

    @property
    def is_stopping(self) -> bool:
        return self._worker.is_stopping

    @property
    def busy(self) -> int:
        """How many handlers run."""
        return self._worker.busy

    def stop(self) -> None:
        """Stop, from any thread; called again, hand back at once. Before `run`, it takes nothing."""
        with self._lock:
            if self._loop is None:
                self._worker.stop()
                return
            # Whoever says it after the end says nothing new.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._worker.stop)

    def run(self) -> Ending:
        """Work until stopped, in this thread; says whether all was finished. `KeyboardInterrupt` if SIGINT ended it.

        In the main thread SIGTERM and SIGINT are listened to, unless `stop_on_ctrl_c` is false; who listened before
        does so again afterwards. Elsewhere `stop` is what ends it.
        """
        listens = self._listens and threading.current_thread() is threading.main_thread()
        with _signals_kept() if listens else contextlib.nullcontext():
            ending = run_loop(self._run(listens))
        if self._is_interrupted:
            raise KeyboardInterrupt
        return ending

    async def run_async(self) -> Ending:
        """Work until stopped, on the running loop, whose signals are its owner's affair."""
        return await self._run(listens=False)

    async def _run(self, listens: bool) -> Ending:
        with self._lock:
            self._loop = asyncio.get_running_loop()
        if listens:
            self._loop.add_signal_handler(signal.SIGTERM, self._terminate)
            self._loop.add_signal_handler(signal.SIGINT, self._interrupt)
        watch = asyncio.create_task(self._watch(self._stop)) if self._stop is not None else None
        self._say(f"queue {self.queue}: start")
        try:
            return await self._worker.run()
        finally:
            if watch is not None:
                watch.cancel()
            self._say(f"queue {self.queue}: end")

    async def _watch(self, stop: Signal) -> None:
        while not stop.is_set():  # noqa: ASYNC110  it may be set in another thread, or on another loop
            await asyncio.sleep(LOOK_EVERY_S)
        self._worker.stop()

    def _terminate(self) -> None:
        if not self.is_stopping:
            self._say("SIGTERM: finishing what runs")
            self._worker.stop()

    def _interrupt(self) -> None:
        if self._drains and not self.is_stopping:
            self._say("SIGINT: finishing what runs; once more to give it back")
            self._worker.stop()
            return
        self._say("SIGINT: giving back what runs")
        self._is_interrupted = True
        # Once to stop, once more to hand back.
        self._worker.stop()
        self._worker.stop()


def consume(
    client: Server,
    *,
    queue: str,
    handler: Handler,
    concurrency: int = 1,
    poll_interval_s: float | None = None,
    promote_interval_s: float = 1.0,
    promote_batch: int = 1000,
    reap_interval_s: float = 1.0,
    reap_batch: int = 1000,
    heartbeat_interval_s: float | None = None,
    verbose: bool = False,
    logger: Log = print,
    drain: bool = True,
    stop_on_ctrl_c: bool = True,
    stop: Signal | None = None,
) -> None:
    """Work the plain jobs of a queue until a signal or `stop` ends it; the arguments are those of `Consumer`."""
    Consumer(
        client,
        queue=queue,
        handler=handler,
        concurrency=concurrency,
        poll_interval_s=poll_interval_s,
        promote_interval_s=promote_interval_s,
        promote_batch=promote_batch,
        reap_interval_s=reap_interval_s,
        reap_batch=reap_batch,
        heartbeat_interval_s=heartbeat_interval_s,
        verbose=verbose,
        logger=logger,
        drain=drain,
        stop_on_ctrl_c=stop_on_ctrl_c,
        stop=stop,
    ).run()


class _ContextHandler(JobHandler):
    """A handler that is called with its context, whatever it calls it."""

    def _read_signature(self, names: Mapping[str, Any]) -> None:
        """Nothing to read: a callable of any kind will do."""

    def invoke(self, context: JobContext, raw: bytes) -> Any:
        return self.function(context)


def _told(handler: Handler, say: Log) -> Handler:
    """The handler, with a line when it begins and one when it ends."""

    @contextlib.contextmanager
    def told(ctx: JobContext) -> Iterator[None]:
        name = f"job {ctx.job_id} attempt {ctx.attempt}/{ctx.max_attempts}"
        say(f"{name}: begin {ctx.payload_raw[:MOST_PAYLOAD]}")
        try:
            yield
        except BaseException as error:
            say(f"{name}: {head_of(error)}")
            raise
        say(f"{name}: lease lost, its end does not count" if ctx.lease_lost.is_set() else f"{name}: done")

    async def awaited(ctx: JobContext) -> None:
        with told(ctx):
            await handler(ctx)

    def called(ctx: JobContext) -> Any:
        with told(ctx):
            return handler(ctx)

    return awaited if is_coroutine_function(handler) else called


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Whoever listens to signals now does so again afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, listener in before.items():
            # None: somebody outside of Python listens, and that cannot be put back from here.
            if listener is not None:
                signal.signal(number, listener)


def _target_of(client: Server) -> Target:
    """Where the server of a client is; one that wraps another has it as its `client`."""
    if isinstance(client, str):
        return Target.parse(client)
    found = client if isinstance(client, Target) else getattr(getattr(client, "client", client), "target", None)
    if not isinstance(found, Target):
        raise UsageError(f"no server is known of {type(client).__name__}", hint="give a client of this package, or the server's address")
    return found


def _ms(name: str, seconds: float, *, is_zero_allowed: bool = False) -> int:
    """At least 1."""
    if not 0 <= seconds <= LONGEST_S or (seconds == 0 and not is_zero_allowed):
        least = "from 0" if is_zero_allowed else "above 0"
        raise UsageError(f"{name} is {seconds!r}; it is a number of seconds {least}, at most a day")
    return max(round(seconds * 1000), 1)


def _nothing(line: str) -> None:
    """Not verbose."""
