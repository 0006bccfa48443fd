"""Reaching a server: names, sockets, TLS, all within one time limit, and what to tell when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import hiredis

from omniq_flow.client.connect import Target
from omniq_flow.client.trouble import Unreachable
from omniq_flow.model.clock import monotonic_ms

KEEPALIVE = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
NO_REDIS = "something answers there, but not as Redis or Valkey does"

P = TypeVar("P", bound=asyncio.BaseProtocol)


def socket_to(target: Target, until_ms: int) -> socket.socket:
    """A connected blocking socket; each address of a name gets its share of the time."""
    if target.path:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(left_ms(until_ms) / 1000)
            sock.connect(target.path)
        except BaseException:
            sock.close()
            raise
        return sock
    tls = target.tls.context() if target.tls else None
    addresses = _look_up(target).result(left_ms(until_ms) / 1000)
    for rest, (family, kind, protocol, _, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(left_ms(until_ms) / rest / 1000)
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(*KEEPALIVE)
            sock.settimeout(left_ms(until_ms) / 1000)
            return tls.wrap_socket(sock, server_hostname=target.host) if tls else sock
        except BaseException as error:
            sock.close()
            if rest == 1 or not isinstance(error, OSError) or isinstance(error, ssl.SSLError):
                raise
    raise OSError("the name leads to no address")


async def transport_to(factory: Callable[[], P], target: Target, until_ms: int) -> P:
    """The protocol that `factory` made, connected; with TLS if the target says so."""
    loop = asyncio.get_running_loop()
    if target.path:
        async with asyncio.timeout(left_ms(until_ms) / 1000):
            return (await loop.create_unix_connection(factory, target.path))[1]
    tls: dict[str, Any] = {"ssl": target.tls.context(), "server_hostname": target.host} if target.tls else {}
    async with asyncio.timeout(left_ms(until_ms) / 1000):
        addresses = await asyncio.wrap_future(_look_up(target))
    for rest, (family, _, _, _, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
        try:
            async with asyncio.timeout(left_ms(until_ms) / rest / 1000):
                return (await loop.create_connection(factory, address[0], address[1], family=family, **tls))[1]
        except OSError as error:
            if rest == 1 or isinstance(error, ssl.SSLError):
                raise
    raise OSError("the name leads to no address")


def _look_up(target: Target) -> Future[list[Any]]:
    """Find the addresses of a host in a thread that nobody has to wait for: a resolver knows no time-out."""
    found: Future[list[Any]] = Future()

    def ask() -> None:
        # Whoever waited may have given up and cancelled the future meanwhile.
        with contextlib.suppress(Exception):
            try:
                found.set_result(socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM))
            except Exception as error:
                found.set_exception(error)

    if target.is_literal:
        ask()
    else:
        threading.Thread(target=ask, name="omniq-flow-look-up", daemon=True).start()
    return found


def left_ms(until_ms: int) -> int:
    """The time left, never nothing at all: 0 would mean "do not block" to a socket."""
    return max(until_ms - monotonic_ms(), 1)


class AsUnreachable(contextlib.AbstractContextManager[None]):
    """Turns what operating system, resolver and TLS raise while connecting into `Unreachable`."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (OSError, UnicodeError)):
            raise _unreachable(error, self._target) from error


def _unreachable(error: OSError | UnicodeError, target: Target) -> Unreachable:
    match error:
        case ssl.SSLCertVerificationError():
            hint = "name the certificate's authority with ?ssl_ca_certs=<file>"
            return Unreachable(f"the server's certificate is not trusted: {error.verify_message}", hint)
        case ssl.SSLError():
            return Unreachable("TLS was refused there", "a port without TLS wants redis:// instead of rediss://")
        case socket.gaierror() | UnicodeError():
            return Unreachable(f"no address is known for host {target.host!r}", "check the name", is_passing=True, is_absent=True)
        case FileNotFoundError() if target.path:
            return Unreachable("there is no such socket", "check the path, and that the server runs", is_passing=True, is_absent=True)
        case FileNotFoundError():
            return Unreachable("a file named by the TLS options does not exist", "check ssl_ca_certs, ssl_certfile, ssl_keyfile")
        case ConnectionRefusedError():
            hint = "check that the server runs, and its port"
            return Unreachable("the connection is refused: nobody listens there", hint, is_passing=True, is_absent=True)
        case PermissionError():
            return Unreachable("the operating system does not allow it", "check owner and mode of the socket")
        case TimeoutError():
            hint = "check host, port and network; a port for TLS wants rediss://, one without it redis://"
            return Unreachable("no answer in time", hint, is_passing=True)
        case _:
            return Unreachable(f"no connection: {words(error, 0)}", "check the address", is_passing=True)


def words(error: Exception, timeout_ms: int) -> str:
    """What ended a link, for people."""
    match error:
        case TimeoutError():
            return f"no reply within {timeout_ms / 1000:g} s"
        case hiredis.ProtocolError():
            return NO_REDIS
        case OSError() if error.strerror:
            return error.strerror[0].lower() + error.strerror[1:]
    return str(error) or type(error).__name__
