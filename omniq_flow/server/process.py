"""Starting the server as a process with a life of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from omniq_flow.errors import ServerUnavailable
from omniq_flow.server.lock import FileLock
from omniq_flow.server.paths import ServerPaths

_LOG_LIMIT = 1 << 20

SETTINGS: dict[str, str] = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "yes",
    "pidfile": "valkey.pid",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
    # A hash stays packed while its fields are no longer than this; those of runs and jobs mostly are.
    "hash-max-listpack-value": "256",
}


def launch(binary: Path, paths: ServerPaths, socket: Path, lock: FileLock) -> None:
    """Start a server on the project's data and return before it listens.

    The server leaves this session, so neither ctrl-c nor the end of the terminal reaches it, and it
    inherits `lock`: as long as any process works on the data, the lock is held.
    """
    _shorten_log(paths.log)
    settings = {**SETTINGS, "unixsocket": str(socket), "logfile": str(paths.log)}
    with paths.log.open("ab") as log:
        done = subprocess.run(
            [str(binary), *(word for name, value in settings.items() for word in (f"--{name}", value))],
            # The working folder is the data folder (`dir` defaults to "./"): it moves along when the project is moved.
            cwd=paths.data,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(lock.fd,),
            check=False,
        )
    if done.returncode:
        raise start_failed(paths, f"exit code {done.returncode}")


def start_failed(paths: ServerPaths, reason: str) -> ServerUnavailable:
    """The error of a server that did not come up, with what it logged last."""
    return ServerUnavailable(f"the server of this project did not start: {reason}{_last_words(paths.log)}", where=str(paths.log))


def is_server_of(pid: int, data: Path) -> bool:
    """Whether the process works on this data; False where the system does not tell."""
    process = Path("/proc", str(pid))
    try:
        return process.joinpath("exe").readlink().name.startswith("valkey-server") and process.joinpath("cwd").samefile(data)
    except OSError:
        return False


def _last_words(log: Path, lines: int = 5) -> str:
    try:
        said = log.read_bytes().decode("utf-8", "replace").splitlines()[-lines:]
    except OSError:
        return ""
    return "".join(f"\n  {line}" for line in said)


def _shorten_log(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        os.truncate(log, 0)
