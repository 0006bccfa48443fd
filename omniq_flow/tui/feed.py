"""The feed: a thread with a client of its own that reads what the visible screen wants, and tells the app.

One tick reads one picture; between two ticks lies the interval, ten times as long as a slow round trip. What goes
wrong is told as news too: a server that is away (the next attempt is counted down), a picture that cannot be read. The
thread never touches a widget; it ends within a reply's time when it is told to stop.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from omniq_flow.errors import OmniqFlowError, ServerUnavailable
from omniq_flow.model.clock import Clock, monotonic_ms
from omniq_flow.observe.around import Around, read_around
from omniq_flow.tui.link import PATIENCE, LookingClient

logger = logging.getLogger("omniq_flow.tui")

INTERVAL_MS = 1_000
INTERVALS_MS = (500, 1_000, 2_000, 5_000, 10_000, 30_000)
AROUND_MS = 5_000
SLOW_RTT_MS = 100
LONGEST_WAIT_MS = 5_000
CONNECT_S = 2.0
REPLY_S = 2.0


@dataclass(frozen=True, slots=True)
class Want:
    """What a screen wants to know: its name, and how it is read."""

    name: str
    read: Callable[[LookingClient], Any]


@dataclass(frozen=True, slots=True)
class Pulse:
    """How the last tick went."""

    rtt_ms: int = 0
    trips: int = 0
    commands: int = 0


@dataclass(frozen=True, slots=True)
class Arrived:
    """A picture for the screen of this name."""

    name: str
    picture: Any
    pulse: Pulse


@dataclass(frozen=True, slots=True)
class Surrounded:
    """What is around, read every few seconds."""

    around: Around


@dataclass(frozen=True, slots=True)
class Probed:
    """Why the server lets this user change nothing; empty if it lets him."""

    refused: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The picture of this name could not be read, and the server is not the reason."""

    name: str
    error: OmniqFlowError


@dataclass(frozen=True, slots=True)
class Lost:
    """The server is away; `again_ms` is when it is asked next, by the monotonic clock."""

    error: ServerUnavailable
    attempt: int
    again_ms: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What was asked once, and who waits for it; `answer` is the error if there is no answer."""

    then: Callable[[Any], object]
    answer: Any


@dataclass(frozen=True, slots=True)
class Ended:
    """The feed itself has failed: nothing will be told any more."""

    error: BaseException


News = Arrived | Surrounded | Probed | Failed | Lost | Answered | Ended
Question = Callable[[LookingClient], Any]


class Source(Protocol):
    """Where an app gets its pictures from."""

    def start(self, tell: Callable[[News], object]) -> None: ...
    def stop(self) -> None: ...
    def look(self, want: Want) -> None: ...
    def keep(self, want: Want) -> None: ...
    def ask(self, question: Question, then: Callable[[Any], object]) -> None: ...
    def ask_now(self) -> None: ...
    def freeze(self, is_frozen: bool) -> None: ...
    def set_interval(self, ms: int) -> None: ...


class Feed:
    """Reads from a server; see the module."""

    def __init__(self, url: str, queues: tuple[str, ...] = (), *, clock: Clock = monotonic_ms) -> None:
        self._url = url
        self._queues = queues
        self._clock = clock
        self._client: LookingClient | None = None
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._want: Want | None = None
        self._questions: list[tuple[Question, Callable[[Any], object]]] = []
        self._is_frozen = False
        self._is_stopped = False
        self._is_asked = False
        self._interval_ms = INTERVAL_MS
        self._due_ms = 0
        self._around_due_ms = 0
        self._is_probed = False
        self._attempt = 0
        self._thread = threading.Thread(target=self._run, name="omniq-flow-feed", daemon=True)

    def start(self, tell: Callable[[News], object]) -> None:
        self._tell = tell
        self._thread.start()

    def stop(self) -> None:
        self._is_stopped = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(REPLY_S + CONNECT_S)
        if self._client is not None:
            self._client.close()

    def look(self, want: Want) -> None:
        """From now on read this, beginning at once."""
        self.keep(want)
        self.ask_now()

    def keep(self, want: Want) -> None:
        """Read this from the next tick on."""
        with self._lock:
            self._want = want

    def ask(self, question: Question, then: Callable[[Any], object]) -> None:
        """Ask something once, with the next tick, which begins at once. `then` gets the answer in the app, or the error."""
        with self._lock:
            self._questions.append((question, then))
        self.ask_now()

    def ask_now(self) -> None:
        """Tick at once, also while frozen."""
        self._is_asked = True
        self._wake.set()

    def freeze(self, is_frozen: bool) -> None:
        self._is_frozen = is_frozen
        if not is_frozen:
            self.ask_now()

    def set_interval(self, ms: int) -> None:
        self._interval_ms = ms
        self.ask_now()

    def _run(self) -> None:
        try:
            self._rounds()
        except BaseException as error:
            self._tell(Ended(error))

    def _rounds(self) -> None:
        while not self._is_stopped:
            self._wake.wait(None if self._is_frozen else max(self._due_ms - self._clock(), 0) / 1000)
            self._wake.clear()
            is_due = not self._is_frozen and self._clock() >= self._due_ms
            if not self._is_stopped and (is_due or self._is_asked):
                self._is_asked = False
                self._tick()

    def _tick(self) -> None:
        with self._lock:
            want = self._want
        try:
            client = self._connected()
            self._look_around(client)
            self._answer(client)
            client.start_count()
            picture = want.read(client) if want else None
        except ServerUnavailable as error:
            self._lost(error)
        except OmniqFlowError as error:
            self._failed(want, error)
        except Exception as error:
            # Told as any other failure, so that the screen lives on; the log has where it came from.
            logger.exception("reading the picture of %s failed", want.name if want else "nothing")
            self._failed(want, OmniqFlowError(f"{type(error).__name__}: {error}"))
        else:
            self._attempt = 0
            self._due_ms = self._clock() + max(self._interval_ms, 10 * client.rtt_ms if client.rtt_ms > SLOW_RTT_MS else 0)
            if want:
                self._tell(Arrived(want.name, picture, Pulse(client.rtt_ms, client.trips, client.commands)))

    def _connected(self) -> LookingClient:
        if self._client is None:
            opened = LookingClient.open(self._url, connect_timeout=CONNECT_S, reply_timeout=REPLY_S, retry=PATIENCE)
            assert isinstance(opened, LookingClient)
            self._client = opened
        return self._client

    def _look_around(self, client: LookingClient) -> None:
        if self._clock() >= self._around_due_ms:
            around = read_around(client, self._queues)
            self._tell(Surrounded(around))
            self._around_due_ms = self._clock() + AROUND_MS
            if not self._is_probed and around.queues:
                self._tell(Probed(client.why_read_only(around.queues)))
                self._is_probed = True

    def _answer(self, client: LookingClient) -> None:
        while self._questions:
            question, then = self._questions[0]
            try:
                answer = question(client)
            except ServerUnavailable:
                raise
            except OmniqFlowError as error:
                answer = error
            with self._lock:
                self._questions.pop(0)
            self._tell(Answered(then, answer))

    def _lost(self, error: ServerUnavailable) -> None:
        self._attempt += 1
        self._around_due_ms, self._is_probed = 0, False
        self._due_ms = self._clock() + min(1_000 << min(self._attempt - 1, 10), LONGEST_WAIT_MS)
        self._tell(Lost(error, self._attempt, self._due_ms))

    def _failed(self, want: Want | None, error: OmniqFlowError) -> None:
        self._due_ms = self._clock() + self._interval_ms
        self._tell(Failed(want.name if want else "", error))
