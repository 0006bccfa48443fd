"""Apps over fixed pictures, in one time zone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot

from omniq_flow.client.connect import Target
from omniq_flow.tui.actions import Hands
from omniq_flow.tui.app import FlowApp
from omniq_flow.tui.feed import Feed
from tests.support.until import until
from tests.tui.still import AROUND, NOW, StillFeed, pictures

Still = Callable[..., AbstractAsyncContextManager[Pilot[None]]]


@pytest.fixture(autouse=True)
def one_time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@asynccontextmanager
async def still(
    size: tuple[int, int] = (80, 24),
    theme: str = "textual-dark",
    *,
    read_only: bool = False,
    is_ascii: bool = False,
    color: str = "",
    notifications: bool = False,
    **changed: Any,
) -> AsyncIterator[Pilot[None]]:
    """An app over the fixed pictures; `changed` replaces some of them."""
    feed = StillFeed(pictures() | changed, AROUND)
    app = FlowApp(
        feed,
        where="redis://cache:6379/0",
        profile="prod",
        hands=None if read_only else Hands("redis://127.0.0.1:1"),
        queues=AROUND.queues,
        is_ascii=is_ascii,
        color=color,
        clock=lambda: NOW,
        ticks=lambda: 1_000,
    )
    app.theme = theme
    async with app.run_test(size=size, notifications=notifications) as pilot:
        await settled(pilot)
        yield pilot


async def settled(pilot: Pilot[Any]) -> None:
    """Wait until all that was asked for is on the screen."""
    for _ in range(3):
        await pilot.pause()
        await asyncio.sleep(0)


def app_of(pilot: Pilot[Any]) -> FlowApp:
    assert isinstance(pilot.app, FlowApp)
    return pilot.app


async def shows(pilot: Pilot[Any], text: str, timeout: float = 20.0) -> None:
    """Wait until the screen shows a text."""
    from tests.tui.shots import screen_text

    await until(lambda: text in screen_text(pilot.app), f"the screen shows {text!r}", timeout)


@asynccontextmanager
async def live(
    url: str, *, size: tuple[int, int] = (100, 30), read_only: bool = False, run: tuple[str, str] | None = None, **more: Any
) -> AsyncIterator[Pilot[None]]:
    """An app over a real server."""
    hands = None if read_only else Hands(url)
    app = FlowApp(Feed(url), where=Target.parse(url).where, hands=hands, run=run, **more)
    async with app.run_test(size=size, notifications=True) as pilot:
        yield pilot
