"""Python's search for cycles of garbage: a short command loads much code, makes none, and would spend a third of its time on it."""

from __future__ import annotations

import gc

_USUAL = gc.get_threshold()
_SELDOM = 100_000


def seldom() -> None:
    """Search only after very many new objects."""
    gc.set_threshold(_SELDOM, *_USUAL[1:])


def as_usual() -> None:
    """As often as Python does by itself: for commands that stay, and run other people's code. What was loaded by now stays as
    well, and no search looks at it again: that would be a good part of the work of a burst of steps."""
    gc.freeze()
    gc.set_threshold(*_USUAL)


def no_more() -> None:
    """The process ends, and all that is left with it: the searches that Python makes then find nothing to look at."""
    gc.freeze()
