"""Which type may flow into which."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, Optional, Union

import pytest
from pydantic import BaseModel

from omniq_flow.flow.typing_rules import accepts_none, element_of, fits, has_none, show, without_none


class Base(BaseModel):
    a: int = 1


class Child(Base):
    b: int = 2


class Other(BaseModel):
    a: int = 1


UserId = NewType("UserId", int)

GOOD: list[tuple[Any, Any]] = [
    (int, int),
    (Child, Base),
    (int, int | str),
    (int | str, str | int | None),
    (Any, int),
    (int, Any),
    (int, object),
    (int, float),
    (bool, int),
    (list[int], list[float]),
    (list[Child], list[Base]),
    (list[Child], list[Base | None]),
    (list[list[int]], list[list[int | None]]),
    (list[int], list),
    (list, list[int]),
    (list[int], list[int] | None),
    (dict[str, int], dict[str, int]),
    (None, None),
    (None, int | None),
    (Annotated[int, "kept"], int),
    (int, Annotated[float, "kept"]),
    (UserId, int),
    (Literal["a"], str),
    (Literal["a"], Literal["a", "b"]),
    (Literal["a", 1], int | str),
    (Optional[int], int | None),  # noqa: UP045  as older code writes it
    (Union[int, str], int | str),  # noqa: UP007
]
BAD: list[tuple[Any, Any]] = [
    (float, int),
    (str, int),
    (Base, Child),
    (Base, Other),
    (int | None, int),
    (int | str, int),
    (int, list[int]),
    (list[int], int),
    (list[int], list[str]),
    (list[Base], list[Child]),
    (list[int], Sequence[int]),
    (str, list[str]),
    (str, Sequence[str]),
    (dict[str, int], dict[str, float]),
    (tuple[int, ...], list[int]),
    (Decimal, float),
    (int, UserId),
    (Literal["a", "b"], Literal["a"]),
    (Literal[1], str),
    (None, int),
]


@pytest.mark.parametrize(("given", "wanted"), GOOD, ids=lambda t: show(t))
def test_fits(given: Any, wanted: Any) -> None:
    assert fits(given, wanted)


@pytest.mark.parametrize(("given", "wanted"), BAD, ids=lambda t: show(t))
def test_does_not_fit(given: Any, wanted: Any) -> None:
    assert not fits(given, wanted)


@pytest.mark.parametrize("annotation", [str, Sequence[int], tuple[int, ...], set[int], dict[str, int], Any, list[int] | None, bytes])
def test_only_a_list_has_elements(annotation: Any) -> None:
    assert element_of(annotation) is None


def test_elements_of_lists() -> None:
    assert element_of(list[int]) is int
    assert element_of(list) is Any
    assert element_of(Annotated[list[str], "kept"]) is str


def test_none() -> None:
    assert has_none(int | None)
    assert not has_none(Any)
    assert accepts_none(Any)
    assert accepts_none(None)
    assert not accepts_none(int)
    assert without_none(int | None) is int


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (list[Base], "list[Base]"),
        (None | str, "str | None"),
        (dict[str, list[int]], "dict[str, list[int]]"),
        (tuple[int, ...], "tuple[int, …]"),
        (Any, "Any"),
        (None, "None"),
        (Literal["a", 1], "Literal['a', 1]"),
        (Sequence[int], "Sequence[int]"),
    ],
)
def test_types_are_shown_as_one_writes_them(annotation: Any, text: str) -> None:
    assert show(annotation) == text
