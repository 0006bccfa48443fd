"""A proxy in front of a server that loses, delays or swallows exactly the command or reply it is told to.

It reads whole commands on the way in and whole replies on the way out, for each connection, so "the reply of
the third command" means the same every time. `on_command(n, command)` is asked for each complete command:
`n` counts from 1 over all connections, or from 1 after `forget()`. Its answer is an action:

    Proxy(server, on_command=lambda n, command: DROP_REPLY if command.is_script else PASS)

Greetings (`HELLO`, `CLIENT`, `AUTH`, `SELECT`) pass uncounted unless `counts_greetings`, so that a reconnect
does not shift the numbers.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

GREETINGS = (b"HELLO", b"CLIENT", b"AUTH", b"SELECT")


@dataclass(frozen=True, slots=True)
class Action:
    """What becomes of a command and its reply."""

    kind: str
    seconds: float = 0.0
    call: Callable[[], None] | None = None


PASS = Action("pass")
DROP_REQUEST = Action("drop_request")
"""The server never sees the command, the client sees its connection closed."""
DROP_REPLY = Action("drop_reply")
"""The server carries it out, the client sees its connection closed instead of the reply."""
RESET = Action("reset")
"""As DROP_REPLY, but with a reset in place of an orderly end (TCP only)."""
BLACKHOLE = Action("blackhole")
"""The server carries it out; from then on nothing comes back over this connection, and it stays open."""


def delay(seconds: float) -> Action:
    """The reply comes so much later."""
    return Action("delay", seconds)


def then(call: Callable[[], None]) -> Action:
    """The server carries it out, then `call` is made (kill a process, say), then the reply goes on if it still can."""
    return Action("then", call=call)


@dataclass(frozen=True, slots=True)
class Seen:
    """A command as it went by."""

    args: tuple[bytes, ...]

    @property
    def name(self) -> str:
        return self.args[0].decode("ascii", "replace").upper()

    @property
    def is_script(self) -> bool:
        return self.name in ("EVAL", "EVALSHA")


OnCommand = Callable[[int, Seen], Action]


class Proxy:
    """Stands in front of `server_url`; give clients `url`. A context manager."""

    def __init__(self, server_url: str, on_command: OnCommand | None = None, *, tcp: bool = True, counts_greetings: bool = False) -> None:
        self.on_command: OnCommand = on_command or (lambda n, command: PASS)
        self.seen: list[Seen] = []
        self._server_url = server_url
        self._counts_greetings = counts_greetings
        self._lock = threading.Lock()
        self._links: set[_Pair] = set()
        self._folder = Path(tempfile.mkdtemp(prefix="oq-"))
        self._listener = _listen(None if tcp else self._folder / "p")
        self.address: str | tuple[str, int] = self._listener.getsockname()
        self._is_refusing = False
        self._thread = threading.Thread(target=self._accept, name="proxy", daemon=True)

    @property
    def url(self) -> str:
        """The server's address with the proxy's place in it: login and database stay."""
        parts = urlsplit(self._server_url)
        login = parts.netloc.rpartition("@")[0]
        login += "@" if login else ""
        db = parts.path if parts.scheme != "unix" else ""
        if isinstance(self.address, str):
            return f"unix://{login}{self.address}"
        return f"redis://{login}127.0.0.1:{self.address[1]}{db}"

    @property
    def count(self) -> int:
        """How many commands went by since `forget`."""
        return len(self.seen)

    def forget(self) -> None:
        """Count from 1 again."""
        with self._lock:
            self.seen.clear()

    def cut(self, *, reset: bool = False) -> None:
        """Close all connections that are open now; new ones are welcome."""
        for pair in self._open():
            pair.close(reset=reset)

    def refuse(self) -> None:
        """Cut all connections, and from now on every new one at once, as if the server were away."""
        self._is_refusing = True
        self.cut()

    def accept(self) -> None:
        self._is_refusing = False

    def lead_to(self, server_url: str) -> None:
        """New connections go to another server, those that are open stay."""
        self._server_url = server_url

    def blackhole(self) -> None:
        """Swallow everything on the connections that are open now."""
        for pair in self._open():
            pair.is_hole = True

    def start(self) -> Proxy:
        self._thread.start()
        return self

    def close(self) -> None:
        # A blocked accept() is only woken by a shutdown.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Proxy:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def judge(self, command: Seen) -> Action:
        """Count a command and ask what to do with it."""
        if command.args[0].upper() in GREETINGS and not self._counts_greetings:
            return PASS
        with self._lock:
            self.seen.append(command)
            n = len(self.seen)
        return self.on_command(n, command)

    def _open(self) -> list[_Pair]:
        with self._lock:
            return list(self._links)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                upstream = _connect(self._server_url)
            except OSError:
                client.close()
                continue
            pair = _Pair(self, client, upstream)
            with self._lock:
                self._links.add(pair)
            if self._is_refusing:
                pair.close()
            for work in (pair.forward, pair.answer):
                threading.Thread(target=work, name="proxy-pair", daemon=True).start()

    def gone(self, pair: _Pair) -> None:
        with self._lock:
            self._links.discard(pair)


@dataclass(eq=False)
class _Pair:
    """One client's connection and its twin to the server."""

    proxy: Proxy
    client: socket.socket
    upstream: socket.socket
    is_hole: bool = False
    _pending: deque[Action] = field(default_factory=deque)
    _is_closed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def forward(self) -> None:
        """Carry commands to the server, each after its judgement."""
        with contextlib.suppress(OSError):
            for raw, args in _commands(self.client):
                if self.is_hole:
                    continue
                action = self.proxy.judge(Seen(args))
                if action.kind == "drop_request":
                    break
                self._pending.append(action)
                self.upstream.sendall(raw)
        self.close()

    def answer(self) -> None:
        """Carry replies back, as their commands were judged."""
        with contextlib.suppress(OSError):
            for raw in _replies(self.upstream):
                # An error that nobody asked for (too many clients) belongs to no command.
                action = self._pending.popleft() if self._pending else PASS
                if action.kind in ("drop_reply", "reset"):
                    self.close(reset=action.kind == "reset")
                    return
                if action.kind == "delay":
                    threading.Event().wait(action.seconds)
                if action.call is not None:
                    action.call()
                self.is_hole = self.is_hole or action.kind == "blackhole"
                if not self.is_hole:
                    self.client.sendall(raw)
        if not self.is_hole:
            self.close()

    def close(self, *, reset: bool = False) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        how = socket.SHUT_RDWR
        if reset and self.client.family != socket.AF_UNIX:
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # Only our own reader is woken: the other direction would send an orderly end and spoil the reset.
            how = socket.SHUT_RD
        for sock, direction in ((self.client, how), (self.upstream, socket.SHUT_RDWR)):
            with contextlib.suppress(OSError):
                sock.shutdown(direction)
            sock.close()
        self.proxy.gone(self)


def _commands(sock: socket.socket) -> Iterator[tuple[bytes, tuple[bytes, ...]]]:
    """Complete commands of a client, as bytes and as arguments; they are always arrays of bulk strings."""
    reader = _Reader(sock)
    while head := reader.line():
        assert head.startswith(b"*"), f"a client sent {head!r}"
        raw, args = [head], []
        for _ in range(int(head[1:])):
            size = reader.line()
            body = reader.exactly(int(size[1:]) + 2)
            raw += [size, body]
            args.append(body[:-2])
        yield b"".join(raw), tuple(args)


def _replies(sock: socket.socket) -> Iterator[bytes]:
    reader = _Reader(sock)
    while head := reader.line():
        yield _reply(reader, head)


def _reply(reader: _Reader, head: bytes) -> bytes:
    """The bytes of one reply, RESP2 or RESP3, whose first line is read already."""
    kind, size = head[:1], head[1:-2]
    if kind in b"$=!" and size != b"-1":
        return head + reader.exactly(int(size) + 2)
    if kind in b"*~>%|" and size != b"-1":
        parts = int(size) * (2 if kind in b"%|" else 1)
        inner = b"".join(_reply(reader, reader.line()) for _ in range(parts))
        # An attribute stands before the reply that it belongs to.
        return head + inner + (_reply(reader, reader.line()) if kind == b"|" else b"")
    return head


class _Reader:
    """Lines and counted bytes off a socket; an empty line means that the other side has ended."""

    def __init__(self, sock: socket.socket) -> None:
        self._file = sock.makefile("rb")

    def line(self) -> bytes:
        line = self._file.readline()
        return line if line.endswith(b"\r\n") else b""

    def exactly(self, size: int) -> bytes:
        body = self._file.read(size)
        if len(body) < size:
            raise ConnectionError("the connection ended inside a message")
        return body


def _listen(path: Path | None) -> socket.socket:
    if path is None:
        return socket.create_server(("127.0.0.1", 0))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def _connect(url: str) -> socket.socket:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(parts.path)
        return sock
    return socket.create_connection((parts.hostname or "localhost", parts.port or 6379))
