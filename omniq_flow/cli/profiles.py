"""Profiles: servers with a name, `[profiles.prod]` with `url`, `read_only` and `color`, in the project or in the user's folder.

A profile that is named on the command line counts as a flag does, one named in the environment as a variable, one named
in the project's file as a setting of it; a single setting of the same place is stronger. So whoever says `--profile prod`
is never taken elsewhere by a variable.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omniq_flow.cli.project import Project, read_table
from omniq_flow.errors import ConfigError, Fault

COLORS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
KEYS = ("url", "read_only", "color")
USER_FILE = Path("omniq-flow") / "config.toml"


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile sets. `rank` is what named it: flag, environment or file."""

    name: str
    rank: str
    table: Mapping[str, Any]
    where: str

    @property
    def color(self) -> str:
        return str(self.table.get("color", ""))


def find_profile(name: str, rank: str, project: Project, env: Mapping[str, str]) -> Profile:
    """The profile of a name: the project's, else the user's; `ConfigError` if there is none, or for what it may not say."""
    user = _user_file(env)
    known: dict[str, tuple[Any, Project]] = {}
    for place in (user, project):
        known |= {key: (table, place) for key, table in _tables(place).items()}
    if name not in known:
        meant = difflib.get_close_matches(name, known, n=1)
        told = f"did you mean {meant[0]!r}?" if meant else f"known are {', '.join(sorted(known))}" if known else "there are none"
        raise ConfigError("the settings are not usable", (Fault(f"unknown profile {name!r}; {told}"),), hint=f"write [profiles.{name}]")
    table, place = known[name]
    where = place.where(f"profiles.{name}")
    if faults := _faults(name, table, where):
        raise ConfigError("the settings are not usable", faults)
    return Profile(name, rank, table, where)


def _user_file(env: Mapping[str, str]) -> Project:
    folder = env.get("XDG_CONFIG_HOME") or (str(Path(env["HOME"]) / ".config") if env.get("HOME") else "")
    file = Path(folder) / USER_FILE
    table = read_table(file) if folder else None
    return Project(file.parent, file, table) if table is not None else Project(Path())


def _tables(place: Project) -> dict[str, Any]:
    found = place.table.get("profiles", {})
    if not isinstance(found, dict):
        fault = Fault("profiles: must be tables, as [profiles.prod]", place.where("profiles"))
        raise ConfigError("the settings are not usable", (fault,))
    return found


def _faults(name: str, table: Any, where: str) -> tuple[Fault, ...]:
    if not isinstance(table, dict):
        return (Fault(f"profile {name}: must be a table, as [profiles.{name}]", where),)
    faults = [Fault(f"profile {name}: {_unknown(key)}", where) for key in table if key not in KEYS]
    color = table.get("color", "red")
    if color not in COLORS and not (isinstance(color, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", color)):
        faults.append(Fault(f"profile {name}: color: {color!r} is none; write #rrggbb, or one of {', '.join(COLORS)}", where))
    return tuple(faults)


def _unknown(key: str) -> str:
    meant = difflib.get_close_matches(key, KEYS, n=1)
    return f"unknown setting {key!r}" + (f"; did you mean {meant[0]!r}?" if meant else f"; known are {', '.join(KEYS)}")
