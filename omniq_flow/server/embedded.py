"""One Valkey for a project folder, shared by all its commands.

Who owns the data is decided by one lock and by nothing else. A command that finds no server takes the lock,
starts one, and the server inherits the lock and holds it until its process is gone. So there are never two
servers on the same data, a crashed one leaves nothing that must be cleaned up, and of many commands that start
at once one starts the server while the others wait for it to answer.

`server.json` only says where to ask. What counts is that the server there names our data folder as its own: a
note that is stale, copied with the folder, or whose process id now belongs to another program leads nowhere.

A second lock, shared by all who use the server, lets the last of them stop it without pulling it away from
a command that has just learnt the address and is about to connect.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import redis

from omniq_flow.errors import ServerUnavailable
from omniq_flow.model.clock import monotonic_ms
from omniq_flow.server.binary import server_binary
from omniq_flow.server.lock import FileLock
from omniq_flow.server.paths import ServerPaths, new_socket
from omniq_flow.server.probe import Answer, connection, probe
from omniq_flow.server.process import is_server_of, launch, start_failed
from omniq_flow.server.record import ServerRecord

PATIENCE_MS = 10_000
"""How long a server may stay silent while it starts or stops; reading its data does not count."""

_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server of a project is; `started_here` if this call started it."""

    url: str
    pid: int
    started_here: bool


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """A picture of the server of a project; all figures are 0 while it does not run."""

    folder: str
    is_running: bool
    url: str = ""
    pid: int = 0
    started_ms: int = 0
    version: str = ""
    clients: int = 0
    used_memory: int = 0
    data_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Found:
    record: ServerRecord
    answer: Answer


class EmbeddedServer:
    """The server of one project folder: start it or find it, look at it, stop it."""

    def __init__(self, paths: ServerPaths, *, patience_ms: int = PATIENCE_MS) -> None:
        self.paths = paths
        self._patience_ms = patience_ms
        self._use: FileLock | None = None

    @classmethod
    def for_project(cls, root: str | os.PathLike[str], *, patience_ms: int = PATIENCE_MS) -> EmbeddedServer:
        return cls(ServerPaths.of(root), patience_ms=patience_ms)

    def ensure(self) -> Address:
        """The address of the running server, after starting it if need be.

        From here until `leave` or the end of this process it is in use: `stop_if_unused` of others leaves
        it alone. Raises `ServerUnavailable` with the last lines of the log if it does not come up.
        """
        self._create_folders()
        self._join()
        is_started = False
        deadline = self._deadline()
        while True:
            found = self._find()
            if found and not found.answer.is_loading:
                return Address(found.record.url, found.answer.pid, is_started)
            if found:
                deadline = self._deadline()
            elif lock := FileLock.try_exclusive(self.paths.lock):
                with lock:
                    if is_started:
                        raise start_failed(self.paths, "it ended at once")
                    self._start(lock)
                is_started = True
            elif monotonic_ms() > deadline:
                self._end_unreachable()
                deadline = self._deadline()
            time.sleep(_PAUSE_S)

    def status(self) -> ServerStatus:
        """A picture of the server; starts nothing and creates nothing."""
        size = _bytes_in(self.paths.data)
        folder = str(self.paths.folder)
        if not (found := self._find()):
            return ServerStatus(folder, is_running=False, data_bytes=size)
        answer = found.answer
        return ServerStatus(
            folder,
            is_running=True,
            url=found.record.url,
            pid=answer.pid,
            started_ms=answer.started_ms,
            version=answer.version,
            clients=answer.clients,
            used_memory=answer.used_memory,
            data_bytes=size,
        )

    def connected_clients(self) -> int:
        """How many connections the server has, without the one that asks; 0 if it does not run."""
        found = self._find()
        return found.answer.clients if found else 0

    def stop(self) -> bool:
        """Let the server save and end, and wait until it is gone; False if none was running."""
        if not (found := self._find()):
            return False
        self._shut_down(found)
        deadline = self._deadline()
        while monotonic_ms() <= deadline:
            if lock := FileLock.try_exclusive(self.paths.lock):
                with lock:
                    self._forget(found.record)
                return True
            # Another command may have started the next one already.
            if (now := self._find()) and now.answer.pid != found.answer.pid:
                return True
            time.sleep(_PAUSE_S)
        raise ServerUnavailable(f"the server of this project (process {found.answer.pid}) does not end", where=str(self.paths.log))

    def stop_if_unused(self) -> bool:
        """Leave, and stop the server if no other command uses it and nobody is connected."""
        self.leave()
        if not self.paths.users.exists() or not (alone := FileLock.try_exclusive(self.paths.users)):
            return False
        with alone:
            return self.connected_clients() == 0 and self.stop()

    def leave(self) -> None:
        """Say that this command no longer uses the server."""
        if self._use:
            self._use.close()
            self._use = None

    def _deadline(self) -> int:
        return monotonic_ms() + self._patience_ms

    def _create_folders(self) -> None:
        try:
            self.paths.create()
        except OSError as error:
            raise ServerUnavailable(
                f"the folder of the project's own server cannot be made: {error.strerror}",
                where=str(self.paths.folder),
                hint="name a server with --url or OMNIQ_FLOW_URL",
            ) from error

    def _join(self) -> None:
        """Take a share of the users' lock; waits for a command that is stopping the server just now."""
        deadline = self._deadline()
        while self._use is None:
            self._use = FileLock.try_shared(self.paths.users)
            if self._use is None:
                if monotonic_ms() > deadline:
                    raise ServerUnavailable("another command has been stopping the server for too long", where=str(self.paths.users))
                time.sleep(_PAUSE_S)

    def _find(self) -> _Found | None:
        """The running server, if the note leads to it; brings the note up to date."""
        noted = ServerRecord.read(self.paths.record)
        answer = probe(Path(noted.socket), self.paths.data) if noted else None
        if not noted or not answer:
            return None
        if noted.pid != answer.pid:
            noted = ServerRecord.of(Path(noted.socket), answer.pid, answer.started_ms)
            noted.write(self.paths.record)
        return _Found(noted, answer)

    def _start(self, lock: FileLock) -> None:
        """Start a server in place of one that is gone; the caller holds the lock."""
        binary = server_binary()
        if noted := ServerRecord.read(self.paths.record):
            self._forget(noted)
        path = new_socket()
        # Noted before the start: if this process dies in between, the others still find what it started.
        ServerRecord.of(path, pid=0, started_ms=0).write(self.paths.record)
        launch(binary, self.paths, path, lock)

    def _forget(self, record: ServerRecord) -> None:
        """Remove the traces of a server that is gone."""
        self.paths.record.unlink(missing_ok=True)
        _remove_dead_socket(Path(record.socket))

    def _shut_down(self, found: _Found) -> None:
        try:
            with connection(Path(found.record.socket)) as client:
                client.execute_command("SHUTDOWN")  # type: ignore[no-untyped-call]
        except (redis.ConnectionError, redis.TimeoutError):
            return  # it hangs up instead of answering
        except redis.RedisError as error:
            raise ServerUnavailable(f"the server of this project refuses to end: {error}", where=str(self.paths.log)) from error

    def _end_unreachable(self) -> None:
        """Ask a server whose socket was deleted to save and end; raises if that is not what happened.

        Nobody can connect to it any more, and as long as it lives it holds the data. A signal is sent only to
        a process that the system itself shows at work on this data.
        """
        noted = ServerRecord.read(self.paths.record)
        if noted and not Path(noted.socket).exists() and is_server_of(noted.pid, self.paths.data):
            os.kill(noted.pid, signal.SIGTERM)
            return
        pid = noted.pid if noted else 0
        raise ServerUnavailable(
            "the server of this project holds its data but does not answer" + (f" (process {pid} at last sight)" if pid else ""),
            where=str(self.paths.lock),
            hint=f"see {self.paths.log}; once that process is gone, the next command starts a new one",
        )


def _bytes_in(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):  # the server rewrites its files while we look
            total += file.stat().st_size if file.is_file() else 0
    return total


def _remove_dead_socket(path: Path) -> None:
    """Delete a socket nobody listens at; a note copied with its folder may name one that is in use."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(1)
            caller.connect(str(path))
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
    except OSError:
        return
