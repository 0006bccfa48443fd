"""The terminal UI in a browser, through textual-serve: each browser gets a process with a UI of its own."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from omniq_flow.errors import UsageError


def address_of(text: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`; `UsageError` for anything else, and if textual-serve is not installed."""
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise UsageError(f"{text!r} is no address", where="--serve", hint="write HOST:PORT, as 127.0.0.1:8787")
    if find_spec("textual_serve") is None:
        raise UsageError(
            "serving the terminal UI needs the package textual-serve", where="--serve", hint="pip install 'omniq-flow[serve]' installs it"
        )
    return host, int(port)


def serve(host: str, port: int, command: str) -> None:
    """Serve the UI that this shell command shows, until ctrl-c.

    There is no login. Only pages of this address may talk to it, so that no other page of a browser can press keys here.
    """
    from aiohttp import web  # pyright: ignore[reportMissingImports]
    from textual_serve.server import Server  # pyright: ignore[reportMissingImports]

    class Served(Server):  # type: ignore[misc]
        def initialize_logging(self) -> None:
            """Nothing: its log would show variables, among which is the server's password."""

        async def on_startup(self, app: Any) -> None:
            """Nothing: the command tells where it serves."""

        async def handle_websocket(self, request: Any) -> Any:
            if urlsplit(request.headers.get("Origin", "")).netloc != request.host:
                raise web.HTTPForbidden(text="another page may not use this terminal UI")
            return await super().handle_websocket(request)

    Served(command, host, port, title="omniq-flow").serve()
