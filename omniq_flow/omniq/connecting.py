"""How OmniQ's clients are told where their server is: by host, by address, or by a redis-py client that exists already.

Of such a client the address and the login are read, of a cluster's those of one node, which tells of the others. It is
neither used nor closed: it may decode replies, wait without an end or send a command again, none of which our calls bear
(H02).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from ssl import CERT_NONE
from typing import Any, Generic, TypeVar

from omniq_flow.client.client import CONNECT_TIMEOUT_S, REPLY_TIMEOUT_S, AsyncClient, Client
from omniq_flow.client.connect import Target, Tls
from omniq_flow.client.retry import RetryPolicy
from omniq_flow.errors import UsageError
from omniq_flow.ops import keys

C = TypeVar("C", Client, AsyncClient)

_NOT_TAKEN_OVER = (
    "address_remap",
    "credential_provider",
    "ssl_ca_data",
    "ssl_ca_path",
    "ssl_password",
    "ssl_ciphers",
    "ssl_min_version",
    "ssl_include_verify_flags",
    "ssl_exclude_verify_flags",
    "ssl_validate_ocsp",
    "ssl_validate_ocsp_stapled",
)
"""Settings of a redis-py client that an address of ours cannot carry."""


class Connected(ABC, Generic[C]):
    """What both of OmniQ's clients are made of: where their server is, and the client that talks to it.

    Exactly one of `redis`, `redis_url` and `host` is given, else `ValueError`; `UsageError` for an address that cannot be
    read and for a redis-py client of a Sentinel. `connect_timeout` and `reply_timeout` are in seconds.
    """

    def __init__(
        self,
        *,
        redis: Any = None,
        redis_url: str | None = None,
        host: str | None = None,
        port: int = 6379,
        db: int = 0,
        username: str | None = None,
        password: str | None = None,
        ssl: bool = False,
        ssl_ca_certs: str | None = None,
        ssl_certfile: str | None = None,
        ssl_keyfile: str | None = None,
        ssl_cert_reqs: str = "required",
        ssl_check_hostname: bool = True,
        client_name: str | None = None,
        connect_timeout: float = CONNECT_TIMEOUT_S,
        reply_timeout: float = REPLY_TIMEOUT_S,
        retry: RetryPolicy | None = None,
    ) -> None:
        by_host = {"host": host, "port": port, "db": db, "username": username, "password": password}
        by_host |= {"ssl_ca_certs": ssl_ca_certs, "ssl_certfile": ssl_certfile, "ssl_keyfile": ssl_keyfile}
        by_host |= {"ssl_cert_reqs": ssl_cert_reqs, "ssl_check_hostname": ssl_check_hostname}
        match redis, redis_url, host:
            case _, None, None if redis is not None:
                target = _target_of_client(redis)
            case None, str(), None:
                target = Target.parse(redis_url)
            case None, None, str() if host:
                target = _target(by_host, is_tls=ssl)
            case _:
                raise ValueError("give exactly one of redis=, redis_url= and host=")
        if client_name:
            target = replace(target, name=client_name)
        self.client: C = self._open(target, connect_timeout, reply_timeout, retry or RetryPolicy())
        """The client of this package underneath."""

    @abstractmethod
    def _open(self, target: Target, connect_timeout: float, reply_timeout: float, retry: RetryPolicy) -> C: ...

    @staticmethod
    def queue_base(name: str) -> str:
        """What all keys of a queue begin with."""
        return keys.base(name)

    @property
    def target(self) -> Target:
        """Where the server is, with the login."""
        return self.client.target

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.target.where}>"


def _target_of_client(client: Any) -> Target:
    if (manager := getattr(client, "nodes_manager", None)) is not None:
        return _target_of_cluster(manager)
    pool = getattr(client, "connection_pool", None)
    if hasattr(client, "sentinels") or hasattr(pool, "sentinel_manager"):
        raise UsageError(
            "redis= asks a Sentinel for its server, which is not supported yet", hint="give host= or redis_url= of the primary"
        )
    options = getattr(pool, "connection_kwargs", None)
    if not isinstance(options, dict):
        raise UsageError(f"redis= takes a client of redis-py, not {type(client).__name__}", hint="or give host= or redis_url=")
    return _taken_over(options, getattr(pool, "connection_class", None))


def _target_of_cluster(manager: Any) -> Target:
    """The address of one node of a redis-py client of a cluster, any of which tells of the others."""
    node = next(iter(manager.startup_nodes.values()))
    options = {**manager.connection_kwargs, "host": node.host, "port": node.port, "path": ""}
    options["address_remap"] = getattr(manager, "address_remap", None)
    return _taken_over(options, options.get("connection_class"))


def _taken_over(options: Mapping[str, Any], connection_class: type | None) -> Target:
    """The target of a redis-py client with these options; `UsageError` if it has one that we lack."""
    for name in _NOT_TAKEN_OVER:
        if options.get(name):
            raise UsageError(f"redis= has {name} set, which cannot be taken over from it", hint="give host= or redis_url= with a login")
    return _target(options, is_tls=bool(options.get("ssl")) or _is_tls(connection_class))


def _target(options: Mapping[str, Any], *, is_tls: bool) -> Target:
    """A target out of the options of a redis-py connection, which are ours by name."""

    def text(name: str) -> str:
        return str(options.get(name) or "")

    is_verified = options.get("ssl_cert_reqs", "required") not in ("none", None, CERT_NONE)
    checks_host = bool(options.get("ssl_check_hostname", True))
    files = text("ssl_ca_certs"), text("ssl_certfile"), text("ssl_keyfile")
    return Target(
        host="" if options.get("path") else text("host") or "localhost",
        port=int(options.get("port") or 6379),
        path=text("path"),
        db=int(options.get("db") or 0),
        username=text("username"),
        password=text("password"),
        tls=Tls(*files, is_verified=is_verified, checks_host=checks_host) if is_tls else None,
        name=text("client_name"),
    )


def _is_tls(connection_class: type | None) -> bool:
    from redis.asyncio.connection import SSLConnection as Awaited
    from redis.connection import SSLConnection as Blocking

    return connection_class is not None and issubclass(connection_class, (Awaited, Blocking))
