"""Where a project's own server keeps its things.

All but the socket lies in `.omniq-flow/` of the project. The socket lies in a short private folder of the
system's temp folder, since the kernel takes no socket path beyond some hundred bytes; it is not in the login
session's runtime folder, which goes at log-out while the server stays.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

MAX_SOCKET_PATH = 103
"""Bytes of a socket path that every system takes (Linux 107, macOS 103)."""


@dataclass(frozen=True, slots=True)
class ServerPaths:
    """The files of one project's server; `root` is the resolved project folder."""

    root: Path

    @classmethod
    def of(cls, root: str | os.PathLike[str]) -> ServerPaths:
        return cls(Path(root).resolve())

    @property
    def folder(self) -> Path:
        return self.root / ".omniq-flow"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def record(self) -> Path:
        return self.folder / "server.json"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def lock(self) -> Path:
        """Held by the server as long as it lives, and by whoever starts it."""
        return self.folder / "lock"

    @property
    def users(self) -> Path:
        """Held, shared, by every command that uses the server."""
        return self.folder / "users.lock"

    def create(self) -> None:
        """Make the folders, for the owner only, and keep them out of version control."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.data.mkdir(mode=0o700, exist_ok=True)
        ignore = self.folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")


def new_socket() -> Path:
    """A path to listen at that nobody ever used: a project may be moved or copied while its server runs."""
    return socket_folder() / f"{secrets.token_hex(8)}.sock"


def socket_folder() -> Path:
    """A short folder that only this user can enter, made if it is missing.

    A folder of that name that belongs to somebody else, or that others may enter, is not used.
    """
    name = f"omniq-flow-{os.getuid()}"
    for parent in (Path(tempfile.gettempdir()), Path("/tmp")):
        folder = parent / name
        if len(os.fsencode(folder)) + len("/0123456789abcdef.sock") <= MAX_SOCKET_PATH and _is_private(folder):
            return folder
    return Path(tempfile.mkdtemp(prefix="omniq-flow-", dir="/tmp"))


def _is_private(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and stat.S_IMODE(found.st_mode) == 0o700
