"""Where words go: data to stdout, talk to stderr; with `--json` one object a line and nothing else on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

from omniq_flow.cli.text import visible


class ReaderGone(Exception):
    """Whoever read our data has left; there is nobody to complain to."""


@dataclass
class Output:
    """The two streams of a command and how to write on them."""

    is_json: bool = False
    is_quiet: bool = False
    may_colour: bool = True
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=lambda: sys.stderr)
    _is_protected: bool = False

    @classmethod
    def of_process(cls, *, is_json: bool) -> Output:
        """On the streams of this process; a character that their encoding lacks is written as an escape."""
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")
        return cls(is_json)

    def configure(self, *, is_json: bool, is_quiet: bool, no_color: bool) -> None:
        self.is_json = is_json
        self.is_quiet = is_quiet
        self.may_colour = not no_color and not os.environ.get("NO_COLOR")

    def protect(self) -> None:
        """From here on only this object writes on stdout; what anybody else prints goes to stderr.

        User code runs in this process, and what it starts inherits its streams.
        """
        if self._is_protected or self.out is not sys.stdout:
            return
        self._is_protected = True
        self.out.flush()
        try:
            kept = os.dup(1)
            os.dup2(2, 1)
        except OSError:  # a stream that was closed by whoever called us
            return
        self.out = open(kept, "w", encoding=sys.stdout.encoding, errors="backslashreplace")  # noqa: SIM115

    @property
    def is_live(self) -> bool:
        """Whether talk may be redrawn in place."""
        return self.err.isatty() and os.environ.get("TERM", "") not in ("", "dumb") and not self.is_quiet

    def data(self, *lines: str) -> None:
        """Lines on stdout, as they are."""
        try:
            self.out.write("".join(f"{line}\n" for line in lines))
            self.out.flush()
        except BrokenPipeError:
            # What is left in the buffer must go somewhere when the process ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.out.fileno())
            raise ReaderGone from None

    def value(self, value: Any) -> None:
        """A JSON value on stdout: laid out for people on a terminal, else in one line."""
        is_laid_out = not self.is_json and self.out.isatty()
        self.data(dump(value, indent=2 if is_laid_out else None))

    def objects(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """One JSON object a line."""
        for row in rows:
            self.data(dump(row))

    def talk(self, *lines: str) -> None:
        """Lines on stderr that a quiet command does not say; what they hold may come from anywhere."""
        if not self.is_quiet:
            self.err.write("".join(f"{visible(line)}\n" for line in lines))
            self.err.flush()


def dump(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, separators=None if indent else (",", ":"))


def times(**named: int) -> dict[str, Any]:
    """`created=1700…` as `created_ms` and `created_at` (ISO, UTC); 0 means that it has not happened: null."""
    fields: dict[str, Any] = {}
    for name, ms in named.items():
        fields[f"{name}_ms"] = ms or None
        fields[f"{name}_at"] = iso(ms) if ms else None
    return fields


def iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local_time(ms: int) -> str:
    """A time for people, in their zone."""
    return datetime.fromtimestamp(ms / 1000).strftime("%Y-%m-%d %H:%M:%S") if ms else ""
