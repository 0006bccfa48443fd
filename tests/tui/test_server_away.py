"""A server that is not there, is lost, comes back; a picture that cannot be read; a thread that fails (C128, C129)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from textual.widgets import Input

from omniq_flow.client.client import Client
from omniq_flow.ops.admin import is_paused
from omniq_flow.ops.jobs import publish
from omniq_flow.tui.actions import Hands
from omniq_flow.tui.away import AwayScreen
from omniq_flow.tui.canvas import Canvas
from omniq_flow.tui.feed import Feed
from tests.support.server import ScratchServer
from tests.support.until import until
from tests.tui.conftest import app_of, live, settled, shows
from tests.tui.shots import screen_text


@pytest.fixture
def own_server() -> Iterator[ScratchServer]:
    """A server that the test may stop."""
    with ScratchServer() as scratch:
        with scratch.connection() as connection:
            connection.sadd("{omniq-flow}:queues", "mail")
        yield scratch


async def test_a_server_that_is_not_there_is_a_page_that_heals_itself(own_server: ScratchServer) -> None:
    own_server.stop()
    async with live(own_server.url) as pilot:
        await until(lambda: isinstance(pilot.app.screen, AwayScreen), "the page is shown")
        await shows(pilot, "no server")
        await shows(pilot, own_server.url)
        await shows(pilot, "attempt ")
        own_server.start()
        with own_server.connection() as connection:
            connection.sadd("{omniq-flow}:queues", "mail")
        await shows(pilot, "mail")
        assert not isinstance(pilot.app.screen, AwayScreen)


async def test_e_looks_at_another_server_and_acts_there(own_server: ScratchServer) -> None:
    """What is no address is told, and asked again."""

    def open_at(url: str) -> tuple[Feed, Hands]:
        return Feed(url), Hands(url)

    async with live("redis://127.0.0.1:1", elsewhere=open_at, profile="prod", color="red") as pilot:
        await until(lambda: isinstance(pilot.app.screen, AwayScreen), "the page is shown")
        await shows(pilot, "no server")
        await pilot.press("e", *"host:6379", "enter")
        await shows(pilot, "cannot be read")
        pilot.app.screen.query_one(Input).value = own_server.url
        await pilot.press("enter")
        await shows(pilot, "▌mail")
        assert "prod" not in screen_text(pilot.app)
        await pilot.press("p")
        with Client.open(own_server.url) as client:
            await until(lambda: client.execute(is_paused("mail")), "it is paused there")


async def test_a_password_is_never_on_the_screen(own_server: ScratchServer) -> None:
    own_server.stop()
    async with live("redis://ann:secret@127.0.0.1:1/0") as pilot:
        await shows(pilot, "ann:***@127.0.0.1:1")
        assert "secret" not in screen_text(pilot.app)


async def test_a_lost_server_leaves_the_last_picture_dimmed(own_server: ScratchServer) -> None:
    async with live(own_server.url) as pilot:
        await shows(pilot, "mail")
        own_server.stop()
        await shows(pilot, "STALE")
        assert "mail" in screen_text(pilot.app)
        assert all(canvas.is_stale for canvas in pilot.app.screen.query(Canvas) if canvas.id not in ("head", "foot"))
        assert not app_of(pilot).acting.can_act
        await pilot.press("p")
        await shows(pilot, "the server is away")
        own_server.start()
        await shows(pilot, "LIVE")
        assert not any(canvas.is_stale for canvas in pilot.app.screen.query(Canvas))
        # It came back empty: nothing of the old picture is left.
        await until(lambda: "▌mail" not in screen_text(pilot.app) or app_of(pilot).queues == (), "what is gone is gone")


async def test_a_frozen_server_makes_the_picture_stale(own_server: ScratchServer) -> None:
    async with live(own_server.url) as pilot:
        await shows(pilot, "mail")
        own_server.pause()
        try:
            await shows(pilot, "STALE")
        finally:
            own_server.resume()
        await shows(pilot, "LIVE")


async def test_z_freezes_the_picture_and_ctrl_r_reads_once(own_server: ScratchServer) -> None:
    with Client.open(own_server.url) as client:
        async with live(own_server.url) as pilot:
            await shows(pilot, "mail")
            await pilot.press("z")
            await shows(pilot, "FROZEN")
            client.execute(publish("mail", {}))
            await pilot.pause(1.5)
            row = next(row for row in screen_text(pilot.app).split("\n") if "mail" in row)
            assert row.split()[1] == "0"
            for _ in range(4):
                await pilot.press("ctrl+r")
                await settled(pilot)
            await until(lambda: any(r.split()[:2] == ["▌mail", "1"] for r in screen_text(pilot.app).split("\n") if r), "it is read")
            await pilot.press("z")
            await shows(pilot, "LIVE")


async def test_a_broken_key_is_told_and_the_rest_is_shown(own_server: ScratchServer) -> None:
    with own_server.connection() as connection:
        connection.sadd("{omniq-flow}:queues", "odd")
        connection.set("{odd}:wait", "no list")
    async with live(own_server.url) as pilot:
        await shows(pilot, "WRONGTYPE")
        await shows(pilot, "▌mail")
        assert pilot.app.is_running
