"""Whether a user may change something is found out by trying what changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.ops.admin import is_paused
from omniq_flow.ops.jobs import publish
from omniq_flow.tui.link import PATIENCE, LookingClient
from tests.support.server import ScratchServer, Server
from tests.support.until import until
from tests.tui.conftest import app_of, live, shows
from tests.tui.shots import screen_text

QUEUES = ("mail", "pages")
NO_PERM, REPLICA = "this user may change nothing on the server (NOPERM)", "the server is a replica (READONLY)"
VIEWER = ("~*", "+@all", "-@write", "-@dangerous", "+info")


def probed(url: str) -> str:
    with LookingClient.open(url, retry=PATIENCE) as client:
        assert isinstance(client, LookingClient)
        return client.why_read_only(QUEUES)


@pytest.fixture
def own() -> Iterator[ScratchServer]:
    """A server of the test's own, for users belong to it, with two queues."""
    with ScratchServer(tcp=True) as server, Client.open(server.url) as client:
        for queue in QUEUES:
            client.execute(publish(queue, {}))
        with server.connection() as connection:
            connection.sadd("{omniq-flow}:queues", *QUEUES)
        yield server


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        (("~*", "+@all"), ""),
        (("~*", "+@all", "-@dangerous"), ""),
        (("~{mail}:*", "+@all", "-@dangerous"), ""),
        (("~{pages}:*", "+@all", "-@dangerous"), ""),
        (("~{other}:*", "+@all", "-@dangerous"), NO_PERM),
        (("%R~*", "+@all"), NO_PERM),
        (("~*", "+@read", "+@connection"), NO_PERM),
        (("~*", "+@read", "+@scripting", "+@connection"), NO_PERM),
        (("~*", "+@read", "+@write", "+@connection"), NO_PERM),
        (VIEWER, NO_PERM),
    ],
)
def test_rights_are_found_out(own: ScratchServer, rules: tuple[str, ...], why: str) -> None:
    """Both the right to write and that to run scripts are needed, on one queue at least."""
    assert probed(own.user("ann", "pw", *rules)) == why


def test_a_probe_changes_nothing(server: Server, redis_conn: redis.Redis) -> None:
    redis_conn.config_resetstat()
    assert probed(server.url) == ""
    assert redis_conn.keys("*") == []
    info = redis_conn.info("commandstats")
    assert isinstance(info, dict)
    assert info["cmdstat_unlink"]["calls"] == 1
    assert not {"cmdstat_hset", "cmdstat_set", "cmdstat_zadd", "cmdstat_sadd", "cmdstat_del"} & set(info)


def test_a_replica_is_read_only_and_says_so(own: ScratchServer) -> None:
    with own.connection() as connection:
        connection.replicaof("127.0.0.1", 1)
        assert probed(own.url) == REPLICA
        connection.replicaof("NO", "ONE")
        assert probed(own.url) == ""


@pytest.mark.parametrize("setting", [("maxmemory", "1"), ("min-replicas-to-write", "1")], ids=["OOM", "NOREPLICAS"])
def test_a_server_in_trouble_makes_nobody_read_only(own: ScratchServer, setting: tuple[str, str]) -> None:
    with own.connection() as connection:
        connection.config_set(*setting)
        assert probed(own.url) == ""


async def test_the_screen_says_so_and_keys_that_act_are_gone(own: ScratchServer) -> None:
    async with live(own.user("ann", "pw", *VIEWER)) as pilot:
        await shows(pilot, "  RO")
        await shows(pilot, "mail")
        assert "p pause" not in screen_text(pilot.app)
        await pilot.press("p")
        await shows(pilot, "this is read-only: this user may change nothing")
        app_of(pilot).action_new_run()
        await pilot.pause()
        assert len(app_of(pilot).screen_stack) == 2
    with Client.open(own.url) as client:
        assert not client.execute(is_paused("mail"))


async def test_rights_are_found_out_again_after_a_reconnect(own: ScratchServer) -> None:
    """A user gets the right to write while the server is away for him."""
    url = own.user("ann", "pw", *VIEWER)
    async with live(url) as pilot:
        await shows(pilot, "  RO")
        own.stop()
        await until(lambda: app_of(pilot).contact.lost is not None, "the server is lost")
        own.start()
        with Client.open(own.url) as client, own.connection() as connection:
            client.execute(publish("mail", {}))
            connection.sadd("{omniq-flow}:queues", "mail")
            own.user("ann", "pw", "~*", "+@all")
        await until(lambda: not app_of(pilot).status.is_read_only, "it may write")
        await shows(pilot, "p pause")
