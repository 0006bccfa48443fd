"""`R` begins a run that has ended once more: from the step under the cursor, with its input to be edited and checked."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import redis
from textual.pilot import Pilot
from textual.widgets import TextArea

from omniq_flow.client.client import Client
from omniq_flow.engine.starting import start
from omniq_flow.flow.definition import Flow
from omniq_flow.observe.results import input_of
from omniq_flow.ops.runs import run_facts, run_header, run_history, runs_of
from omniq_flow.tui.app import FlowApp
from omniq_flow.tui.rerun import RerunForm
from omniq_flow.tui.screens.run import RunPage
from tests.observe.drive import Drive
from tests.observe.flows import join
from tests.support.server import Server
from tests.support.until import until
from tests.tui.conftest import app_of, live, shows
from tests.tui.shots import screen_text
from tests.tui.test_new_run import flow_of


@pytest.fixture
def joined(client: Client, redis_conn: redis.Redis, queue: str) -> tuple[str, str]:
    """Queue and id of a run that has ended: x1 -> x2 -> x3, y1, [x3, y1] -> j -> k."""
    redis_conn.sadd("{omniq-flow}:queues", queue)
    return queue, Drive(client, join(queue)).finished({})


@pytest.fixture
def papers(client: Client, redis_conn: redis.Redis, queue: str) -> tuple[Flow, str]:
    """A flow with an input, and a run of it that has ended."""
    redis_conn.sadd("{omniq-flow}:queues", queue)
    flow = flow_of(queue)
    run_id = start(client, flow, {"title": "one"}).run_id
    Drive(client, flow.plan()).work({})
    return flow, run_id


async def form(pilot: Pilot[None]) -> RerunForm:
    await pilot.press("R")
    await until(lambda: isinstance(pilot.app.screen, RerunForm), "the form is shown")
    assert isinstance(pilot.app.screen, RerunForm)
    return pilot.app.screen


async def opened(pilot: Pilot[None], old: str) -> str:
    """The run whose screen is open; not the old one."""

    def is_open() -> bool:
        page = pilot.app.screen
        return isinstance(page, RunPage) and page.run_id != old

    await until(is_open, "the new run is open")
    assert isinstance(pilot.app.screen, RunPage)
    return pilot.app.screen.run_id


async def test_from_the_step_under_the_cursor(server: Server, client: Client, joined: tuple[str, str]) -> None:
    queue, old = joined
    async with live(server.url, run=joined) as pilot:
        await shows(pilot, "x1")
        page = pilot.app.screen
        assert isinstance(page, RunPage)
        page.graph.select("x3")
        page.look()
        await until(lambda: page._step_at_hand() == "x3", "the cursor is there")
        await form(pilot)
        await shows(pilot, f"re-run {old} from x3")
        await shows(pilot, "keeps    x1, x2, y1")
        await shows(pilot, "works    x3, j, k")
        await pilot.press(*"bad x3", "enter")
        new = await opened(pilot, old)
        (deed,) = app_of(pilot).acting.deeds
        assert deed.action.command == f"omniq-flow runs rerun {old} --from x3 --reason 'bad x3'"
    facts = client.execute(run_facts(queue, new, ("x1", "x2", "y1", "x3", "j")))
    assert "".join(fact.state.value for fact in facts) == "DDDQP"
    header = client.execute(run_header(queue, new))
    assert header.rerun_of == old
    assert any(e.event.startswith("steered rerun ") and e.event.endswith(" bad x3") for e in client.execute(run_history(queue, new)))


async def test_from_the_list_the_whole_run(server: Server, client: Client, joined: tuple[str, str]) -> None:
    queue, old = joined
    async with live(server.url) as pilot:
        await pilot.press("2")
        await shows(pilot, "succeeded")
        await form(pilot)
        await shows(pilot, f"re-run {old} from its start")
        await shows(pilot, "keeps    nothing")
        await pilot.press("enter")
        new = await opened(pilot, old)
    assert client.execute(run_header(queue, old)).rerun_as == new


async def test_its_input_is_edited_and_checked(server: Server, client: Client, papers: tuple[Flow, str]) -> None:
    flow, old = papers
    async with live(server.url, flows=[flow]) as pilot:
        await pilot.press("2")
        await shows(pilot, "succeeded")
        shown = await form(pilot)
        area = shown.query_one("#input", TextArea)
        assert '"title": "one"' in area.text
        area.text = area.text.replace('"pages": 3', '"pages": "many"')
        await pilot.press("ctrl+s")
        await shows(pilot, "pages: ")
        area.text = "{"
        await pilot.press("ctrl+s")
        await shows(pilot, "the input is no JSON")
        assert client.execute(run_header(flow.queue, old)).rerun_as == ""
        area.text = '{"title": "two"}'
        await pilot.press("ctrl+s")
        new = await opened(pilot, old)
    value = input_of(client, flow.queue, new)
    assert (value["title"], value["pages"]) == ("two", 3)


async def test_another_input_needs_the_flow_that_checks_it(server: Server, client: Client, papers: tuple[Flow, str]) -> None:
    flow, old = papers
    async with live(server.url) as pilot:
        await pilot.press("2")
        await shows(pilot, "succeeded")
        shown = await form(pilot)
        area = shown.query_one("#input", TextArea)
        before, area.text = area.text, '{"title": "two"}'
        await pilot.press("ctrl+s")
        await shows(pilot, "is not known here")
        area.text = before
        await pilot.press("ctrl+s")
        new = await opened(pilot, old)
    assert input_of(client, flow.queue, new) == input_of(client, flow.queue, old)


async def test_ctrl_e_edits_the_input_in_the_editor(
    server: Server, client: Client, papers: tuple[Flow, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the editor leaves is what is sent; one that fails changes nothing."""
    flow, old = papers
    script = tmp_path / "editor.py"
    script.write_text("import pathlib, sys\np = pathlib.Path(sys.argv[1])\np.write_text(p.read_text().replace('one', 'edited'))\n")
    monkeypatch.setattr(FlowApp, "suspend", lambda app: nullcontext())
    monkeypatch.delenv("VISUAL", raising=False)
    async with live(server.url, flows=[flow]) as pilot:
        await pilot.press("2")
        await shows(pilot, "succeeded")
        shown = await form(pilot)
        monkeypatch.setenv("EDITOR", "false")
        await pilot.press("ctrl+e")
        await shows(pilot, "ended with 1")
        monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
        await pilot.press("ctrl+e")
        await until(lambda: "edited" in shown.query_one("#input", TextArea).text, "the text is taken over")
        await pilot.press("ctrl+s")
        new = await opened(pilot, old)
    assert input_of(client, flow.queue, new)["title"] == "edited"


async def test_a_run_that_goes_on_is_not_re_run(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    redis_conn.sadd("{omniq-flow}:queues", queue)
    Drive(client, join(queue)).start()
    async with live(server.url) as pilot:
        await pilot.press("2")
        await shows(pilot, "running")
        await pilot.press("R")
        await shows(pilot, "only runs that have ended can be re-run")


async def test_one_run_at_a_time_is_re_run(server: Server, client: Client, joined: tuple[str, str]) -> None:
    queue, _ = joined
    Drive(client, join(queue)).finished({})
    async with live(server.url) as pilot:
        await pilot.press("2")
        await until(lambda: screen_text(pilot.app).count("succeeded") >= 2, "both are shown")
        await pilot.press("space", "down", "space", "R")
        await shows(pilot, "one run at a time is re-run")
    assert client.execute(runs_of(queue, "live")) == []


async def test_who_only_looks_re_runs_nothing(server: Server, client: Client, joined: tuple[str, str]) -> None:
    async with live(server.url, read_only=True) as pilot:
        await pilot.press("2")
        await shows(pilot, "succeeded")
        await pilot.press("R")
        await shows(pilot, "this is read-only")
    assert client.execute(run_header(*joined)).rerun_as == ""
