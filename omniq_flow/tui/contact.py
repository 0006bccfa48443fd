"""Contact with the server: whether it answers, since when the picture is not renewed, and the rest while nobody looks.

A server that was never reached is a screen of its own, one that is lost leaves its last picture, marked as stale. Both heal as soon
as it answers, whatever it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from omniq_flow.tui.away import AwayScreen
from omniq_flow.tui.feed import Lost, Pulse
from omniq_flow.tui.run_text import clock_time

if TYPE_CHECKING:
    from omniq_flow.tui.app import FlowApp

LATE_MS = 3_000
"""So much later than it was due, a picture counts as stale."""
BLUR_MS = 60_000


class Contact:
    """How an app stands with its server; without `retries` the app ends where the server is lost."""

    def __init__(self, app: FlowApp, *, retries: bool) -> None:
        self._app = app
        self._retries = retries
        self.lost: Lost | None = None
        self._away: AwayScreen | None = None
        self._arrived_ms = 0
        self._blurred_ms = -1
        self._is_resting = False

    def renew(self, pulse: Pulse) -> None:
        """A picture has come."""
        self._arrived_ms = self._app.ticks()
        self.hear()
        self._app.set_status(rtt_ms=pulse.rtt_ms, stale_ms=-1)

    def hear(self) -> None:
        """The server answers, whatever it says."""
        if self.lost is not None:
            self.lost = None
            self._app.set_status(lost_at="")
        if self._away is not None:
            away, self._away = self._away, None
            while away in self._app.screen_stack:
                self._app.pop_screen()

    def lose(self, lost: Lost) -> None:
        """The server is away."""
        if self.lost is None:
            self._app.set_status(lost_at=clock_time(self._app.clock()))
        self.lost = lost
        if not self._retries:
            self._app.exit(return_code=lost.error.exit_code)
            return
        if self._arrived_ms == 0 and self._away is None:
            self._away = AwayScreen()
            self._app.push_screen(self._away)
        self.pass_time()

    def pass_time(self) -> None:
        """What changes by itself, second by second: the countdown, whether the picture is still fresh, whether to rest."""
        app = self._app
        if self._away is not None and self.lost is not None and self._away.is_mounted:
            self._away.show(self.lost.error, self.lost.attempt, self.lost.again_ms - app.ticks())
        waited = app.ticks() - self._arrived_ms
        is_late = waited > app.status.interval_ms + LATE_MS and not self._is_resting
        is_stale = self._arrived_ms > 0 and (self.lost is not None or is_late)
        app.set_status(stale_ms=waited if is_stale else -1)
        if app.page is not None and app.page.is_ready:
            app.page.set_stale(is_stale)
        if 0 <= self._blurred_ms < app.ticks() - BLUR_MS and not self._is_resting:
            self.rest(True)

    def blur(self) -> None:
        """Nobody looks from now on."""
        self._blurred_ms = self._app.ticks()

    def focus(self) -> None:
        """Somebody looks again."""
        self._blurred_ms = -1
        self.rest(self._app.status.is_frozen)

    def rest(self, is_resting: bool) -> None:
        """Let the feed rest: nobody looks, or the picture is to stay as it is."""
        self._is_resting = is_resting
        self._app.source.freeze(is_resting)
