"""The screen for a server that is not there: where it was looked for, why it failed, when it is tried again."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import Screen

from omniq_flow.client.connect import Target
from omniq_flow.errors import ServerUnavailable, UsageError
from omniq_flow.tui.canvas import Board
from omniq_flow.tui.text import BLANK, line, wrap

HINTS = (
    "omniq-flow server status      is the project's own server running?",
    "--url redis://host:port       or OMNIQ_FLOW_URL names another server",
    "omniq-flow worker             starts the project's own server, too",
)


def url_fault(url: str) -> str:
    """Why a text is no address; empty if it is one."""
    try:
        Target.parse(url)
    except UsageError as error:
        return f"{error.message}; {error.hint}"
    return ""


class AwayScreen(Screen[None]):
    """Heals by itself: it is gone as soon as the server answers."""

    BINDINGS = [  # noqa: RUF012
        Binding("ctrl+r", "app.now", "now", show=False),
        Binding("e", "app.other_server", "another address", show=False),
        Binding("q", "app.quit", "quit", show=False),
    ]
    DEFAULT_CSS = "AwayScreen { layout: vertical; }"

    def __init__(self) -> None:
        super().__init__(name="away")
        self._board = Board(id="away")

    def compose(self) -> ComposeResult:
        yield self._board

    def show(self, error: ServerUnavailable, attempt: int, left_ms: int) -> None:
        """Tell why, and count down to the next attempt."""
        width = max(self.app.size.width - 4, 20)
        self._board.show(
            BLANK,
            line(("  omniq-flow", "title"), ("   no server", "alarm")),
            BLANK,
            line("  ", (error.where, "head")),
            *(line("  ", (row, "bad")) for row in wrap(error.message, width, 3)),
            *(line("  ", row) for row in wrap(error.hint, width, 2)),
            BLANK,
            line(f"  attempt {attempt} failed, next in {max(round(left_ms / 1000), 0)}s"),
            BLANK,
            *(line(("  " + hint, "dim")) for hint in HINTS),
            BLANK,
            line("  ", ("ctrl-r", "key"), " now   ", ("e", "key"), " another address   ", ("q", "key"), " quit"),
        )
