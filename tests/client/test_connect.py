"""Addresses are read strictly, and shown without a password whatever happens."""

from __future__ import annotations

from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError, InvalidResponse, TimeoutError as RedisTimeoutError

from omniq_flow.client.connect import ServerInfo, Target, Tls, masked, turned_away, welcome
from omniq_flow.client.reach import awaited_connection, blocking_connection, greeting, words
from omniq_flow.client.trouble import Refusal, Unreachable
from omniq_flow.errors import UsageError


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("redis://localhost", Target("localhost")),
        ("redis://", Target("localhost")),
        ("valkey://db.example:7000/3", Target("db.example", 7000, db=3)),
        ("redis://:s%40c%2Fret@[::1]:7000", Target("::1", 7000, password="s@c/ret")),
        ("redis://ann:pw@h/2", Target("h", db=2, username="ann", password="pw")),
        ("redis://h?db=4", Target("h", db=4)),
        ("unix:///run/redis.sock?db=1", Target(path="/run/redis.sock", db=1)),
        ("unix://ann:pw@/run/redis.sock", Target(path="/run/redis.sock", username="ann", password="pw")),
        ("unix://run/redis.sock", Target(path="run/redis.sock")),
        ("rediss://h", Target("h", tls=Tls())),
        ("valkeys://h?ssl_ca_certs=/ca&ssl_certfile=/c&ssl_keyfile=/k", Target("h", tls=Tls("/ca", "/c", "/k"))),
        ("rediss://h?ssl_cert_reqs=none", Target("h", tls=Tls(is_verified=False))),
        ("rediss://h?ssl_check_hostname=false", Target("h", tls=Tls(checks_host=False))),
    ],
)
def test_an_address_is_read(url: str, target: Target) -> None:
    assert Target.parse(url) == target


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("localhost:6379", "is not a kind of address"),
        ("http://ann:pw5@h", "'http' is not a kind of address"),
        ("", "'no scheme' is not"),
        ("redis://ann:pw5@h:port", "host or port is malformed"),
        ("redis://ann:pw5@h:99999", "host or port is malformed"),
        ("redis://ann:pw5/x@h", "%2F"),
        ("redis://ann:1?pw5@h", "%3F"),
        ("redis://ann:1#pw5@h", "%23"),
        ("redis://ann:pw5@h/one", "'one' is not the number of a database"),
        ("redis://ann:pw5@h?ssl=1", "option 'ssl' is not known"),
        ("rediss://ann:pw5@h?ssl_cert_reqs=maybe", "ssl_cert_reqs is 'required' or 'none'"),
        ("unix://", "path of the socket is missing"),
        ("redis://ann:pw5@[::1", "host or port is malformed"),
    ],
)
def test_an_address_that_makes_no_sense_is_refused_without_its_password(url: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        Target.parse(url)
    assert reason in str(caught.value)
    assert caught.value.hint.startswith("write redis://")
    assert "pw5" not in f"{caught.value} {caught.value.where} {caught.value.hint} {caught.value.__cause__}"


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("redis://ann:pw@h:1/2", "redis://ann:***@h:1/2"),
        ("redis://:pw@[::1]", "redis://:***@[::1]:6379"),
        ("redis://pw@h", "redis://***@h:6379"),
        ("rediss://h", "rediss://h:6379"),
        ("unix://:pw@/a/b?db=3", "unix://:***@/a/b?db=3"),
    ],
)
def test_the_shown_address_has_no_password(url: str, where: str) -> None:
    target = Target.parse(url)
    assert target.where == where
    assert "pw" not in repr(target).replace("username='pw'", "")


def test_anything_that_was_typed_can_be_shown() -> None:
    assert masked("redis://a:p@b@h?password=x&db=1") == "redis://***@h?password=***&db=1"
    assert masked("user:pw@host") == "***@host"
    assert masked("redis://h:1") == "redis://h:1"


def test_what_a_server_says_is_scrubbed() -> None:
    assert Target.parse("redis://:se%20cret@h").scrub("unknown: 'AUTH' 'se cret'") == "unknown: 'AUTH' '***'"
    assert Target.parse("redis://h").scrub("text") == "text"


def test_redis_py_logs_in_and_never_tries_again() -> None:
    def made(url: str) -> list[Any]:
        return [make(Target.parse(url), 2.0) for make in (blocking_connection, awaited_connection)]

    for connection in made("redis://h"):
        assert (connection.username, connection.password, connection.db) == (None, None, 0)
        assert connection.retry.get_retries() == 0
        assert connection.health_check_interval == 0
        assert connection.protocol == 2
        assert connection.socket_connect_timeout == 2.0
    for connection in made("redis://:pw@h/3"):
        assert (connection.username, connection.password, connection.db) == ("default", "pw", 0), "the database is part of our greeting"
    assert greeting(Target.parse("redis://h/3"))[:2] == [("HELLO", "2"), ("SELECT", "3")]
    for connection in made("unix://ann:pw@/run/redis.sock"):
        assert (connection.username, connection.password, connection.path) == ("ann", "pw", "/run/redis.sock")


@pytest.mark.parametrize(
    ("error", "words_for_it"),
    [
        (RedisTimeoutError("x"), "no reply within 5 s"),
        (RedisConnectionError("Connection closed by server."), "the server closed the connection"),
        (InvalidResponse("x"), "something answers there, but not as Redis or Valkey does"),
        (ConnectionResetError("Connection lost"), "the server closed the connection"),
    ],
)
def test_trouble_keeps_its_words_below_those_of_redis_py(error: Exception, words_for_it: str) -> None:
    assert words(error, 5_000) == words_for_it


def test_trouble_below_redis_py_is_told_in_the_words_of_the_system() -> None:
    wrapped = RedisConnectionError("Error while reading from h:6379 : (104, …)")
    wrapped.__context__ = ConnectionResetError(104, "Connection reset by peer")
    assert words(wrapped, 0) == "connection reset by peer"


def hello(server: str = "valkey", version: str = "9.1.2", mode: str = "standalone", role: str = "master") -> list[object]:
    pairs = (("server", server), ("version", version), ("mode", mode), ("role", role))
    return [part.encode() for pair in pairs for part in pair] + [b"proto", 2, b"modules", []]


def test_a_server_is_believed_what_it_says_of_itself() -> None:
    target = Target.parse("redis://h")
    assert welcome(hello(), target) == ServerInfo("valkey", (9, 1, 2), "standalone", "master")
    assert welcome(hello("redis", "7.0.15", role="slave"), target).is_replica
    assert welcome(hello(mode="cluster"), target).is_cluster


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (hello(mode="sentinel"), "this is a Sentinel"),
        (hello("redis", "6.2.14"), "redis 6.2.14 is too old"),
        (hello("valkey", "7.1.0"), "valkey 7.1.0 is too old"),
        (b"OK", "not as Redis or Valkey does"),
        (Refusal("ERR", "unknown command 'HELLO', with args: 'pw5'"), "does not know HELLO"),
        (Refusal("WRONGPASS", "invalid pw5"), "user name or password is wrong"),
        (Refusal("NOAUTH", "HELLO must be …"), "wants a password"),
        (Refusal("ERR", "max number of clients reached"), "no connection left"),
        (Refusal("ODD", "said pw5"), "ODD said ***"),
    ],
)
def test_a_server_that_cannot_serve_is_told_apart(reply: object, reason: str) -> None:
    with pytest.raises(Unreachable) as caught:
        welcome(reply, Target.parse("redis://ann:pw5@task-moved-ask"))
    assert reason in caught.value.reason
    assert "pw5" not in caught.value.reason + caught.value.hint


def test_a_cluster_has_one_database() -> None:
    with pytest.raises(Unreachable, match="a cluster, where only database 0 is used, not 3"):
        welcome(hello(mode="cluster"), Target.parse("redis://h/3"))


def test_a_database_that_does_not_exist_is_named() -> None:
    trouble = turned_away(Refusal("ERR", "DB index is out of range"), Target.parse("redis://h/99"))
    assert trouble.reason == "database 99 does not exist there"
