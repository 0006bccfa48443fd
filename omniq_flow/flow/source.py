"""Where something stands in the user's files, as `file:line`, for messages only."""

from __future__ import annotations

import ast
import inspect
import os
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any


def short_path(file: str) -> str:
    """A file as people read it: relative to the current folder where it lies below."""
    try:
        relative = os.path.relpath(file)
    except ValueError:
        return file
    return file if relative.startswith("..") else relative


def caller(depth: int = 1) -> FrameType:
    """The frame of whoever called the function that asks, `depth` further out."""
    return sys._getframe(depth + 1)


def where_of_frame(frame: FrameType) -> str:
    return f"{short_path(frame.f_code.co_filename)}:{frame.f_lineno}"


def where_outside(*modules: str) -> str:
    """The line in the nearest calling frame that belongs to none of these modules or packages."""
    frame: FrameType | None = sys._getframe(1)
    while frame and any(f"{frame.f_globals.get('__name__', '')}.".startswith(f"{m}.") for m in (__name__, *modules)):
        frame = frame.f_back
    return where_of_frame(frame) if frame else ""


def where_of_handler(handler: Callable[..., Any], parameter: str = "") -> str:
    """The line of a function's definition, or of one of its parameters; "" where there is no source."""
    code = getattr(inspect.unwrap(handler), "__code__", None)
    if not isinstance(code, CodeType):
        return ""
    line = _parameter_line(code, parameter) if parameter else 0
    return f"{short_path(code.co_filename)}:{line or code.co_firstlineno}"


def _parameter_line(code: CodeType, parameter: str) -> int:
    """0 if the source cannot be read: a fault without the exact line is better than no fault."""
    try:
        lines, first = inspect.getsourcelines(code)
        tree = ast.parse(inspect.cleandoc("\n" + "".join(lines)))
    except (OSError, SyntaxError, TypeError):
        return 0
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.arg == parameter:
            return first + node.lineno - 1
    return 0
