"""Time as a value; the only module that reads a clock.

All times are epoch milliseconds as integers. Durations are written as `"1s"`, `"2m30s"`, `"500ms"`,
`"7d"`, or as a number of seconds.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

SERVER_TIME = 0
"""Sent in place of a time: the server's own clock decides (D1)."""

Clock = Callable[[], int]

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PARTS = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_LONGEST_MS = 100 * 365 * 86_400_000


def now_ms() -> int:
    """The wall clock of this process."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    """A clock that never goes back; only differences of it mean anything."""
    return time.monotonic_ns() // 1_000_000


def duration_ms(value: str | float, what: str = "duration") -> int:
    """Read a duration: `"1m30s"` or a number of seconds, as whole milliseconds.

    Raises `ValueError` naming `what`, the value and the accepted forms; negative, boolean, not finite
    or longer than a hundred years is refused.
    """
    refused = ValueError(f"{what}: {value!r} is no duration; write seconds as a number, or '500ms', '30s', '2m30s', '1h', '7d'")
    if isinstance(value, bool):
        raise refused
    if isinstance(value, (int, float)):
        if not 0 <= value <= _LONGEST_MS / 1000:
            raise refused
        return round(value * 1000)
    if not isinstance(value, str) or not _WHOLE.fullmatch(value.strip()):
        raise refused
    total = round(sum(float(number) * _UNITS[unit] for number, unit in _PARTS.findall(value)))
    if total > _LONGEST_MS:
        raise refused
    return total


def show_duration(ms: int) -> str:
    """A duration for people: `850ms`, `4.2s`, `3m12s`, `2h05m`, `3d4h`."""
    if ms < 1_000:
        return f"{ms}ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f}s"
    if ms < 3_600_000:
        return f"{ms // 60_000}m{ms // 1000 % 60:02}s"
    if ms < 86_400_000:
        return f"{ms // 3_600_000}h{ms // 60_000 % 60:02}m"
    return f"{ms // 86_400_000}d{ms // 3_600_000 % 24}h"
