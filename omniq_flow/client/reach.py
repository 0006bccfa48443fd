"""redis-py's connections, set up for us, and what their troubles mean.

redis-py resolves, connects, does TLS, logs in and reads and writes the protocol. Switched off is what it would
do on its own account: trying again and checking idle connections, since only the exchange knows what may be
sent twice (H02). An error reply keeps its code and its text, so the reply errors of redis-py are replaced by
`Refusal`, which it treats as its own `ResponseError`.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from socket import gaierror
from typing import Any, Protocol, TypeVar

import redis
import redis.asyncio.connection as awaited
import redis.connection as blocking
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ConnectionError as RedisConnectionError,
    InvalidResponse,
    RedisError,
    ResponseError,
    TimeoutError as RedisTimeoutError,
)
from redis.retry import Retry

from omniq_flow.client.connect import Target, turned_away
from omniq_flow.client.trouble import Refusal, Unreachable

CLOSED_BY_SERVER = "the server closed the connection"
NO_REDIS = "something answers there, but not as Redis or Valkey does"
# redis-py's own SETINFO would swallow the refusal of a server that is full. Its switch has changed its name.
_NO_NAME: dict[str, Any] = {"driver_info": None} if hasattr(redis, "DriverInfo") else {"lib_name": None, "lib_version": None}


class ErrorReply(Refusal, ResponseError):
    """A refusal that redis-py raises where it would raise an error reply."""


def _parser_like(base: Any) -> Any:
    return type("Parser", (base,), {"parse_error": staticmethod(ErrorReply.read)})


_BLOCKING_PARSER = _parser_like(blocking.DefaultParser)
_AWAITED_PARSER = _parser_like(awaited.DefaultParser)


def greeting(target: Target) -> list[tuple[str, ...]]:
    """What is sent when redis-py has logged in; the hello first: a cluster is known before it is asked for a database."""
    database = [("SELECT", str(target.db))] if target.db else []
    name = [("CLIENT", "SETNAME", target.name)] if target.name else []
    return [("HELLO", "2"), *database, ("CLIENT", "SETINFO", "LIB-NAME", "omniq-flow"), *name]


def forgiven(command: tuple[str, ...]) -> contextlib.AbstractContextManager[None]:
    """Overlooks that a part of the greeting was refused, unless it matters: Redis 7.0 lacks SETINFO, some users may not call
    it, and a name may be one that the server does not take."""
    return contextlib.suppress(Refusal) if command[0] == "CLIENT" else contextlib.nullcontext()


def blocking_connection(target: Target, timeout_s: float) -> Any:
    """A connection that is not open yet; each step of opening it takes at most `timeout_s`."""
    options = _options(target) | {"socket_connect_timeout": timeout_s, "socket_timeout": timeout_s, "parser_class": _BLOCKING_PARSER}
    return _kind(target, blocking)(**options)


def awaited_connection(target: Target, timeout_s: float) -> Any:
    """A connection that is not open yet; whoever waits for it or its replies sets the limit."""
    options = _options(target) | {"socket_connect_timeout": timeout_s, "socket_timeout": None, "parser_class": _AWAITED_PARSER}
    return _kind(target, awaited)(**options)


def _kind(target: Target, module: Any) -> Any:
    if target.path:
        return module.UnixDomainSocketConnection
    return module.SSLConnection if target.tls else module.Connection


def _options(target: Target) -> dict[str, Any]:
    options: dict[str, Any] = {"db": 0, "protocol": 2} | _NO_NAME
    options |= {"retry": Retry(NoBackoff(), 0), "health_check_interval": 0}
    if target.username or target.password:
        # With a name, a server that wants no password takes any.
        options |= {"username": target.username or "default", "password": target.password}
    options |= {"path": target.path} if target.path else {"host": target.host, "port": target.port, "socket_keepalive": True}
    if (tls := target.tls) is not None:
        files = {"ssl_ca_certs": tls.ca_certs, "ssl_certfile": tls.certfile, "ssl_keyfile": tls.keyfile}
        for file in filter(None, files.values()):
            Path(file).stat()
        options |= {name: file or None for name, file in files.items()}
        options |= {"ssl_cert_reqs": "required" if tls.is_verified else "none", "ssl_check_hostname": tls.checks_host and tls.is_verified}
    return options


class Closable(Protocol):
    """What can be closed if nobody wants it any more."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


def within(seconds: float, opening: Callable[[], C]) -> C:
    """What `opening` gives, or `TimeoutError`: redis-py's limits hold for each address and step, and a resolver knows none.

    It runs in a thread that nobody has to wait for; what comes too late is closed.
    """
    opened: Future[C] = Future()

    def work() -> None:
        try:
            result = opening()
        except BaseException as error:
            if opened.set_running_or_notify_cancel():
                opened.set_exception(error)
            return
        if opened.set_running_or_notify_cancel():
            opened.set_result(result)
        else:
            result.close()

    threading.Thread(target=work, name="omniq-flow-connect", daemon=True).start()
    try:
        wait([opened], seconds)
    finally:
        is_late = opened.cancel()
    if is_late:
        raise TimeoutError
    return opened.result()


class AsUnreachable(contextlib.AbstractContextManager[None]):
    """Turns what is raised while connecting into `Unreachable`."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (RedisError, OSError, UnicodeError)):
            raise _unreachable(_root(error), self._target) from None


def _root(error: BaseException) -> BaseException:
    """What happened below redis-py, which wraps it in words of its own."""
    step: BaseException | None = error
    while step is not None:
        if isinstance(step, (Refusal, OSError, UnicodeError)):
            return step
        step = step.__cause__ or step.__context__
    return error


def _unreachable(error: BaseException, target: Target) -> Unreachable:
    match error:
        case Refusal():
            return turned_away(error, target)
        case ssl.SSLCertVerificationError():
            hint = "name the certificate's authority with ?ssl_ca_certs=<file>"
            return Unreachable(f"the server's certificate is not trusted: {error.verify_message}", hint)
        case ssl.SSLError():
            return Unreachable("TLS was refused there", "a port without TLS wants redis:// instead of rediss://")
        case gaierror() | UnicodeError():
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
        case TimeoutError() | RedisTimeoutError():
            hint = "check host, port and network; a port for TLS wants rediss://, one without it redis://"
            return Unreachable("no answer in time", hint, is_passing=True)
        case _:
            pass
    hint = "check host and port; a port for TLS wants rediss://"
    return Unreachable(words(error, 0), hint, is_passing=not isinstance(error, InvalidResponse))


def words(error: BaseException, timeout_ms: int) -> str:
    """What ended a link, for people."""
    root = _root(error)
    if isinstance(root, (TimeoutError, RedisTimeoutError)):
        return f"no reply within {timeout_ms / 1000:g} s"
    if isinstance(root, InvalidResponse):
        return NO_REDIS
    if isinstance(root, OSError) and root.strerror:
        return root.strerror[0].lower() + root.strerror[1:]
    if isinstance(root, (ConnectionError, RedisConnectionError)) and not isinstance(root, AuthenticationError):
        return CLOSED_BY_SERVER
    return str(root) or type(root).__name__
