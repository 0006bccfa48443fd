"""TLS, through a small TLS front of the test's own: the server of the wheel has none.

`tls/server.crt` is a certificate for localhost that signed itself, valid from 2020 to 2120, made for these tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from omniq_flow.errors import ServerUnavailable
from tests.client.conftest import Opener, add, ask
from tests.support.server import ScratchServer

HERE = Path(__file__).parent / "tls"
CERT, KEY = HERE / "server.crt", HERE / "server.key"


@contextlib.asynccontextmanager
async def tls_front(scratch: ScratchServer, *, wants_certificate: bool = False) -> AsyncIterator[str]:
    """`127.0.0.1:port` of a TLS server that passes everything on."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(CERT) if wants_certificate else None)
    context.load_cert_chain(CERT, KEY)
    context.verify_mode = ssl.CERT_REQUIRED if wants_certificate else ssl.CERT_NONE

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(str(scratch.socket))
        await asyncio.gather(carry(reader, up_writer), carry(up_reader, writer))

    front = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"127.0.0.1:{front.sockets[0].getsockname()[1]}"
    finally:
        front.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_trusted_certificate_opens_a_connection(opened: Opener, host: str) -> None:
    with ScratchServer() as scratch:
        async with tls_front(scratch) as front:
            client = await opened(f"rediss://{front.replace('127.0.0.1', host)}?ssl_ca_certs={CERT}")
            big = b"x" * 1_000_000
            assert await client.execute_all([add("{q}:n"), ask("ECHO", big)]) == [1, big]
            connections = scratch.connection().info("stats")["total_connections_received"]
            for number in range(2, 12):
                assert await client.execute(add("{q}:n")) == number
            # The two of INFO itself; session tickets must not make an idle connection look broken.
            assert scratch.connection().info("stats")["total_connections_received"] == connections + 1


async def test_a_lost_tls_connection_is_made_again(opened: Opener) -> None:
    with ScratchServer() as scratch:
        async with tls_front(scratch) as front:
            client = await opened(f"rediss://{front}?ssl_ca_certs={CERT}")
            assert await client.execute(add("{q}:n")) == 1
            scratch.connection().client_kill_filter(_type="normal", skipme=True)
            assert await client.execute(add("{q}:n")) >= 2


async def test_an_unknown_certificate_is_refused_with_a_way_out(opened: Opener) -> None:
    with ScratchServer() as scratch:
        async with tls_front(scratch) as front:
            with pytest.raises(ServerUnavailable, match="certificate is not trusted") as caught:
                await opened(f"rediss://{front}")
            assert "ssl_ca_certs" in caught.value.hint
            client = await opened(f"rediss://{front}?ssl_cert_reqs=none")
            assert await client.execute(ask("PING")) == b"PONG"


async def test_a_certificate_of_our_own_is_shown(opened: Opener) -> None:
    with ScratchServer() as scratch:
        async with tls_front(scratch, wants_certificate=True) as front:
            client = await opened(f"rediss://{front}?ssl_ca_certs={CERT}&ssl_certfile={CERT}&ssl_keyfile={KEY}")
            assert await client.execute(ask("PING")) == b"PONG"
            with pytest.raises(ServerUnavailable):
                await opened(f"rediss://{front}?ssl_ca_certs={CERT}", connect_timeout=1)


async def test_a_missing_file_is_named(opened: Opener) -> None:
    with pytest.raises(ServerUnavailable, match="a file named by the TLS options does not exist"):
        await opened("rediss://127.0.0.1:1?ssl_ca_certs=/nowhere/ca.crt")


async def test_a_plain_address_of_a_tls_port_fails_in_time(opened: Opener) -> None:
    """C111, the other way round."""
    with ScratchServer() as scratch:
        async with tls_front(scratch) as front:
            with pytest.raises(ServerUnavailable) as caught:
                await opened(f"redis://:pw5@{front}", connect_timeout=1)
            assert "rediss://" in caught.value.hint
