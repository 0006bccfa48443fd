"""The note `server.json`: where the server of this project listens. A hint; the server itself is always asked."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """What a server's starter notes for all later commands."""

    url: str
    pid: int
    socket: str
    started_ms: int

    @classmethod
    def of(cls, socket: Path, pid: int, started_ms: int) -> ServerRecord:
        return cls(f"unix://{quote(str(socket))}", pid, str(socket), started_ms)

    @classmethod
    def read(cls, path: Path) -> ServerRecord | None:
        """The note, or None if there is none or it makes no sense."""
        try:
            found = json.loads(path.read_bytes())
            return cls(str(found["url"]), int(found["pid"]), str(found["socket"]), int(found["started_ms"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, path: Path) -> None:
        """Replace the note at once, so that no reader sees half of it."""
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        draft.replace(path)
