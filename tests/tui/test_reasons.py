"""Why something is done is asked where it is confirmed, and kept in the run's history as the command line keeps it."""

from __future__ import annotations

import redis
from textual.widgets import Input

from omniq_flow.client.client import Client
from omniq_flow.model.states import RunState
from omniq_flow.ops.runs import run_header, run_history
from omniq_flow.tui.actions import whoami
from omniq_flow.tui.dialogs import Confirm
from tests.observe.drive import Bad, Drive
from tests.observe.flows import pages
from tests.support.server import Server
from tests.support.until import until
from tests.tui.conftest import app_of, live, shows


def notes(client: Client, queue: str, run_id: str, what: str) -> list[str]:
    """What the run's history keeps of this steering."""
    return [e.event for e in client.execute(run_history(queue, run_id)) if e.event.startswith(f"steered {what}")]


async def test_a_reason_goes_into_the_history_and_into_the_command(
    server: Server, client: Client, redis_conn: redis.Redis, queue: str
) -> None:
    """No stays focused; shift-tab goes to the reason, enter there says nothing yet."""
    redis_conn.sadd("{omniq-flow}:queues", queue)
    run_id = Drive(client, pages(queue)).start()
    async with live(server.url, size=(140, 40)) as pilot:
        await pilot.press("2")
        await shows(pilot, "▶ running")
        await pilot.press("c")
        await until(lambda: isinstance(pilot.app.screen, Confirm), "a question is asked")
        await pilot.press("shift+tab", *"wrong [/] yes", "enter")
        assert client.execute(run_header(queue, run_id)).state is RunState.RUNNING
        await pilot.press("y")
        await until(lambda: client.execute(run_header(queue, run_id)).state is RunState.CANCELLED, "it is cancelled")
        assert notes(client, queue, run_id, "cancel") == [f"steered cancel {whoami()} wrong [/] yes"]
        await until(lambda: app_of(pilot).acting.deeds, "it is noted")
        await pilot.press("at")
        await shows(pilot, "omniq-flow runs cancel --reason 'wrong [/] yes'")
        await pilot.press("escape", "enter")
        await shows(pilot, "[Graph]")
        await pilot.press(*["right_square_bracket"] * 6)
        await shows(pilot, "wrong [/] yes")


async def test_a_reason_is_optional_and_the_number_still_must_be_typed(
    server: Server, client: Client, redis_conn: redis.Redis, queue: str
) -> None:
    redis_conn.sadd("{omniq-flow}:queues", queue)
    drive = Drive(client, pages(queue))
    runs = [drive.finished({"split": Bad("no such module")}) for _ in range(2)]
    async with live(server.url) as pilot:
        await pilot.press("2")
        await shows(pilot, "2 failed 24h")
        await pilot.press("A")
        await shows(pilot, "2 marked")
        await pilot.press("r")
        await shows(pilot, "type 2 to confirm")
        await pilot.press("2", "enter")
        await until(lambda: all(client.execute(run_header(queue, run)).epoch == 2 for run in runs), "both are retried")
        assert [notes(client, queue, run, "retry") for run in runs] == [[f"steered retry {whoami()}"]] * 2


async def test_nothing_is_asked_where_nothing_is_kept(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    """A run that is removed has no history."""
    redis_conn.sadd("{omniq-flow}:queues", queue)
    Drive(client, pages(queue)).finished({"split": [1]})
    async with live(server.url) as pilot:
        await pilot.press("2")
        await shows(pilot, "✔ succeeded")
        await pilot.press("d")
        await until(lambda: isinstance(pilot.app.screen, Confirm), "a question is asked")
        assert not pilot.app.screen.query(Input)
