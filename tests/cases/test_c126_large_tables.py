"""C126: a table that is refreshed all the time gets slow, its cursor jumps, and long cells take seconds."""

from __future__ import annotations

import threading

import pytest
import redis
from textual.pilot import Pilot

from omniq_flow.client.client import Client
from omniq_flow.model.jobs import JobOptions, Lease, NewJob
from omniq_flow.ops import keys
from omniq_flow.ops.jobs import ack_success, publish, reserve
from omniq_flow.ops.publishing import publish_slices
from omniq_flow.tui.screens.jobs import JobsPage
from omniq_flow.tui.table import Table
from tests.support.server import Server
from tests.support.until import until
from tests.tui.conftest import app_of, live, shows
from tests.tui.shots import screen_lines

JOBS, PIECE, EVERY_S = 20_000, 25, 0.1
BIG = "big" + "0" * 117
GROUP = "group" * 20
SIZES = ((80, 24), (200, 60), (20, 5), (80, 24))


class Churn:
    """500 changes of state a second: half of them leases, half of them ends."""

    def __init__(self, url: str) -> None:
        self.changes = 0
        self._url = url
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Churn:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        with Client.open(self._url) as client:
            while not self._is_over.wait(EVERY_S):
                leases = client.execute_all([reserve("wide") for _ in range(PIECE)])
                client.execute_all([ack_success(lease) for lease in leases if isinstance(lease, Lease)])
                self.changes += 2 * PIECE


@pytest.fixture
def wide_server(server: Server, client: Client, redis_conn: redis.Redis) -> str:
    """20,000 jobs wait, one of them with a payload of 1 MB, a long id, and a long group of another one."""
    redis_conn.sadd(keys.QUEUES, "wide")
    many = [NewJob(payload={"n": n}, job_id=f"job-{n:05}") for n in range(JOBS // 2)]
    rest = [NewJob(payload={"n": n}, job_id=f"job-{n:05}") for n in range(JOBS // 2, JOBS)]
    client.execute_all(publish_slices("wide", many))
    client.execute(publish("wide", {"text": "x" * (1 << 20)}, job_id=BIG))
    client.execute_all(publish_slices("wide", rest))
    client.execute(publish("wide", {}, job_id="grouped", options=JobOptions(gid=GROUP)))
    return server.url


def is_drawn(pilot: Pilot[None], size: tuple[int, int]) -> bool:
    """Each row of the screen is exactly as wide as the terminal."""
    rows = [sum(segment.cell_length for segment in strip) for strip in pilot.app.screen._compositor.render_strips()]
    return rows == [size[0]] * size[1]


async def test_c126_the_selection_stays_while_all_around_it_moves(wide_server: str) -> None:
    """Amid 20,000 jobs of which 500 a second change, the selected one stays selected: through refreshes, other screens and all sizes.

    How fast a key is on the screen and what it costs is measured by benchmarks/tui.py.
    """
    async with live(wide_server, size=SIZES[0]) as pilot:
        app = app_of(pilot)
        app.open_lane("wide")
        page = app.page
        assert isinstance(page, JobsPage)
        await shows(pilot, "job-00000")
        table = page.query_one(Table)
        table._go(JOBS // 2 + 40)
        await until(lambda: table.selected is not None, "the row is read")
        chosen = table.selected_id
        assert chosen
        with Churn(wide_server) as churn:

            async def stays() -> None:
                """After 300 more changes it is known where the job is, and that it is the selected one."""
                seen, place = churn.changes + 300, table.cursor
                await until(lambda: churn.changes > seen and table.cursor < place and table.selected is not None, "the rows move on", 20)
                assert table.selected_id == chosen

            # Twice a second.
            await pilot.press("greater_than_sign")
            await stays()
            for size in SIZES:
                await pilot.resize_terminal(*size)
                await until(lambda size=size: is_drawn(pilot, size), f"it is drawn at {size}")  # type: ignore[misc, arg-type]
                await stays()
                if size[1] > 5:
                    await until(lambda: any(row.startswith(f"▌{chosen}") for row in screen_lines(app)), "its row is on the screen")
            for key in "2456183":
                await pilot.press(key)
            await until(lambda: app.page is page, "the jobs are shown again")
            await stays()
            await pilot.resize_terminal(*SIZES[1])
            await pilot.press("slash", *"error:none", "enter")
            await shows(pilot, "filter: error:none")
            await pilot.press("escape")
            await until(lambda: table.total > JOBS // 2, "the filter is cleared")
        assert app.is_running


async def test_c126_a_payload_of_1_mb_and_long_names_are_cut(wide_server: str) -> None:
    """The columns stand where they stand for all rows, whatever their cells hold; the payload is told of by its size."""
    async with live(wide_server, size=SIZES[1]) as pilot:
        app = app_of(pilot)
        app.open_lane("wide")
        await shows(pilot, "job-00000")
        page = app.page
        assert isinstance(page, JobsPage)
        page.query_one(Table)._go(JOBS // 2)
        await shows(pilot, "payload 1,048,587 bytes")
        (row,) = [row for row in screen_lines(app) if row.startswith("▌big")]
        title = next(row for row in screen_lines(app) if row.startswith(" JOB"))
        assert row[title.index("TRY") : title.index("TRY") + 3] == "0/3"
        assert BIG not in row
        for size in SIZES:
            await pilot.resize_terminal(*size)
            await until(lambda size=size: is_drawn(pilot, size), f"it is drawn at {size}")  # type: ignore[misc, arg-type]
        app.open_lane("wide", "gwait", GROUP)
        await shows(pilot, "grouped")
        assert GROUP not in next(row for row in screen_lines(app) if "▌grouped" in row)
