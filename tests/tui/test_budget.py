"""What a tick may cost: three round trips and 150 commands, whatever is on the server; and who looks can not write."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.model.jobs import JobOptions
from omniq_flow.observe.run_list import RunList, RunWindow
from omniq_flow.ops import keys
from omniq_flow.ops.jobs import publish, reserve
from omniq_flow.ops.runs import log_append, run_purge
from omniq_flow.ops.steering import queue_pause
from omniq_flow.tui.app import FlowApp
from omniq_flow.tui.feed import Arrived, Feed, News, Pulse
from omniq_flow.tui.filter import query_of
from omniq_flow.tui.link import LookingClient, ReadOnly
from tests.observe.drive import Bad, Drive
from tests.observe.flows import pages
from tests.support.server import Server
from tests.support.until import until
from tests.tui.conftest import settled

MOST_TRIPS = 3
MOST_COMMANDS = 150
NOW = 1_800_000_000_000


class CountingFeed(Feed):
    """Remembers how each tick went."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.pulses: list[tuple[str, Pulse]] = []

    def start(self, tell: Callable[[News], object]) -> None:
        def note(news: News) -> None:
            if isinstance(news, Arrived):
                self.pulses.append((news.name, news.pulse))
            tell(news)

        super().start(note)


@pytest.fixture
def busy_server(server: Server, client: Client, redis_conn: redis.Redis) -> str:
    """Thirteen queues with runs of all states, groups, and jobs in their lanes; gives the id of an open run."""
    run_id = ""
    for n in range(12):
        queue = f"busy{n:02}"
        redis_conn.sadd("{omniq-flow}:queues", queue)
        for m in range(24):
            client.execute(publish(queue, {"m": m}, options=JobOptions(gid=f"g{m}" if m % 2 else "")))
        for _ in range(8):
            client.execute(reserve(queue))
    redis_conn.sadd("{omniq-flow}:queues", "flows")
    drive = Drive(client, pages("flows"))
    for m in range(6):
        drive.finished({"split": [1, 2], "read[1]": Bad("no") if m % 3 else "x"})
    for _ in range(6):
        run_id = drive.start()
        drive.settle(drive.take(), {"split": list(range(90))})
    return run_id


async def test_no_tick_of_any_screen_costs_more_than_it_may(server: Server, busy_server: str) -> None:
    feed = CountingFeed(server.url)
    app = FlowApp(feed, where="here")
    async with app.run_test(size=(140, 40)) as pilot:
        await until(lambda: len(app.queues) == 13, "the queues are known")
        for _, title in app.tabs:
            app.action_page(title)
            if title == "Jobs":
                app.open_lane("busy03", "active")
            await settled(pilot)
            name = str(app.screen.name)
            count = len(feed.pulses)
            for _ in range(4):
                before = len(feed.pulses)
                await pilot.press("ctrl+r", "j")
                await until(lambda: len(feed.pulses) > before, "another tick")  # noqa: B023
            assert any(told == name for told, _ in feed.pulses[count:])
        app.open_run("flows", busy_server)
        for _ in range(7):
            await settled(pilot)
            before = len(feed.pulses)
            await pilot.press("ctrl+r", "j", "right_square_bracket")
            await until(lambda: len(feed.pulses) > before + 1, "another tick")  # noqa: B023
    worst = [(told, p.trips, p.commands) for told, p in feed.pulses if p.trips > MOST_TRIPS or p.commands > MOST_COMMANDS]
    # Who is missing at a counter is read when it is asked for, not with every tick.
    assert [row for row in worst if row[0] != "counters"] == []
    assert len([row for row in worst if row[0] == "counters"]) <= 7


def test_a_client_that_looks_refuses_everything_that_writes(server: Server, redis_conn: redis.Redis, queue: str) -> None:
    opened = LookingClient.open(server.url)
    with opened:
        for command in (publish(queue, {}), queue_pause(queue), run_purge(queue), *log_append(queue, "r", ("x",))):
            with pytest.raises(ReadOnly, match="this client only looks"):
                opened.execute(command)
    assert redis_conn.keys("*") == []


@pytest.fixture
def many_runs(redis_conn: redis.Redis, queue: str) -> list[str]:
    """The ids of 10,000 runs, the newest first: of each ten two failed and one goes on. The newest 120 are of customer 42."""
    ids = [f"01K7QX{n:020}" for n in range(10_000, 0, -1)]
    redis_conn.sadd(keys.QUEUES, queue)
    pipe = redis_conn.pipeline(transaction=False)
    for n, run_id in enumerate(ids):
        state = "running" if n % 10 == 9 else "failed" if n % 5 == 0 else "succeeded"
        about: dict[Any, Any] = {"flow": "pages", "sha": "x", "state": state, "epoch": 1, "created_ms": NOW - 60_000 * n, "ended_ms": NOW}
        pipe.hset(keys.header(queue, run_id), mapping=about)
        pipe.zadd(keys.live(queue) if state == "running" else keys.ended(queue), {run_id: NOW})
        pipe.hset(keys.outputs(queue, run_id), ":input", "=" + json.dumps({"customer": 42 if n < 120 else n}))
    pipe.execute()
    return ids


@pytest.mark.parametrize(
    ("words", "hits"),
    [
        ("state:failed", lambda n: n % 5 == 0),
        ("state:running", lambda n: n % 10 == 9),
        ("age>10h age<1d", lambda n: 600 < n < 1440),
        ("in.customer:42", lambda n: n < 120),
        ("in.customer:42 is:failed", lambda n: n < 120 and n % 5 == 0),
        ("no such text", lambda n: False),
    ],
)
def test_no_piece_of_a_search_costs_more_than_a_tick_may(
    server: Server, many_runs: list[str], queue: str, words: str, hits: Callable[[int], bool]
) -> None:
    """It goes through the newest 2,000 of 10,000 runs in as many ticks as that takes, tells how far it is, and rests then."""
    runs, query = RunList(), query_of(words)
    expected = [run_id for n, run_id in enumerate(many_runs[:2_000]) if hits(n)]
    seen: list[int] = []
    with LookingClient.open(server.url) as client:
        assert isinstance(client, LookingClient)
        window = RunWindow(is_partial=True)
        while window.is_partial and len(seen) < 100:
            client.start_count()
            window = runs.read(client, [queue], query, 0, 80, now_ms=NOW)
            assert client.trips <= MOST_TRIPS
            assert client.commands <= MOST_COMMANDS
            assert not window.is_whole
            seen.append(window.searched)
        assert not window.is_partial
        assert (window.searched, window.length, window.total) == (2_000, 10_000, len(expected))
        assert [row.header.run_id for row in window.rows] == expected[: len(window.rows)]
        assert len(window.rows) >= min(60, len(expected))
        assert seen == sorted(seen)
        runs.search_on()
        window = runs.read(client, [queue], query, 0, 80, now_ms=NOW)
        assert (window.is_partial, 2_000 <= window.searched < 4_000) == (True, True)
