"""The feed rests while nobody looks, and asks a slow server less often."""

from __future__ import annotations

import pytest
from textual import events

from omniq_flow.tui.contact import BLUR_MS
from omniq_flow.tui.feed import INTERVAL_MS, Feed, Want
from tests.tui.conftest import app_of, settled, still
from tests.tui.still import StillFeed


async def test_it_rests_a_minute_after_the_terminal_lost_the_focus() -> None:
    """And begins again at once when somebody looks; a frozen picture stays frozen."""
    async with still() as pilot:
        app = app_of(pilot)
        feed = app.source
        assert isinstance(feed, StillFeed)
        now = app.ticks()

        async def at(ms: int) -> None:
            app.ticks = lambda: ms
            app.contact.pass_time()
            await settled(pilot)

        app.post_message(events.AppBlur())
        await settled(pilot)
        await at(now + BLUR_MS - 1)
        assert not feed.is_frozen
        await at(now + BLUR_MS + 1)
        assert feed.is_frozen
        app.post_message(events.AppFocus())
        await settled(pilot)
        assert not feed.is_frozen
        await pilot.press("z")
        app.post_message(events.AppBlur())
        app.post_message(events.AppFocus())
        await settled(pilot)
        assert feed.is_frozen


class _Slow:
    """A client of a server at some distance."""

    trips = commands = 0

    def __init__(self, rtt_ms: int) -> None:
        self.rtt_ms = rtt_ms

    def start_count(self) -> None: ...


@pytest.mark.parametrize(("rtt_ms", "interval_ms"), [(3, INTERVAL_MS), (100, INTERVAL_MS), (101, 1_010), (700, 7_000)])
def test_a_slow_server_is_asked_ten_round_trips_later(rtt_ms: int, interval_ms: int) -> None:
    feed = Feed("redis://nowhere", clock=lambda: 50_000)
    feed._client = _Slow(rtt_ms)  # type: ignore[assignment]
    feed._around_due_ms = 1 << 60
    feed._tell = lambda news: None
    feed.keep(Want("runs", lambda client: None))
    feed._tick()
    assert feed._due_ms == 50_000 + interval_ms
