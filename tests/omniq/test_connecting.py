"""Where a client's server is: `host`, `redis_url`, or a redis-py client whose address and login are taken over."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from omniq_flow.client.connect import Target, Tls
from omniq_flow.errors import ServerUnavailable, UsageError
from omniq_flow.omniq.async_client import AsyncOmniqClient
from omniq_flow.omniq.client import OmniqClient
from tests.client.test_tls import CERT, tls_front
from tests.omniq.conftest import Maker
from tests.support.server import ScratchServer

SECRET = "s3cret/pw5"


def target_of(**arguments: Any) -> Target:
    """What would be connected to; nothing is."""
    return AsyncOmniqClient(**arguments).target


@pytest.mark.parametrize(
    "arguments",
    [{}, {"host": "h", "redis_url": "redis://h"}, {"redis": redis.Redis(), "host": "h"}, {"host": ""}, {"port": 7, "password": "x"}],
    ids=["none", "host and address", "client and host", "empty host", "login only"],
)
def test_exactly_one_place_is_given(arguments: dict[str, Any]) -> None:
    for client in (OmniqClient, AsyncOmniqClient):
        with pytest.raises(ValueError, match="exactly one of redis=, redis_url= and host="):
            client(**arguments)


def test_an_address_that_cannot_be_read_is_told_without_its_password() -> None:
    with pytest.raises(UsageError) as caught:
        target_of(redis_url=f"http://:{SECRET}@h")
    assert SECRET not in f"{caught.value} {caught.value.where}"


def test_the_folder_of_scripts_is_no_setting() -> None:
    """The scripts are part of the package."""
    with pytest.raises(TypeError, match="scripts_dir"):
        target_of(host="h", scripts_dir="scripts")


@pytest.mark.parametrize("module", [redis, redis.asyncio], ids=["blocking", "asyncio"])
class TestTakenOver:
    """The settings of a redis-py client are those of ours."""

    def test_host_and_login(self, module: Any) -> None:
        client = module.Redis(host="h", port=7, db=2, username="ann", password=SECRET, client_name="me", decode_responses=True)
        assert target_of(redis=client) == Target("h", 7, db=2, username="ann", password=SECRET, name="me")

    def test_the_name_may_be_another(self, module: Any) -> None:
        assert target_of(redis=module.Redis(client_name="me"), client_name="you").name == "you"

    def test_defaults(self, module: Any) -> None:
        assert target_of(redis=module.Redis()) == Target("localhost")

    @pytest.mark.parametrize("url", ["redis://ann:pw@h:7/2", "redis://h", "unix:///run/s?db=3", "rediss://h:7"])
    def test_an_address(self, module: Any, url: str) -> None:
        assert target_of(redis=module.Redis.from_url(url)) == target_of(redis_url=url)

    def test_tls(self, module: Any) -> None:
        client = module.Redis(host="h", ssl=True, ssl_ca_certs="ca", ssl_certfile="cert", ssl_keyfile="key", ssl_check_hostname=False)
        assert target_of(redis=client).tls == Tls("ca", "cert", "key", is_verified=True, checks_host=False)
        unchecked = target_of(redis=module.Redis(host="h", ssl=True, ssl_cert_reqs="none")).tls
        assert unchecked is not None
        assert not unchecked.is_verified

    def test_what_cannot_be_taken_over_is_refused(self, module: Any) -> None:
        with pytest.raises(UsageError, match="ssl_ciphers"):
            target_of(redis=module.Redis(ssl=True, ssl_ciphers="DEFAULT"))
        provider = redis.UsernamePasswordCredentialProvider("ann", SECRET)
        with pytest.raises(UsageError, match="credential_provider"):
            target_of(redis=module.Redis(credential_provider=provider))


def sentinel(module: Any = redis) -> Any:
    return module.Sentinel([("h", 1)])


@pytest.mark.parametrize(
    ("client", "words"),
    [
        (sentinel().master_for("main"), "a Sentinel"),
        (sentinel(), "a Sentinel"),
        (sentinel(redis.asyncio).master_for("main"), "a Sentinel"),
        ("redis://h", "not str"),
        (object(), "not object"),
    ],
    ids=["primary by sentinel", "sentinel", "asyncio sentinel", "text", "object"],
)
def test_what_is_no_client_of_one_server_is_refused(client: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        target_of(redis=client)
    assert caught.value.hint


def test_of_a_cluster_one_node_is_taken_with_the_login() -> None:
    """Of the asyncio client, which connects late; tests/cluster has the other."""
    cluster = redis.asyncio.RedisCluster(host="h", port=7, username="ann", password=SECRET, ssl=True, ssl_ca_certs="ca")
    assert target_of(redis=cluster) == Target("h", 7, username="ann", password=SECRET, tls=Tls("ca"))
    assert target_of(redis=redis.asyncio.RedisCluster.from_url("rediss://ann:pw@h:7")) == target_of(redis_url="rediss://ann:pw@h:7")
    with pytest.raises(UsageError, match="address_remap"):
        target_of(redis=redis.asyncio.RedisCluster(host="h", address_remap=lambda address: address))


def test_the_blocking_client_connects_when_it_is_made() -> None:
    with pytest.raises(ServerUnavailable) as caught:
        OmniqClient(host="127.0.0.1", port=1, password=SECRET, connect_timeout=0.2)
    assert caught.value.where == "redis://:***@127.0.0.1:1"


async def test_by_host_with_a_login_and_a_name(made: Maker) -> None:
    with ScratchServer(tcp=True) as scratch, scratch.connection() as admin:
        scratch.user("ann", SECRET, "~*", "+@all")
        client = await made(host="127.0.0.1", port=scratch.port, db=3, username="ann", password=SECRET, client_name="mailer")
        await client.publish(queue="q", payload={})
        assert [entry["db"] for entry in admin.client_list() if entry["name"] == "mailer" and entry["user"] == "ann"] == ["3"]


async def test_a_name_that_the_server_does_not_take_is_left_out(made: Maker) -> None:
    with ScratchServer() as scratch:
        client = await made(redis_url=scratch.url, client_name="two words")
        assert await client.is_paused(queue="q") is False


@pytest.mark.parametrize("module", [redis, redis.asyncio], ids=["redis", "redis.asyncio"])
async def test_a_client_that_was_given_is_neither_used_nor_closed(made: Maker, module: Any) -> None:
    with ScratchServer(tcp=True, password=SECRET) as scratch:
        given = module.Redis.from_url(scratch.url)
        client = await made(redis=given)
        await client.publish(queue="q", payload={}, job_id="a")
        await client.close()
        assert given.connection_pool._available_connections == []
        scratch_has = await given.exists("{q}:wait") if module is redis.asyncio else given.exists("{q}:wait")
        assert scratch_has == 1
        if module is redis.asyncio:
            await given.aclose()


async def test_by_socket(made: Maker) -> None:
    with ScratchServer() as scratch:
        client = await made(redis=redis.Redis(unix_socket_path=str(scratch.socket)))
        assert await client.publish(queue="q", payload={}, job_id="a") == "a"


@pytest.mark.parametrize("way", ["host", "redis_url", "redis"])
async def test_over_tls(made: Maker, way: str) -> None:
    with ScratchServer() as scratch:
        async with tls_front(scratch) as front:
            host, _, port = front.partition(":")
            by_host: dict[str, Any] = {"host": host, "port": int(port), "ssl": True, "ssl_ca_certs": str(CERT)}
            places: dict[str, dict[str, Any]] = {
                "host": by_host,
                "redis_url": {"redis_url": f"rediss://{front}?ssl_ca_certs={CERT}"},
                "redis": {"redis": redis.Redis(**by_host)},
            }
            client = await made(**places[way])
            assert await client.publish(queue="q", payload={}, job_id="a") == "a"
            with pytest.raises(ServerUnavailable, match="not trusted"):
                await made(host=host, port=int(port), ssl=True)


def test_a_given_client_may_be_cut_off_from_the_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Reading its settings opens nothing."""
    monkeypatch.setattr(socket, "socket", None)
    assert target_of(redis=redis.Redis(unix_socket_path=str(tmp_path / "s"))).path == str(tmp_path / "s")
