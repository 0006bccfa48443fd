"""C129: after a lost connection a screen shows stale numbers as if they were live, or nothing but tracebacks."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from omniq_flow.client.client import Client
from omniq_flow.client.steering import cancel_run
from omniq_flow.model.jobs import JobOptions, Lease
from omniq_flow.model.runs import new_run_id
from omniq_flow.ops import keys
from omniq_flow.ops.jobs import ack_fail, ack_success, publish, reserve
from omniq_flow.ops.lanes import LaneName
from omniq_flow.ops.runs import run_start
from omniq_flow.tui.app import FlowApp
from omniq_flow.tui.canvas import Canvas
from omniq_flow.tui.screens.jobs import TITLES, JobsPage
from omniq_flow.tui.screens.runs import RunsPage
from omniq_flow.tui.table import Table
from tests.observe.flows import pages
from tests.support.server import ScratchServer
from tests.support.until import until
from tests.tui.conftest import app_of, live, shows
from tests.tui.shots import screen_lines, screen_text

AWAY_S = 5.0
"""So long the server is away; 5 s stand for 10."""
BANNER = r"disconnected since \d\d:\d\d:\d\d"


@pytest.fixture
def server() -> Iterator[ScratchServer]:
    """A server that keeps its data, with jobs in every lane of `mail` and a run in `flows`."""
    with ScratchServer(aof=True) as own:
        with Client.open(own.url) as client, own.connection() as conn:
            conn.sadd(keys.QUEUES, "mail", "flows")
            for n in range(12):
                client.execute(
                    publish("mail", {"n": n}, job_id=f"job-{n:02}", options=JobOptions(max_attempts=1 + n % 2, timeout_ms=60_000))
                )
            for n in range(6):
                lease = client.execute(reserve("mail"))
                assert isinstance(lease, Lease)
                if n == 0:
                    client.execute(ack_success(lease))
                elif n < 4:
                    client.execute(ack_fail(lease, "no"))
            for n in range(3):
                client.execute(publish("mail", {}, job_id=f"group-{n}", options=JobOptions(gid="acme")))
            run_id = new_run_id()
            client.execute(run_start(pages("flows"), run_id, b"{}", with_plan=True))
        yield own


def is_dimmed(app: object) -> bool:
    assert isinstance(app, FlowApp)
    return all(canvas.is_stale for canvas in app.screen.query(Canvas) if canvas.id not in ("head", "foot"))


async def test_c129_a_lost_server_is_told_within_three_seconds_and_found_again(server: ScratchServer) -> None:
    """The banner tells since when; the last picture stays, dimmed; keys that act are gone. It comes back with its data by itself."""
    async with live(server.url, size=(120, 30)) as pilot:
        await shows(pilot, "mail")
        await until(lambda: " p pause" in screen_lines(pilot.app)[-1], "keys that act are offered")
        server.stop()
        stopped = time.monotonic()
        await until(lambda: re.search(BANNER, screen_lines(pilot.app)[0]), "the banner is shown", 10)
        assert time.monotonic() - stopped < 3
        assert "mail" in screen_text(pilot.app)
        assert is_dimmed(pilot.app)
        assert " p pause" not in screen_lines(pilot.app)[-1]
        await pilot.press("p")
        await shows(pilot, "the server is away")
        said = re.search(BANNER, screen_lines(pilot.app)[0])
        await until(lambda: time.monotonic() - stopped > AWAY_S, "it is away for a while")
        assert said
        assert said[0] in screen_lines(pilot.app)[0], "the time is that of the loss"
        server.start()
        await until(lambda: "LIVE" in screen_lines(pilot.app)[0] and not is_dimmed(pilot.app), "it is back", 20)
        row = next(row for row in screen_lines(pilot.app) if "mail" in row)
        assert row.split()[:7] == ["mail", "6", "3", "2", "2", "1", "1"]
        assert " p pause" in screen_lines(pilot.app)[-1]


async def test_c129_a_server_that_comes_back_empty_is_shown_empty(server: ScratchServer) -> None:
    """Nothing of the old picture stays: not the queues, not the runs, not the run that was open."""
    with server.connection() as conn:
        (run_id,) = [key.decode().rsplit(":", 1)[1] for key in conn.scan_iter("{flows}:flow:r:*")]
    async with live(server.url, size=(120, 30), run=("flows", run_id)) as pilot:
        await shows(pilot, f"RUN {run_id[-6:]}")
        server.stop()
        await until(lambda: re.search(BANNER, screen_lines(pilot.app)[0]), "the banner is shown", 10)
        shutil.rmtree(server.folder / "appendonlydir")
        server.start()
        await until(lambda: f"RUN {run_id[-6:]}" not in screen_text(pilot.app), "the run is gone", 20)
        await shows(pilot, "There are none yet")
        await shows(pilot, "LIVE")
        await pilot.press("2")
        await shows(pilot, "0 open")
        assert list(table_of(pilot.app, "Runs").rows) == []
        assert not re.search(BANNER, screen_text(pilot.app))
        assert not is_dimmed(pilot.app)


async def test_c129_one_broken_key_is_one_row_with_its_error(server: ScratchServer) -> None:
    """A job, a run and a lane whose keys were overwritten: each is told where it stands, all others are shown as ever."""
    with server.connection() as conn:
        (run_key,) = list(conn.scan_iter("{flows}:flow:r:*"))
        with Client.open(server.url) as client:
            other = new_run_id()
            client.execute(run_start(pages("flows"), other, b"{}", with_plan=True))
        conn.delete("{mail}:job:job-08", run_key)
        conn.set("{mail}:job:job-08", "no hash")
        conn.set(run_key, "no hash")
        async with live(server.url, size=(170, 30)) as pilot:
            await shows(pilot, "mail")
            app_of(pilot).open_lane("mail", "wait")
            await shows(pilot, "damaged")
            await pilot.press("j", "j")
            await until(lambda: "{mail}:job:job-08 is a string" in screen_text(pilot.app), "its error is told in full")
            rows = {row.id: row.cells for row in table_of(pilot.app, "Jobs").rows}
            assert list(rows) == [f"job-{n:02}" for n in range(6, 12)]
            assert [name for name, cells in rows.items() if "WRONGTYPE" in str(cells)] == ["job-08"]
            assert "[Wait 6]" in screen_text(pilot.app)
            await pilot.press("2")
            await shows(pilot, f"WRONGTYPE: {run_key.decode()[:20]}")
            assert any(other[-4:] in row and "looked_at" in row for row in screen_lines(pilot.app))
            conn.delete("{mail}:delayed")
            conn.set("{mail}:delayed", "no set")
            await pilot.press("1")
            await until(lambda: any("mail" in row and "ERROR" in row for row in screen_lines(pilot.app)), "the queue is marked", 15)
            assert any("flows" in row and "ERROR" not in row for row in screen_lines(pilot.app))
            app_of(pilot).open_lane("mail", "failed")
            await shows(pilot, "WRONGTYPE: {mail}:delayed is a string")
            assert "[Failed 1]" in screen_text(pilot.app)
            assert [row.id for row in table_of(pilot.app, "Jobs").rows] == ["job-02"]


async def test_c129_a_count_is_the_length_of_the_list_shown(server: ScratchServer) -> None:
    """In every lane; also of a group that jobs of a cancelled run still stand in, which are marked and count until they are taken."""
    with Client.open(server.url) as client, server.connection() as conn:
        conn.sadd(keys.QUEUES, "shared")
        runs = [new_run_id() for _ in range(2)]
        for run_id in runs:
            client.execute(run_start(replace(pages("shared"), max_parallel=1), run_id, b"{}", gid="acme", with_plan=True))
        cancel_run(client, "shared", runs[0])
        async with live(server.url, size=(140, 30)) as pilot:
            await shows(pilot, "mail")
            places: list[tuple[str, LaneName]] = [*(("mail", lane) for lane in TITLES), ("shared", "gwait")]
            for queue, lane in places:
                app_of(pilot).open_lane(queue, lane)
                await until(lambda: app_of(pilot).pages["Jobs"].is_ready, "the screen is there")
                table = table_of(pilot.app, "Jobs")
                words = rf"{queue}.*group acme (\d+)" if lane == "gwait" else rf"{queue}.*\[{TITLES[lane][0]} (\d+)\]"
                await until(lambda: re.search(words, screen_text(pilot.app)) and table.rows, f"{lane} of {queue} is shown")  # noqa: B023
                counted = re.search(words, screen_text(pilot.app))
                assert counted
                assert int(counted[1]) == table.total == len(table.rows), (queue, lane)
            assert ["cancelled" in str(row.cells) for row in table_of(pilot.app, "Jobs").rows] == [True, False]


def table_of(app: object, title: str) -> Table:
    """The table of one of the main screens."""
    assert isinstance(app, FlowApp)
    page = app.pages[title]
    assert isinstance(page, (JobsPage, RunsPage))
    return page.table
