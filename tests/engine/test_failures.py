"""Any exception becomes text that can be stored, shown and read again (C109)."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from omniq_flow.engine.failures import LIMIT, cut, message_of, text_of, type_of


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no")


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("plain"), "plain"),
        (ValueError(), ""),
        (ValueError("nul\0 and \x1b[2J"), "nul\0 and \x1b[2J"),
        (ValueError("half \ud800"), "half \\ud800"),
        (ValueError(b"\x00\xff"), "b'\\x00\\xff'"),
        (Mute(), "<Mute whose text cannot be made: ValueError>"),
    ],
)
def test_what_it_says(error: Exception, message: str) -> None:
    assert message_of(error) == message


def test_type_message_and_line() -> None:
    text = text_of(raised(ValueError("plain")))
    head, where = text.split("\n")
    assert head == "ValueError: plain"
    assert where.startswith("  at tests/engine/test_failures.py:")
    assert where.endswith("in raised: raise error")


def test_without_a_message_and_without_a_traceback() -> None:
    assert text_of(ValueError()) == "ValueError"


def test_a_group_names_its_first_members() -> None:
    group = ExceptionGroup("many", [ValueError(str(n)) for n in range(50)])
    assert message_of(group) == "many (50 sub-exceptions): ValueError: 0; ValueError: 1; ValueError: 2; and 47 more"


@pytest.mark.parametrize("filler", ["x" * 1_000_000, "x" + "é" * 4_000, "🐦" * 2_000, "x\ud800" * 3_000])
def test_a_long_text_keeps_its_type_and_its_line(filler: str) -> None:
    text = text_of(raised(ValueError(filler)))
    assert len(text.encode()) <= LIMIT
    assert text.startswith("ValueError: ")
    assert "… [cut] …" in text
    assert text.endswith("in raised: raise error")
    message = message_of(ValueError(filler))
    assert len(message.encode()) <= LIMIT
    assert message.endswith("[cut] …")


@given(st.text(st.characters(exclude_categories=()), max_size=3_000), st.text(max_size=3_000))
def test_cut_gives_valid_text_within_the_limit(text: str, tail: str) -> None:
    assert len(cut(text * 3, tail * 2).encode()) <= LIMIT


def test_names_of_nested_classes() -> None:
    class Inner(Exception):
        pass

    assert type_of(Inner()) == "test_names_of_nested_classes.<locals>.Inner"
    assert type_of(KeyError()) == "KeyError"
