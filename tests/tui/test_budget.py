"""What a tick may cost: three round trips and 150 commands, whatever is on the server; and who looks can not write."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.model.jobs import JobOptions
from omniq_flow.ops.jobs import publish, reserve
from omniq_flow.ops.runs import log_append, run_purge
from omniq_flow.ops.steering import queue_pause
from omniq_flow.tui.app import FlowApp
from omniq_flow.tui.feed import Arrived, Feed, News, Pulse
from omniq_flow.tui.link import LookingClient, ReadOnly
from tests.observe.drive import Bad, Drive
from tests.observe.flows import pages
from tests.support.server import Server
from tests.support.until import until
from tests.tui.conftest import settled

MOST_TRIPS = 3
MOST_COMMANDS = 150


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
