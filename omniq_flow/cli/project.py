"""The project a command works in: its root folder and the settings written there."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omniq_flow.errors import ConfigError

OWN_FILE = "omniq-flow.toml"
SHARED_FILE = "pyproject.toml"
FLOWS_FOLDER = "flows"


@dataclass(frozen=True, slots=True)
class Project:
    """A project's root; `file` and `table` are empty if nothing is set there.

    `is_found` is False if no folder upward looks like a project; the root is then where the search began.
    """

    root: Path
    file: Path | None = None
    table: dict[str, Any] = field(default_factory=dict)
    is_found: bool = True

    @classmethod
    def find(cls, start: Path) -> Project:
        """The nearest folder, upward from `start`, with settings of ours or a folder `flows/`.

        Raises `ConfigError` for a settings file that cannot be read, and if a folder has both kinds of it.
        """
        start = start.resolve()
        for folder in (start, *start.parents):
            own = read_table(folder / OWN_FILE)
            shared = _shared_table(folder / SHARED_FILE)
            if own is not None and shared is not None:
                raise ConfigError(
                    f"settings in two files: {OWN_FILE} and [tool.omniq-flow] in {SHARED_FILE}",
                    where=str(folder),
                    hint="keep one of them",
                )
            if own is not None:
                return cls(folder, folder / OWN_FILE, own)
            if shared is not None:
                return cls(folder, folder / SHARED_FILE, shared)
            if (folder / FLOWS_FOLDER).is_dir():
                return cls(folder)
        return cls(start, is_found=False)

    def where(self, key: str) -> str:
        """File and line at which a setting stands, as far as a look at the text can tell."""
        if self.file is None:
            return ""
        lines = self.file.read_text(encoding="utf-8").splitlines()
        table = "tool.omniq-flow" if self.file.name == SHARED_FILE else ""
        current = ""
        for number, line in enumerate(lines, 1):
            if header := re.match(r"\s*\[\s*([^\[\]]+?)\s*\]", line):
                current = header[1].replace('"', "")
            if current in (table, f"{table}.{key}".strip(".")) and re.match(rf"\s*(\[.*\b)?[\"']?{re.escape(key)}[\"']?\s*[=.\]]", line):
                return f"{self.file}:{number}"
        return str(self.file)


def read_table(file: Path) -> dict[str, Any] | None:
    """What a file of ours says; None if it is not there, `ConfigError` if it cannot be read."""
    text = _text(file)
    return None if text is None else _parse(file, text)


def _shared_table(file: Path) -> dict[str, Any] | None:
    text = _text(file)
    # A folder upward may have a broken pyproject.toml that is none of our business.
    if text is None or "omniq-flow" not in text:
        return None
    tools = _parse(file, text).get("tool")
    table = tools.get("omniq-flow") if isinstance(tools, dict) else None
    return table if isinstance(table, dict) else None


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file.name} cannot be read: {error}", where=str(file)) from error


def _parse(file: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file.name} is no valid TOML: {error}", where=str(file)) from error
