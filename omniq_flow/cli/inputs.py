"""The input of a run as it is given on the command line: `-i JSON`, `-i @file`, `-i -`, and `--set path=value`.

Everything is read and checked here, before a server is asked for anything.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omniq_flow.errors import Fault, InputError, UsageError

EXAMPLE = 'write -i \'{"name": "Ada"}\', -i @file.json, -i - or --set name=Ada'


def read_input(source: str | None, settings: Iterable[str]) -> Any:
    """The JSON value that was given, with `--set` on top; None if nothing was given."""
    value = None if source is None else _parse(*_text(source))
    faults = []
    for setting in settings:
        path, equals, text = setting.partition("=")
        keys = path.split(".")
        if not equals or not all(keys):
            raise UsageError(f"--set {setting!r} is no assignment", hint="write --set name=value, or --set page.size=12")
        value = {} if value is None else value
        if problem := _put(value, keys, json_or_text(text)):
            faults.append(Fault(f"--set {setting}: {problem}"))
    if faults:
        raise InputError("the input cannot be put together", tuple(faults))
    return value


def json_or_text(text: str) -> Any:
    """What `--set` means by a text: JSON if it is, else the text itself."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return text


def _text(source: str) -> tuple[str, str]:
    """The JSON text, and where it stands."""
    if source == "-":
        return _decode(sys.stdin.buffer.read(), "stdin"), "stdin"
    if not source.startswith("@"):
        return source, "--input"
    path = Path(source[1:])
    try:
        return _decode(path.read_bytes(), str(path)), str(path)
    except OSError as error:
        raise InputError(f"the input file cannot be read: {error.strerror}", where=str(path), hint=EXAMPLE) from None


def _decode(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"the input is no UTF-8 text: byte {error.start} is {raw[error.start]:#04x}", where=where) from None


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"{where}:{error.lineno}:{error.colno}" if "\n" in text or where != "--input" else f"{where}, character {error.pos + 1}"
        raise InputError(f"the input is no JSON: {error.msg}", where=place, hint=EXAMPLE) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"the input is no JSON: {error}", where=where, hint=EXAMPLE) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _put(value: Any, keys: list[str], new: Any) -> str:
    """Set a nested field; gives what stands in the way."""
    for n, key in enumerate(keys):
        if not isinstance(value, dict):
            return f"{'.'.join(keys[:n]) or 'the input'} is no object"
        if n == len(keys) - 1:
            value[key] = new
        else:
            value = value.setdefault(key, {})
    return ""
