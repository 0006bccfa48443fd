"""Which type may flow into which: equal, subclass, member of a union, `Any`, int into float, list into list.

Lists are covariant, since a handler gets its own copy. Everything else is refused: a wiring that a plan
accepts never meets a wrong type at run time.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from typing import Any, Literal, Union

NONE = type(None)


def plain(annotation: Any) -> Any:
    """An annotation without what does not change its type: `Annotated`, aliases, a bare `list`."""
    if annotation is None:
        return NONE
    if annotation is list:
        return list[Any]
    if typing.get_origin(annotation) is typing.Annotated:
        return plain(typing.get_args(annotation)[0])
    if hasattr(annotation, "__value__"):
        return plain(annotation.__value__)
    return annotation


def members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; the type itself if it is none."""
    annotation = plain(annotation)
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return tuple(m for part in typing.get_args(annotation) for m in members(part))
    return (annotation,)


def union(parts: Iterable[Any]) -> Any:
    return Union[tuple(parts)]  # noqa: UP007  the members are known only now


def has_none(annotation: Any) -> bool:
    return NONE in members(annotation)


def accepts_none(annotation: Any) -> bool:
    return any(m is NONE or m is Any or m is object for m in members(annotation))


def without_none(annotation: Any) -> Any:
    rest = tuple(m for m in members(annotation) if m is not NONE)
    return union(rest) if rest else NONE


def element_of(annotation: Any) -> Any | None:
    """The `T` of a `list[T]`; None for every other type, `Sequence` and `str` among them."""
    annotation = plain(annotation)
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is list else None


def fits(given: Any, wanted: Any) -> bool:
    """Whether every value of one type may be handed to a parameter of the other."""
    given, wanted = plain(given), plain(wanted)
    if given is Any or wanted is Any or wanted is object or given == wanted:
        return True
    if len(parts := _literals(given) or members(given)) > 1:
        return all(fits(part, wanted) for part in parts)
    if len(parts := members(wanted)) > 1:
        return any(fits(given, part) for part in parts)
    return _fits_one(given, wanted)


def _fits_one(given: Any, wanted: Any) -> bool:
    """Both are single types here."""
    if isinstance(given, typing.NewType):
        return fits(given.__supertype__, wanted)
    if typing.get_origin(given) is Literal:
        return _literal_fits(given, wanted)
    inner, outer = element_of(given), element_of(wanted)
    if inner is not None and outer is not None:
        return fits(inner, outer)
    if wanted is float and given is int:
        return True
    return _is_subclass(given, wanted)


def _literals(annotation: Any) -> tuple[Any, ...]:
    """`Literal["a", "b"]` as a type for each value; nothing for a single one or another type."""
    values = typing.get_args(annotation) if typing.get_origin(annotation) is Literal else ()
    return tuple(Literal[value] for value in values) if len(values) > 1 else ()


def _literal_fits(given: Any, wanted: Any) -> bool:
    """`given` is a literal of one value here."""
    [value] = typing.get_args(given)
    if typing.get_origin(wanted) is Literal:
        return value in typing.get_args(wanted)
    return fits(type(value), wanted)


def _is_subclass(given: Any, wanted: Any) -> bool:
    if not isinstance(given, type) or not isinstance(wanted, type):
        return False
    try:
        return issubclass(given, wanted)
    except TypeError:
        return False


def show(annotation: Any) -> str:
    """A type as one writes it: `list[PageFacts]`, `str | None`."""
    annotation = plain(annotation)
    if annotation is NONE:
        return "None"
    if len(parts := members(annotation)) > 1:
        return " | ".join(show(part) for part in sorted(parts, key=lambda p: p is NONE))
    if typing.get_origin(annotation) is Literal:
        return f"Literal[{', '.join(map(repr, typing.get_args(annotation)))}]"
    if args := typing.get_args(annotation):
        name = getattr(typing.get_origin(annotation), "__name__", str(annotation))
        return f"{name}[{', '.join('…' if a is ... else show(a) for a in args)}]"
    return getattr(annotation, "__name__", None) or str(annotation).replace("typing.", "")
