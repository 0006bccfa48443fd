"""`ctrl-n` begins a run as `omniq-flow start` does: its flow is picked, its input filled in and checked."""

from __future__ import annotations

import json
from typing import Literal

import redis
from pydantic import BaseModel
from textual.widgets import Input

from omniq_flow.client.client import Client
from omniq_flow.flow.definition import Flow
from omniq_flow.observe.results import input_of
from omniq_flow.ops.runs import run_header, runs_of
from omniq_flow.tui.app import FlowApp
from omniq_flow.tui.new_run import InputField, Pick, RunForm, input_fields
from omniq_flow.tui.screens.run import RunPage
from tests.support.server import Server
from tests.support.until import until
from tests.tui.conftest import app_of, live, settled, shows
from tests.tui.shots import screen_text


class Page(BaseModel):
    size: int = 1


class Paper(BaseModel):
    title: str
    pages: int = 3
    kind: Literal["book", "note"] = "book"
    page: Page | None = None
    marks: list[int] = []


def flow_of(queue: str, name: str = "paper", model: type[BaseModel] | None = Paper) -> Flow:
    flow = Flow(name, input=model, queue=queue) if model else Flow(name, queue=queue)
    if model:

        @flow.step
        def look(paper: model) -> int:  # type: ignore[valid-type]
            return 1
    else:

        @flow.step
        def wait() -> int:
            return 1

    return flow


def test_fields_are_what_the_schema_says() -> None:
    assert input_fields(Paper.model_json_schema()) == (
        InputField("title", "string", True, "required"),
        InputField("pages", "integer", False, "default 3"),
        InputField("kind", "book or note", True, 'default "book"'),
        InputField("page", "Page as JSON or null", False, "default null"),
        InputField("marks", "array as JSON", False, "default []"),
    )
    assert input_fields(None) == ()
    assert input_fields({"type": "array"}) == (InputField("", "JSON", False, "required"),)


async def test_ctrl_n_fills_in_the_input_and_opens_the_run(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    """A text stays a text though it looks like a number; what is left empty is not given."""
    async with live(server.url, flows=[flow_of(queue)]) as pilot:
        await shows(pilot, "NEEDS NOBODY")
        await pilot.press("ctrl+n")
        await until(lambda: isinstance(pilot.app.screen, RunForm), "the form is shown")
        await shows(pilot, "title  string  required")
        await pilot.press(*"2024", "enter", *"12", "enter", "enter", *'{"size": 2}', "enter", "enter", *"k1", "enter")
        await until(lambda: isinstance(pilot.app.screen, RunPage), "the run is open")
        page = pilot.app.screen
        assert isinstance(page, RunPage)
        value = {"title": "2024", "pages": 12, "kind": "book", "page": {"size": 2}, "marks": []}
        assert input_of(client, queue, page.run_id) == value
        assert client.execute(run_header(queue, page.run_id)).key == "k1"
        (deed,) = app_of(pilot).acting.deeds
        given = json.dumps({"title": "2024", "pages": 12, "page": {"size": 2}})
        assert deed.action.command == f"omniq-flow start paper -i '{given}' --key k1"


async def test_all_that_is_wrong_is_told_and_nothing_is_sent(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    async with live(server.url, flows=[flow_of(queue)]) as pilot:
        await shows(pilot, "NEEDS NOBODY")
        await pilot.press("ctrl+n")
        await until(lambda: isinstance(pilot.app.screen, RunForm), "the form is shown")
        await pilot.press("tab", *"many", "tab", *"film", "ctrl+s")
        for words in ("title", "pages", "kind"):
            await shows(pilot, f"{words}: ")
        assert redis_conn.keys(f"*{queue}*") == []
        await pilot.press("escape")
        await settled(pilot)
        assert pilot.app.screen is app_of(pilot).page


async def test_the_same_key_with_another_input_is_refused(server: Server, client: Client, queue: str, redis_conn: redis.Redis) -> None:
    async with live(server.url, flows=[flow_of(queue)]) as pilot:
        await shows(pilot, "NEEDS NOBODY")
        for title in ("one", "two"):
            await pilot.press("ctrl+n")
            await until(lambda: isinstance(pilot.app.screen, RunForm), "the form is shown")
            pilot.app.screen.query_one("#key", Input).value = "k"
            await pilot.press(*title, "ctrl+s")
            await until(lambda: not isinstance(pilot.app.screen, RunForm), "it is sent")
        await shows(pilot, "refused")
        assert len(client.execute(runs_of(queue, "live"))) == 1


async def test_one_of_several_flows_is_picked(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    flows = [flow_of(queue), flow_of(queue, "bare", None)]
    async with live(server.url, flows=flows) as pilot:
        await shows(pilot, "NEEDS NOBODY")
        await pilot.press("ctrl+n")
        await until(lambda: isinstance(pilot.app.screen, Pick), "the flows are shown")
        await shows(pilot, f"bare   queue {queue}, 1 steps")
        await pilot.press("j", "enter")
        await shows(pilot, "it takes no input")
        await pilot.press("enter")
        await until(lambda: client.execute(runs_of(queue, "live")), "the run has begun")


async def test_without_flows_or_hands_it_tells_why(server: Server, redis_conn: redis.Redis, queue: str) -> None:
    async with live(server.url) as pilot:
        await shows(pilot, "NEEDS NOBODY")
        await pilot.press("ctrl+n")
        await shows(pilot, "no flow is known here")
    async with live(server.url, read_only=True, flows=[flow_of(queue)]) as pilot:
        await shows(pilot, "NEEDS NOBODY")
        await pilot.press("ctrl+n")
        await shows(pilot, "read-only: nothing can be changed here")
        assert isinstance(pilot.app, FlowApp)
        assert "new run of" not in screen_text(pilot.app)
