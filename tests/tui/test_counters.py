"""Counters that stand for themselves, on the screen Counters: told apart from those of runs, and looked at closely."""

from __future__ import annotations

from dataclasses import replace

import redis

from omniq_flow.client.client import Client
from omniq_flow.client.counting import begin_counter
from omniq_flow.observe.counter_view import CounterRow, CounterView
from omniq_flow.observe.plain_counters import PlainCounter
from omniq_flow.ops import counters, keys
from tests.observe.drive import Drive
from tests.observe.flows import pages
from tests.support.server import Server
from tests.tui.conftest import app_of, live, settled, shows, still
from tests.tui.shots import screen_lines, screen_text


async def test_a_fan_in_of_plain_jobs_hangs(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    """Two keys find the counter and who has reported to it; what has ended leaves the screen."""
    redis_conn.sadd(keys.QUEUES, queue)
    drive = Drive(client, pages(queue))
    drive.start()
    drive.report(drive.take(1), {"split": [1, 2]})
    for key in ("order 42", "soon"):
        begin_counter(client, key, 3)
    for child in ("ann", "bob"):
        client.execute(counters.child_ack("order 42", child))
    async with live(server.url) as pilot:
        await pilot.press("5")
        await shows(pilot, "2 plain")
        await shows(pilot, "of:clean")
        row = next(row for row in screen_lines(pilot.app) if "order 42" in row)
        assert row[1:].split()[:4] == ["order", "42", "plain", "2/3"]
        await pilot.press("G", "enter")
        await shows(pilot, "─ reported")
        await shows(pilot, "bob")
        for key in ("a", "b", "c"):
            client.execute(counters.child_ack("soon", key))
        await shows(pilot, "1 plain")


async def test_a_plain_counter_has_no_run_and_no_verdict() -> None:
    plain = PlainCounter("order 42", 1, 4, begun_ms=1)
    async with still(notifications=True, counters=CounterView((CounterRow(plain),), at_ms=722_001)) as pilot:
        await pilot.press("5")
        await settled(pilot)
        page = app_of(pilot).page
        assert page is not None
        assert page.command() == "omniq-flow counters show 'order 42'"
        for key in ("C", "O"):
            await pilot.press(key)
            await shows(pilot, "counter order 42 belongs to no run")
            app_of(pilot).clear_notifications()
            await settled(pilot)
        await pilot.press("enter")
        await shows(pilot, "completion counter, begun 12m02 ago")
        await shows(pilot, "expected 5   done 4   missing 1")
        await shows(pilot, "reading who has reported")
        feed = app_of(pilot).source
        feed.pictures["counters"] = CounterView((CounterRow(plain),), selected="order 42", reported=("ann", "bob\x1b"), at_ms=722_001)  # type: ignore[attr-defined]
        page.look()
        await shows(pilot, "  bob␛")


async def test_why_none_are_listed_is_told() -> None:
    picture = CounterView(trouble="the user may not do this (NOPERM)")
    async with still((140, 40), counters=picture) as pilot:
        await pilot.press("5")
        await settled(pilot)
        assert "plain ones cannot be listed: the user may not do this (NOPERM)" in screen_text(pilot.app)
        app_of(pilot).source.pictures["counters"] = replace(picture, trouble="")  # type: ignore[attr-defined]
        await pilot.press("ctrl+r")
        await shows(pilot, "0 plain")
