"""Settings: where each value comes from, and what it must look like.

The first source that names a setting decides it: a flag, `OMNIQ_FLOW_<NAME>` in the environment, the project's
file, `REDIS_URL` (for the address), the default. A profile stands behind what names it, see `profiles`. All faults are
reported at once, each with its place.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from omniq_flow.cli.profiles import Profile, find_profile
from omniq_flow.cli.project import FLOWS_FOLDER, Project
from omniq_flow.errors import ConfigError, Fault, UsageError
from omniq_flow.model.clock import duration_ms

PREFIX = "OMNIQ_FLOW_"
DEFAULT = "default"
FLAG, ENVIRONMENT, FILE = "flag", "environment", "file"

_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB)?", re.IGNORECASE)
_SIZES = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20}
_LARGEST_VALUE = 512 << 20
_SWITCHES = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
OTHERS = ("profile", "profiles", "tui")
"""Names of a project's file that are no settings of their own."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a command, resolved; `origin` tells for each name where its value was found."""

    url: str | None
    """None: the project's own server."""
    concurrency: int
    poll_ms: int | None
    """None: an idle worker chooses its pace itself."""
    retention_runs: int
    value_limit: int
    """Bytes."""
    flows: Path
    connect_timeout: float
    """Seconds."""
    read_only: bool
    project: Project
    origin: Mapping[str, str]
    profile: str = ""
    color: str = ""
    """Of the profile; empty for none."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Of the terminal UI: action -> key, as they are written."""


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One line of `config show --origin`."""

    name: str
    value: str | int | float | None
    origin: str


@dataclass(frozen=True, slots=True)
class _Field:
    read: Callable[[object], object]
    """Makes a value of what a flag, a variable or a file says; `ValueError` with the reason."""
    default: object
    help: str


def _url(raw: object) -> str:
    from omniq_flow.client.connect import FORMS, Target

    if not isinstance(raw, str):
        raise ValueError(f"{raw!r} is no address; {FORMS}")
    try:
        Target.parse(raw)
    except UsageError as error:
        raise ValueError(f"{error.where}: {error.message}; {error.hint}") from None
    return raw


def _whole(smallest: int) -> Callable[[object], int]:
    def read(raw: object) -> int:
        is_text = isinstance(raw, str) and re.fullmatch(r"\s*-?\d+\s*", raw)
        if isinstance(raw, bool) or not (isinstance(raw, int) or is_text):
            raise ValueError(f"{raw!r} is no whole number")
        if (number := int(cast("str | int", raw))) < smallest:
            raise ValueError(f"{number} is too small; {smallest} is the least")
        return number

    return read


def _duration(raw: object) -> int:
    value: Any = float(raw) if isinstance(raw, str) and re.fullmatch(r"\s*\d+(\.\d+)?\s*", raw) else raw
    if (ms := duration_ms(value)) < 1:
        raise ValueError(f"{raw!r} is too short; 1ms is the least")
    return ms


def _seconds(raw: object) -> float:
    return _duration(raw) / 1000


def _size(raw: object) -> int:
    found = None if isinstance(raw, bool) else _SIZE.fullmatch(str(raw).strip())
    size = int(found[1]) * _SIZES[(found[2] or "").lower()] if found else 0
    if not 1 << 10 <= size <= _LARGEST_VALUE:
        raise ValueError(f"{raw!r} is no size between 1KiB and 512MiB; write bytes as a number, or '64KiB', '2MiB'")
    return size


def _switch(raw: object) -> bool:
    word = str(raw).strip().lower()
    if word not in _SWITCHES:
        raise ValueError(f"{raw!r} is neither true nor false")
    return _SWITCHES[word]


def _path(raw: object) -> Path:
    if not isinstance(raw, (str, Path)) or not str(raw):
        raise ValueError(f"{raw!r} is no path")
    return Path(raw)


FIELDS: dict[str, _Field] = {
    "url": _Field(_url, None, "address of the server; without one, the project's own"),
    "concurrency": _Field(_whole(1), 16, "how many steps a worker runs at once"),
    "poll": _Field(_duration, None, "how often an idle worker looks for jobs of other publishers"),
    "retention_runs": _Field(_whole(0), 1000, "how many ended runs of a flow are kept"),
    "value_limit": _Field(_size, 1 << 20, "largest input or output of a step"),
    "flows": _Field(_path, Path(FLOWS_FOLDER), "folder with the flows"),
    "connect_timeout": _Field(_seconds, 5.0, "how long to try to reach the server"),
    "read_only": _Field(_switch, False, "look only: commands refuse whatever would change something"),
}


@dataclass(frozen=True, slots=True)
class _Raw:
    """What one source says of one setting."""

    value: object
    origin: str
    base: Path
    """What a relative path of this source starts from."""


def resolve(flags: Mapping[str, object], env: Mapping[str, str], start: Path) -> Settings:
    """Settle every setting from flags (None means not given), the environment and the project around `start`.

    Raises `ConfigError` that lists every unknown name, with the one that was probably meant, and every
    value that is not allowed, with the place it comes from.
    """
    project = Project.find(start)
    profile = _profile(flags, env, project)
    keys, key_faults = _keys(project)
    faults = [*_unknown_flags(flags), *_unknown_variables(env), *_unknown_keys(project), *key_faults]
    values: dict[str, object] = {}
    origin: dict[str, str] = {}
    for name, spec in FIELDS.items():
        found = _first(name, flags, env, project, start, profile)
        origin[name] = found.origin if found else DEFAULT
        try:
            values[name] = spec.read(found.value) if found else spec.default
        except ValueError as error:
            faults.append(Fault(f"{name}: {error}", origin[name]))
        if name == "flows" and name in values:
            values[name] = (found.base if found else project.root) / cast(Path, values[name])
    if faults:
        raise ConfigError("the settings are not usable", tuple(faults))
    values["poll_ms"] = values.pop("poll")
    name, color = (profile.name, profile.color) if profile else ("", "")
    return Settings(**cast("dict[str, Any]", values), project=project, origin=origin, profile=name, color=color, keys=keys)


def rows(settings: Settings) -> list[SettingRow]:
    """All settings in order, secrets masked."""
    from omniq_flow.client.connect import masked

    shown: dict[str, str | int | float | None] = {
        "url": masked(settings.url) if settings.url else None,
        "concurrency": settings.concurrency,
        "poll": None if settings.poll_ms is None else f"{settings.poll_ms}ms",
        "retention_runs": settings.retention_runs,
        "value_limit": settings.value_limit,
        "flows": str(settings.flows),
        "connect_timeout": settings.connect_timeout,
        "read_only": settings.read_only,
    }
    return [SettingRow(name, value, settings.origin[name]) for name, value in shown.items()]


def _first(
    name: str, flags: Mapping[str, object], env: Mapping[str, str], project: Project, start: Path, profile: Profile | None = None
) -> _Raw | None:
    """What the strongest source says; an empty variable counts as not set."""
    variable = PREFIX + name.upper()
    of_profile = _Raw(profile.table[name], f"profile {profile.name}, {profile.where}", start) if profile and name in profile.table else None
    rank = profile.rank if profile is not None else ""
    if (flag := flags.get(name)) is not None:
        return _Raw(flag, f"flag --{name.replace('_', '-')}", start)
    if of_profile and rank == FLAG:
        return of_profile
    if env.get(variable):
        return _Raw(env[variable], f"environment {variable}", start)
    if of_profile and rank == ENVIRONMENT:
        return of_profile
    if name in project.table:
        return _Raw(project.table[name], project.where(name), project.root)
    if of_profile:
        return of_profile
    if name == "url" and env.get("REDIS_URL"):
        return _Raw(env["REDIS_URL"], "environment REDIS_URL", start)
    return None


def _profile(flags: Mapping[str, object], env: Mapping[str, str], project: Project) -> Profile | None:
    named = _first("profile", flags, env, project, project.root)
    if named is None:
        return None
    rank = FLAG if named.origin.startswith("flag ") else ENVIRONMENT if named.origin.startswith("environment ") else FILE
    return find_profile(str(named.value), rank, project, env)


def _keys(project: Project) -> tuple[dict[str, str], list[Fault]]:
    """`[tui.keys]` as it is written, and what is wrong with its form; which actions there are the terminal UI knows."""
    table = project.table.get("tui", {})
    keys = table.get("keys", {}) if isinstance(table, dict) else table
    if not isinstance(keys, dict) or not all(isinstance(key, str) and key for key in keys.values()):
        return {}, [Fault('tui.keys: must be a table of texts, as retry = "r"', project.where("tui.keys"))]
    unknown = [name for name in table if name != "keys"]
    return keys, [Fault(f"tui: unknown setting {name!r}; known is keys", project.where("tui")) for name in unknown]


def _unknown_flags(flags: Mapping[str, object]) -> list[Fault]:
    return [Fault(_unknown(name), "flags") for name in flags if name not in FIELDS and name != "profile"]


def _unknown_keys(project: Project) -> list[Fault]:
    return [Fault(_unknown(name), project.where(name)) for name in project.table if name not in FIELDS and name not in OTHERS]


def _unknown_variables(env: Mapping[str, str]) -> list[Fault]:
    """Variables that look like a misspelt setting.

    Others of our prefix pass: Kubernetes sets `OMNIQ_FLOW_PORT` and more for a service of that name.
    """
    names = {name: name.removeprefix(PREFIX).lower() for name in env if name.startswith(PREFIX)}
    unknown = {full: name for full, name in names.items() if name not in (*FIELDS, "profile")}
    return [Fault(_unknown(name), f"environment {full}") for full, name in unknown.items() if _nearest(name, 0.8)]


def _unknown(name: str) -> str:
    meant = _nearest(name, 0.6)
    return f"unknown setting {name!r}" + (f"; did you mean {meant!r}?" if meant else f"; known are {', '.join(FIELDS)}")


def _nearest(name: str, cutoff: float) -> str:
    return next(iter(difflib.get_close_matches(name.replace("-", "_"), FIELDS, n=1, cutoff=cutoff)), "")
