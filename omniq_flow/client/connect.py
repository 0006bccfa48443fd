"""Addresses of servers, and what a server says of itself before it is trusted.

A `Target` is a parsed address. The password lives in it and in the handshake only: whatever is shown is
`where`, and every text that comes back from a server goes through `scrub`, since an old server repeats the
arguments of a command that it does not know.

The server is asked who it is (`HELLO`, which every user may call): the answer tells product, version and
mode. Nothing is guessed from the text of an error or of a name (H25, C111).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from omniq_flow.client.trouble import Refusal, Unreachable, refusal_of
from omniq_flow.errors import UsageError

FORMS = "write redis://[user:password@]host[:port][/db], rediss://… for TLS, or unix:///path/to/socket[?db=0]"

_SCHEMES = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_OLDEST = {"redis": (7, 0), "valkey": (7, 2)}


@dataclass(frozen=True, slots=True)
class Tls:
    """How a server's certificate is checked, and which one is shown to it."""

    ca_certs: str = ""
    certfile: str = ""
    keyfile: str = ""
    is_verified: bool = True
    checks_host: bool = True


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server is and how to log in: either `path` (a Unix socket) or `host` and `port`.

    `name` is what the server's list of clients shows; one that it does not take is left out.
    """

    host: str = ""
    port: int = 6379
    path: str = ""
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: Tls | None = None
    name: str = ""

    @classmethod
    def parse(cls, url: str) -> Target:
        """Read an address; `UsageError`, without the password, for one that cannot be read."""
        try:
            parts = _split(url.strip())
            options = dict(parse_qsl(parts.query, keep_blank_values=True))
            user, password = unquote(parts.username or ""), unquote(parts.password or "")
            if parts.scheme == "unix":
                db, tls = _db(options, ""), _tls(False, options)
                return cls(path=_path(parts), db=db, username=user, password=password, tls=tls)
            if parts.scheme not in _SCHEMES:
                raise _Unreadable(f"{parts.scheme or 'no scheme'!r} is not a kind of address this client knows")
            host, port = parts.hostname or "localhost", 6379 if parts.port is None else parts.port
            db, tls = _db(options, parts.path.strip("/")), _tls(_SCHEMES[parts.scheme], options)
            return cls(host=host, port=port, db=db, username=user, password=password, tls=tls)
        except ValueError as error:
            # Only our own words are repeated: urllib quotes what it stumbles over, which may be the password.
            reason = str(error) if isinstance(error, _Unreadable) else "host or port is malformed"
            raise UsageError(f"the server's address cannot be read: {reason}", where=masked(url), hint=FORMS) from None

    @property
    def where(self) -> str:
        """The address for people: no password in it."""
        # A name without a password is hidden too: it may be a password in the wrong place.
        login = f"{self.username}:***@" if self.password else "***@" if self.username else ""
        if self.path:
            return f"unix://{login}{self.path}" + (f"?db={self.db}" if self.db else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{login}{host}:{self.port}" + (f"/{self.db}" if self.db else "")

    def scrub(self, text: str) -> str:
        """A text from elsewhere without our password."""
        return text.replace(self.password, "***") if self.password else text


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server said of itself when the connection was made."""

    product: str
    version: tuple[int, ...]
    mode: str
    role: str

    @property
    def is_cluster(self) -> bool:
        """Whether this is one of a cluster's nodes."""
        return self.mode == "cluster"

    @property
    def is_replica(self) -> bool:
        return self.role in ("slave", "replica")

    def __str__(self) -> str:
        return f"{self.product} {'.'.join(map(str, self.version))}"


def welcome(reply: Any, target: Target) -> ServerInfo:
    """Read the reply to `HELLO`; `Unreachable` if this server cannot serve us."""
    if isinstance(reply, Refusal):
        raise turned_away(reply, target)
    info = _info(reply)
    if info.mode == "sentinel":
        raise Unreachable("this is a Sentinel, it keeps no data", "give the address of the primary that it watches")
    if info.is_cluster and target.db:
        raise Unreachable(f"this is a node of a cluster, where only database 0 is used, not {target.db}", "leave the number out")
    if info.version < (oldest := _OLDEST.get(info.product, (7, 0))):
        raise Unreachable(f"{info} is too old", f"{info.product} {'.'.join(map(str, oldest))} or newer is needed")
    return info


def masked(url: str) -> str:
    """An address as typed, whatever it may be, with everything that could be a password hidden."""
    hidden = re.sub(r"(^|(?<=://))(?!.*://).*@", "***@", url, flags=re.DOTALL)
    return re.sub(r"(?i)(passw\w*=)[^&]*", r"\1***", hidden)


def turned_away(reply: Refusal, target: Target) -> Unreachable:
    """What a refusal during login or hello means."""
    text = target.scrub(reply.text)
    if reply.code == "ERR" and "DB index" in text:
        return Unreachable(f"database {target.db} does not exist there", "use a smaller number, or none")
    if reply.code == "ERR" and "unknown command" in text:
        return Unreachable("the server does not know HELLO", "Redis 7.0, Valkey 7.2 or newer is needed")
    if reply.code == "ERR" and "max number of clients" in text:
        return Unreachable("the server has no connection left for us", "raise maxclients there", is_passing=True)
    found = refusal_of(Refusal(reply.code, text))
    return Unreachable(found.reason, found.hint, is_passing=found.is_passing)


def _info(reply: Any) -> ServerInfo:
    if not isinstance(reply, list) or len(reply) % 2:
        raise Unreachable("something answers there, but not as Redis or Valkey does", "check host and port")
    said = {bytes(key).decode(): value for key, value in zip(reply[::2], reply[1::2], strict=True)}
    text = {key: said.get(key, b"").decode("utf-8", "replace") for key in ("server", "version", "mode", "role")}
    version = tuple(int(part) for part in re.findall(r"\d+", text["version"]))[:3]
    return ServerInfo(text["server"], version, text["mode"], text["role"])


class _Unreadable(ValueError):
    """Something in an address, told in words that hold no password."""


def _split(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.fragment or "@" in parts.path + parts.query:
        raise _Unreadable("'#', '?', '/' and '@' in a user's name or password are written %23, %3F, %2F and %40")
    return parts


def _path(parts: SplitResult) -> str:
    # unix://relative/socket reads "relative" as a host; it is part of the path that was meant.
    path = unquote((parts.netloc.rpartition("@")[2]) + parts.path)
    if not path:
        raise _Unreadable("the path of the socket is missing")
    return path


def _db(options: dict[str, str], path: str) -> int:
    text = options.pop("db", "") or path or "0"
    if not text.isascii() or not text.isdigit():
        raise _Unreadable(f"{text!r} is not the number of a database")
    return int(text)


def _tls(is_tls: bool, options: dict[str, str]) -> Tls | None:
    """Takes the TLS options out of an address's options; any that is left is an error, never ignored."""
    ca_certs, certfile, keyfile = (options.pop(option, "") for option in _FILES)
    is_verified = _is_on(options, "ssl_cert_reqs", off=("none", "CERT_NONE"), on=("required", "CERT_REQUIRED"))
    checks_host = _is_on(options, "ssl_check_hostname", off=("false", "no", "0"), on=("true", "yes", "1"))
    if options:
        known = ", ".join(("db", *_FILES, "ssl_cert_reqs", "ssl_check_hostname"))
        raise _Unreadable(f"option {next(iter(options))!r} is not known; there are {known}")
    return Tls(ca_certs, certfile, keyfile, is_verified, checks_host) if is_tls else None


def _is_on(options: dict[str, str], name: str, *, off: tuple[str, ...], on: tuple[str, ...]) -> bool:
    value = options.pop(name, on[0])
    if value not in off + on:
        raise _Unreadable(f"{name} is {on[0]!r} or {off[0]!r}")
    return value in on
