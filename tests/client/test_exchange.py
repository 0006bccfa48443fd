"""What is sent again and what is not, decided without any network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hiredis
import pytest

from omniq_flow.client.connect import Target
from omniq_flow.client.exchange import Exchange
from omniq_flow.client.link import Heard, pack
from omniq_flow.client.retry import RetryPolicy
from omniq_flow.client.trouble import Refusal
from omniq_flow.errors import OmniqFlowError, ReplyError, ServerUnavailable
from omniq_flow.ops.command import Command, Operation
from tests.client.conftest import SCRIPTS, add, ask, script

TARGET = Target.parse("redis://ann:pw5@h")
ONCE = add("{q}:n", is_repeatable=False)
NOSCRIPT = Refusal("NOSCRIPT", "No matching script")


class Ticking:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def exchange(*ops: Operation, clock: Callable[[], int] = lambda: 0, **policy: int) -> Exchange:
    return Exchange(TARGET, RetryPolicy(**policy), ops, clock=clock, spread=lambda: 1.0)


def sent(one: Exchange) -> list[list[bytes]]:
    """The commands of the next packet."""
    reader = hiredis.Reader()
    one.aim()
    reader.feed(one.packet())
    commands = iter(reader.gets, False)
    return list(commands)


def names(one: Exchange) -> list[str]:
    return [command[0].decode() for command in sent(one)]


def failure_of(one: Exchange) -> OmniqFlowError:
    assert one.is_done
    with pytest.raises(OmniqFlowError) as caught:
        one.results()
    assert "pw5" not in f"{caught.value} {caught.value.where} {caught.value.hint}"
    return caught.value


def test_a_call_is_one_evalsha_and_its_parsed_reply() -> None:
    one = exchange(add("{q}:n", 5))
    [command] = sent(one)
    assert (command[0], *command[2:]) == (b"EVALSHA", b"1", b"{q}:n", b"5")
    one.take(Heard([7]))
    assert one.results() == [7]


def test_an_unknown_script_is_sent_again_at_once_with_its_source_once() -> None:
    one = exchange(add("a"), ask("PING"), add("b"), script("set", "c", "1"))
    assert names(one) == ["EVALSHA", "PING", "EVALSHA", "EVALSHA"]
    one.take(Heard([NOSCRIPT, b"PONG", NOSCRIPT, NOSCRIPT]))
    assert one.pause_ms == 0
    again = sent(one)
    assert [command[0] for command in again] == [b"EVAL", b"EVALSHA", b"EVAL"]
    assert again[0][1].decode() == SCRIPTS["test/add"]
    one.take(Heard([1, 2, b"OK"]))
    assert one.results() == [1, b"PONG", 2, b"OK"]
    assert one.failures == 0, "a lost script is no failure"


def test_a_server_that_forgets_what_it_was_just_told_is_an_error() -> None:
    one = exchange(ONCE)
    for _ in range(2):
        sent(one)
        one.take(Heard([NOSCRIPT]))
    assert isinstance(failure_of(one), ReplyError)


@pytest.mark.parametrize("op", [add("n"), ask("GET", "n")])
def test_what_is_repeatable_is_sent_again_after_a_lost_reply(op: Operation) -> None:
    one = exchange(op)
    sent(one)
    one.take(Heard([], "gone"))
    assert not one.is_done
    assert (one.count, one.pause_ms) == (1, 0)
    assert len(sent(one)) == 1


def test_anything_else_is_not_and_says_what_is_unknown() -> None:
    one = exchange(ONCE)
    sent(one)
    one.take(Heard([], "no reply within 5 s"))
    error = failure_of(one)
    assert isinstance(error, ServerUnavailable)
    assert "no reply within 5 s" in str(error)
    assert "may have been applied or not" in str(error)


def test_anything_is_sent_again_if_nothing_had_left() -> None:
    one = exchange(ONCE)
    sent(one)
    one.take(Heard([], "closed", was_sent=False))
    assert not one.is_done
    assert names(one) == ["EVALSHA"]


def test_what_never_leaves_is_given_up_in_the_end() -> None:
    one = exchange(ONCE, attempts=2)
    for _ in range(2):
        sent(one)
        one.take(Heard([], "closed", was_sent=False))
    assert str(failure_of(one)) == "the connection was lost: closed"


def test_of_a_broken_pipeline_only_the_unanswered_and_repeatable_go_again() -> None:
    one = exchange(add("a"), ONCE, add("c"), ONCE)
    sent(one)
    one.take(Heard([1, 2], "gone"))
    assert len(sent(one)) == 1
    one.take(Heard([3]))
    assert "may have been applied" in str(failure_of(one))
    assert [m.reply for m in one._members[:3]] == [1, 2, 3]


@pytest.mark.parametrize("code", ["LOADING", "BUSY", "TRYAGAIN", "MASTERDOWN", "READONLY", "NOREPLICAS", "CLUSTERDOWN"])
def test_a_passing_refusal_is_waited_for_even_if_not_repeatable(code: str) -> None:
    one = exchange(ONCE, first_ms=50, cap_ms=1000)
    pauses = []
    for _ in range(3):
        sent(one)
        one.take(Heard([Refusal(code, "later")]))
        pauses.append(one.pause_ms)
    assert pauses == [50, 100, 200]
    sent(one)
    one.take(Heard([4]))
    assert one.results() == [4]


def test_a_primary_that_became_a_replica_wants_a_new_connection() -> None:
    one = exchange(ONCE)
    sent(one)
    one.take(Heard([Refusal("READONLY", "You can't write")]))
    assert one.needs_new_link
    sent(one)
    one.take(Heard([Refusal("LOADING", "")]))
    assert not one.needs_new_link


def test_attempts_end() -> None:
    one = exchange(ONCE, attempts=3)
    for _ in range(3):
        sent(one)
        one.take(Heard([Refusal("LOADING", "pw5")]))
    error = failure_of(one)
    assert "still loading its data (LOADING)" in str(error)
    assert error.where == "redis://ann:***@h:6379"
    assert error.hint


def test_patience_ends() -> None:
    clock = Ticking()
    one = exchange(add("n"), clock=clock, patience_ms=9_000)
    for _ in range(2):
        sent(one)
        clock.now += 5_000
        one.take(Heard([], "no reply within 5 s"))
    assert "the connection was lost: no reply within 5 s" in str(failure_of(one))


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Refusal("OOM", "command not allowed"), "out of memory (OOM)"),
        (Refusal("NOAUTH", "Authentication required."), "wants a password (NOAUTH)"),
        (Refusal("NOPERM", "No permissions to access a key"), "may not do this (NOPERM): No permissions to access a key"),
        (Refusal("ERR", "ACL failure in script: pw5"), "may not do this (NOPERM): ACL failure in script: ***"),
        (Refusal("MISCONF", "Errors writing to the AOF file"), "refuses writes (MISCONF)"),
    ],
)
def test_a_standing_refusal_fails_at_once_with_reason_and_hint(refusal: Refusal, words: str) -> None:
    one = exchange(add("n"))
    sent(one)
    one.take(Heard([refusal]))
    error = failure_of(one)
    assert isinstance(error, ServerUnavailable)
    assert words in str(error)
    assert error.hint


def test_the_error_of_a_script_is_no_trouble_with_the_server() -> None:
    one = exchange(add("n"))
    sent(one)
    one.take(Heard([Refusal("WRONGTYPE", "Operation against a key")]))
    error = failure_of(one)
    assert isinstance(error, ReplyError)
    assert str(error) == "test/add failed: WRONGTYPE Operation against a key"


def test_the_first_failure_is_raised_when_all_replies_are_read() -> None:
    def refuse(reply: Any) -> Any:
        raise OmniqFlowError(f"refused {reply}")

    picky: Command[Any] = Command("test/add", ("n",), (1,), refuse)
    one = exchange(add("a"), picky, add("c"))
    sent(one)
    one.take(Heard([1, 2, Refusal("ERR", "broken")]))
    assert str(failure_of(one)) == "refused 2"


def test_arguments_travel_as_they_are_and_lone_surrogates_as_escapes() -> None:
    reader = hiredis.Reader()
    reader.feed(pack([("SET", b"\xff\x00\r\n", 7, "é\udc80")]))
    assert reader.gets() == [b"SET", b"\xff\x00\r\n", b"7", b"\xc3\xa9\\udc80"]
