"""Waiting for a named condition, the only way in which a test waits.

Both forms give back what the condition gave, so `job = await until(lambda: find(), "job appears")` works.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

EVERY_S = 0.01


@overload
async def until(condition: Callable[[], Awaitable[T]], what: str, timeout: float = 10.0) -> T: ...
@overload
async def until(condition: Callable[[], T], what: str, timeout: float = 10.0) -> T: ...
async def until(condition: Callable[[], Any], what: str, timeout: float = 10.0) -> Any:
    """Wait until `condition()`, plain or async, is true; `AssertionError` naming `what` after `timeout` seconds.

    An exception out of the condition ends the wait: a broken condition never turns into a slow time-out.
    """
    ends_at = time.monotonic() + timeout
    while True:
        found = condition()
        value = await found if inspect.isawaitable(found) else found
        if value:
            return value
        if time.monotonic() >= ends_at:
            raise AssertionError(_gave_up(what, timeout, value))
        await asyncio.sleep(EVERY_S)


def wait_until(condition: Callable[[], T], what: str, timeout: float = 10.0) -> T:
    """The same for code without an event loop."""
    ends_at = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() >= ends_at:
            raise AssertionError(_gave_up(what, timeout, value))
        time.sleep(EVERY_S)
    return value


def _gave_up(what: str, timeout: float, value: object) -> str:
    return f"waited {timeout:g} s in vain until {what}; the condition last gave {value!r}"
