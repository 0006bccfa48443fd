"""JSON as it is given on the command line: `-i JSON`, `-i @file`, `-i -`, and `--set path=value`.

The input of a run, or the payload of a job. Everything is read and checked here, before a server is asked for anything.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omniq_flow.errors import Fault, InputError, UsageError


@dataclass(frozen=True, slots=True)
class Given:
    """What is read, and with which flag, for the words of an error."""

    what: str
    flag: str
    short: str

    @property
    def example(self) -> str:
        return f'write {self.short} \'{{"name": "Ada"}}\', {self.short} @file.json, {self.short} - or --set name=Ada'


INPUT = Given("input", "--input", "-i")
PAYLOAD = Given("payload", "--payload", "-p")


def read_input(source: str | None, settings: Iterable[str], given: Given = INPUT) -> Any:
    """The JSON value that was given, with `--set` on top; None if nothing was given."""
    value = None if source is None else _parse(*_text(source, given), given)
    return with_settings(value, settings, given)


def read_lines(source: str, given: Given) -> list[Any]:
    """The JSON values that were given, one a line; blank lines are passed over. The line is named if one is none."""
    text, where = _text(source, given)
    lines = ((n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip())
    return [_parse(line, f"{where}, line {n}", given) for n, line in lines]


def with_settings(value: Any, settings: Iterable[str], given: Given) -> Any:
    """A value with fields set by `path=value`."""
    faults = []
    for setting in settings:
        path, equals, text = setting.partition("=")
        keys = path.split(".")
        if not equals or not all(keys):
            raise UsageError(f"--set {setting!r} is no assignment", hint="write --set name=value, or --set page.size=12")
        value = {} if value is None else value
        if problem := _put(value, keys, json_or_text(text), given):
            faults.append(Fault(f"--set {setting}: {problem}"))
    if faults:
        raise InputError(f"the {given.what} cannot be put together", tuple(faults))
    return value


def json_or_text(text: str) -> Any:
    """What `--set` means by a text: JSON if it is, else the text itself."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return text


def _text(source: str, given: Given) -> tuple[str, str]:
    """The JSON text, and where it stands."""
    if source == "-":
        return _decode(sys.stdin.buffer.read(), "stdin", given), "stdin"
    if not source.startswith("@"):
        return source, given.flag
    path = Path(source[1:])
    try:
        return _decode(path.read_bytes(), str(path), given), str(path)
    except OSError as error:
        raise InputError(f"the {given.what} file cannot be read: {error.strerror}", where=str(path), hint=given.example) from None


def _decode(raw: bytes, where: str, given: Given) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"the {given.what} is no UTF-8 text: byte {error.start} is {raw[error.start]:#04x}", where=where) from None


def _parse(text: str, where: str, given: Given) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        is_file = "\n" in text or not where.startswith(given.flag)
        place = f"{where}:{error.lineno}:{error.colno}" if is_file and ", line " not in where else f"{where}, character {error.pos + 1}"
        raise InputError(f"the {given.what} is no JSON: {error.msg}", where=place, hint=given.example) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"the {given.what} is no JSON: {error}", where=where, hint=given.example) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _put(value: Any, keys: list[str], new: Any, given: Given) -> str:
    """Set a nested field; gives what stands in the way."""
    for n, key in enumerate(keys):
        if not isinstance(value, dict):
            return f"{'.'.join(keys[:n]) or 'the ' + given.what} is no object"
        if n == len(keys) - 1:
            value[key] = new
        else:
            value = value.setdefault(key, {})
    return ""
