"""What an exception becomes: a text that can always be stored, shown and read again.

An exception is the user's code: its `__str__` may raise, it may be a megabyte, it may hold half of a surrogate pair.
Whatever it is, the text is valid UTF-8 and at most 4,096 bytes; of a longer one the beginning (the type) and the last
traceback line (where) stay, and a mark stands in between.
"""

from __future__ import annotations

import linecache
import os
import traceback
from pathlib import Path

from omniq_flow.flow.source import short_path

LIMIT = 4_096
CUT = "\n… [cut] …\n"
MEMBERS = 3
OURS = str(Path(__file__).parents[1]) + os.sep


def type_of(error: BaseException) -> str:
    """The name of an exception's class, as people write it."""
    kind = type(error)
    return kind.__name__ if kind.__module__ in ("builtins", "__main__") else kind.__qualname__


def message_of(error: BaseException) -> str:
    """What an exception says, cut to the limit; that it cannot say it, if its `__str__` raises."""
    return cut(_said(error))


def head_of(error: BaseException) -> str:
    """`Type: message`, cut to the limit."""
    return cut(_head(error))


def text_of(error: BaseException) -> str:
    """`Type: message`, and below it the line that raised."""
    where = _where(error)
    return cut(_head(error), f"\n{where}" if where else "")


def cut(text: str, tail: str = "") -> str:
    """Valid text of at most 4,096 bytes; the tail is kept whole where it can be."""
    head, end = _clean(text), _clean(tail)
    if len(head) + len(end) <= LIMIT:
        return (head + end).decode()
    mark = CUT.encode() if end else CUT.rstrip("\n").encode()
    end = end[-(LIMIT // 2) :]
    room = LIMIT - len(mark) - len(end)
    # What is cut inside a character loses that character.
    return (head[:room].decode(errors="ignore").encode() + mark + end.lstrip(b"\n")).decode(errors="ignore")


def _clean(text: str) -> bytes:
    """A lone surrogate stays visible as its escape."""
    return text.encode("utf-8", "backslashreplace")


def _head(error: BaseException) -> str:
    said = _said(error)
    return f"{type_of(error)}: {said}" if said else type_of(error)


def _said(error: BaseException) -> str:
    try:
        said = str(error)
    except BaseException as second:
        return f"<{type_of(error)} whose text cannot be made: {type_of(second)}>"
    if isinstance(error, BaseExceptionGroup):
        names = "; ".join(f"{type_of(e)}: {_said(e)[:200]}" for e in error.exceptions[:MEMBERS])
        more = len(error.exceptions) - MEMBERS
        return f"{said}: {names}" + (f"; and {more} more" if more > 0 else "")
    return said


def _where(error: BaseException) -> str:
    """The innermost line of the traceback that is not ours."""
    frames = [(t.f_code, line) for t, line in traceback.walk_tb(error.__traceback__) if not t.f_code.co_filename.startswith(OURS)]
    if not frames:
        return ""
    code, line = frames[-1]
    source = linecache.getline(code.co_filename, line).strip()
    place = f"  at {short_path(code.co_filename)}:{line} in {code.co_name}"
    return f"{place}: {source}" if source else place


def full_trace(error: BaseException) -> str:
    """The whole traceback for a log; empty if even that cannot be made."""
    try:
        return "".join(traceback.format_exception(error))
    except BaseException:
        return ""
