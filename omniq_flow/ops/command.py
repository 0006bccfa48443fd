"""A command is a value: what to send and how to read what comes back. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Arg = str | bytes | int


@dataclass(frozen=True, slots=True)
class Command(Generic[T]):
    """A call of one script.

    `script` names it (`flow/tick`, `omniq/reserve`); `parse` reads the raw reply (bytes, ints, lists) and
    raises an `OmniqFlowError` for a refusal. `is_repeatable` says whether the call may be sent again when
    its reply was lost: the script then gives the same answer or one that says that it was done already.
    """

    script: str
    keys: tuple[str, ...]
    args: tuple[Arg, ...]
    parse: Callable[[Any], T]
    is_repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Query(Generic[T]):
    """One plain Redis command that only reads; may always be sent again."""

    args: tuple[Arg, ...]
    parse: Callable[[Any], T]
    is_repeatable: bool = field(default=True, init=False)


Operation = Command[Any] | Query[Any]


def text(value: bytes | str | None) -> str:
    """A reply's text; bytes that are no UTF-8 stay visible as escapes (H20)."""
    if value is None:
        return ""
    return value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")


def number(value: bytes | str | int | float | None) -> int:
    """A reply's number, read leniently: absent, empty or no number counts as 0 (wire §1)."""
    if type(value) is int:
        return value
    try:
        return int(float(value)) if value is not None else 0
    except (ValueError, OverflowError):
        return 0


def texts(values: Sequence[bytes | str]) -> list[str]:
    return [text(v) for v in values]


def one_word(by: str) -> str:
    """Who does something, as one line of a history holds it."""
    return "_".join(by.split())[:500]
