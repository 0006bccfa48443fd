"""`o` opens the whole value in the pager; `:run` finds any run by a part of its id."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.ops.jobs import publish
from omniq_flow.tui.app import FlowApp
from omniq_flow.tui.pager import readable
from omniq_flow.tui.screens.run import RunPage
from tests.observe.drive import Drive
from tests.observe.flows import pages
from tests.support.server import Server
from tests.support.until import until
from tests.tui.conftest import live, settled, shows


@pytest.fixture
def paged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What the pager was given; the screen of a test has no terminal that could be left."""
    monkeypatch.setattr(FlowApp, "suspend", lambda app: nullcontext())
    monkeypatch.setenv("PAGER", f"cat > {tmp_path / 'new'}; mv {tmp_path / 'new'} {tmp_path / 'paged'}")
    return tmp_path / "paged"


async def test_o_opens_the_payload_of_a_job(server: Server, client: Client, redis_conn: redis.Redis, queue: str, paged: Path) -> None:
    """All of it, however large, laid out, and no character acts."""
    redis_conn.sadd("{omniq-flow}:queues", queue)
    client.execute(publish(queue, {"text": "\x9b31m", "many": ["x" * 100] * 2_000}))
    async with live(server.url) as pilot:
        await pilot.press("3")
        await shows(pilot, "waits")
        await pilot.press("o")
        await until(paged.exists, "the pager is shown")
        text = paged.read_text()
        assert "\x9b" not in text
        assert "\\x9b31m" in text
        assert text.count("x" * 100) == 2_000


async def test_o_opens_input_and_outputs_of_a_run(server: Server, client: Client, redis_conn: redis.Redis, queue: str, paged: Path) -> None:
    redis_conn.sadd("{omniq-flow}:queues", queue)
    drive = Drive(client, pages(queue))
    run_id = drive.finished({"split": [7, 8, 9], "read[1]": "the second page"})
    async with live(server.url, run=(queue, run_id)) as pilot:
        await shows(pilot, "✔ split")
        await pilot.press("o")
        await until(paged.exists, "the pager is shown")
        assert json.loads(paged.read_text()) == [7, 8, 9]
        paged.unlink()
        await pilot.press("j", "enter")
        await shows(pilot, "read[1]")
        await pilot.press("j", "j", "o")
        await until(paged.exists, "the pager is shown")
        assert paged.read_text() == "the second page\n"


async def test_without_a_terminal_to_leave_it_tells_so(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    redis_conn.sadd("{omniq-flow}:queues", queue)
    client.execute(publish(queue, {}))
    async with live(server.url) as pilot:
        await pilot.press("3")
        await shows(pilot, "waits")
        await pilot.press("o")
        await shows(pilot, "a pager needs a terminal of its own")


async def test_a_pager_that_is_not_there_is_told(
    server: Server, client: Client, redis_conn: redis.Redis, queue: str, paged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis_conn.sadd("{omniq-flow}:queues", queue)
    client.execute(publish(queue, {}))
    monkeypatch.setenv("PAGER", "no-such-pager 2>/dev/null")
    async with live(server.url) as pilot:
        await pilot.press("3")
        await shows(pilot, "waits")
        await pilot.press("o")
        await shows(pilot, "could not be started")


def test_a_text_that_is_no_json_is_shown_as_it_is() -> None:
    assert readable("a\tb\nc\x1b[2J") == "a   b\nc␛[2J\n"
    assert readable('{"a":1}') == '{\n  "a": 1\n}\n'


async def test_colon_run_opens_a_run_by_the_end_of_its_id(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    """One that fits none is told, and stands under Events."""
    redis_conn.sadd("{omniq-flow}:queues", queue)
    run_id = Drive(client, pages(queue)).start()
    async with live(server.url) as pilot:
        await shows(pilot, queue)
        await pilot.press("colon", *"run ZZZZZZ", "enter")
        await shows(pilot, "there is no run 'ZZZZZZ'")
        await pilot.press("colon", *f"run {run_id[-6:]}", "enter")
        await until(lambda: isinstance(pilot.app.screen, RunPage), "the run is open")
        await settled(pilot)
        await pilot.press("8")
        await shows(pilot, "here                  there is no run")
