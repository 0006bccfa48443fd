"""Text from outside is shown character for character and never acts (C124, C125, C127), on every screen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len

from omniq_flow.model.runs import Failure
from omniq_flow.observe.counter_view import CounterRow
from omniq_flow.observe.event_view import RunEvent
from omniq_flow.observe.overview import Need, Overview
from omniq_flow.observe.plain_counters import PlainCounter
from omniq_flow.observe.run_log import LogLine
from omniq_flow.ops.runs import HistoryEntry
from omniq_flow.tui.actions import Action, Risk
from omniq_flow.tui.dialogs import Confirm
from omniq_flow.tui.text import cell, cut, safe, wrap
from tests.tui import still as fixed
from tests.tui.conftest import app_of, settled, still
from tests.tui.shots import screen_lines, screen_text
from tests.tui.still import RUN

MARKUP = ["[00] x", "[/]", "[b", "[red]x", "[@click=app.quit]x[/]", "\\[", "[link=http://e]x", "[" * 10_000]
ACTING = [
    "\x1b]52;c;aGk=\x07",
    "\x1b]0;title\x07",
    "\x1b[2J",
    "\x1b[6n",
    "\x1bc",
    "\x9b31m",
    "\x9d0;x",
    "\x1b]0;open",
    "a\u202eb\u2066c",
    "a\rb",
    "a\bb",
    "a\tb",
    "a\nb",
    "\x00\x7f",
]
WIDE = ["日本語のステップ", "👩‍👩‍👧‍👦 family", "🇩🇪🇫🇷", "e\u0301e\u0301", "שלום", "x\ufe0f"]
HOSTILE = [*ACTING, *MARKUP, *WIDE]


def hostile_pictures() -> dict[str, Any]:
    """The fixed pictures, with a row for each text, and texts wherever something from outside may stand."""
    view, mixed = fixed.run_view(), " ".join(t[:40] for t in HOSTILE)
    failure = replace(view.snapshot.failures[0], failure=Failure(mixed, mixed, "ocr-84", 3))
    header = replace(view.snapshot.header, flow="\x1b[2J[/]", key="[b\x9b", gid="\x1bc[red]", queue="q")
    members = tuple(replace(m, job=replace(m.job, last_error=mixed)) for m in view.close.members)
    view = replace(
        view,
        snapshot=replace(view.snapshot, header=header, failures=(failure,)),
        close=replace(view.close, members=members, output=mixed),
        log=tuple(LogLine(1, text, text) for text in HOSTILE),
        input=mixed,
        events=tuple(HistoryEntry(n, fixed.NOW, f"F {text}") for n, text in enumerate([*HOSTILE, *HOSTILE, mixed])),
    )
    window, lane, groups, counters, workers = fixed.runs(), fixed.lane(), fixed.groups(), fixed.counters(), fixed.workers()
    many = len(HOSTILE)
    return {
        "overview": Overview(
            tuple(replace(fixed.queue("q", 1, 0, 0, 0, 0, 0), name=text) for text in HOSTILE),
            needs=tuple(Need(text, text, text, text) for text in HOSTILE),
        ),
        "runs": replace(
            window,
            rows=tuple(replace(window.rows[0], header=replace(header, flow=t, key=t, queue=t, run_id=t)) for t in HOSTILE),
            total=many,
        ),
        f"run:{RUN}": view,
        "jobs": replace(
            lane,
            jobs=tuple(replace(lane.jobs[0], job_id=text, gid=text, last_error=text) for text in HOSTILE),
            selected=replace(lane.jobs[0], job_id=HOSTILE[0], payload=mixed, worker=mixed),
            total=many,
        ),
        "groups": replace(groups, groups=tuple(replace(groups.groups[0], gid=text) for text in HOSTILE), total=many),
        "counters": replace(
            counters,
            rows=(replace(counters.rows[0], fault=mixed), *(CounterRow(PlainCounter(text, 1, 2)) for text in HOSTILE)),
            trouble=mixed,
        ),
        "workers": replace(
            workers, workers=tuple(replace(workers.workers[0], name=t, host=t, queues=(t,), state=t, version=t) for t in HOSTILE)
        ),
        "events": tuple(RunEvent(t, RUN, HistoryEntry(n, fixed.NOW, f"{t} {t}")) for n, t in enumerate(HOSTILE)),
    }


def assert_tame(text: str, what: str) -> None:
    for row in text.split("\n"):
        bad = [c for c in row if (ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066\u2028\u2029")]
        assert not bad, f"{what}: {bad!r} is on the screen"


@pytest.mark.parametrize("size", [(80, 24), (140, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_no_text_acts_on_any_screen(size: tuple[int, int]) -> None:
    async with still(size) as pilot:
        app = app_of(pilot)
        assert isinstance(app.source, fixed.StillFeed)
        app.source.pictures = hostile_pictures()
        for _, title in app.tabs:
            app.action_page(title)
            if title == "Jobs":
                app.open_lane("pages", "failed")
            assert app.page is not None
            app.page.look()
            await settled(pilot)
            assert_tame(screen_text(app), title)
            # What is one cell wide in the row of one text is so in all: the columns stand under each other.
            assert {cell_len(row) <= size[0] for row in screen_lines(app)} == {True}
            assert "[@click" in screen_text(app) or size[1] == 24, title
        app.open_run("pages", RUN)
        for _ in range(7):
            await settled(pilot)
            assert_tame(screen_text(app), "a tab of a run")
            await pilot.press("right_square_bracket")
        for text in HOSTILE:
            app.say(text)
        app.push_screen(Confirm(Action("remove", HOSTILE[0] + "[/]", "omniq-flow [b", (), Risk.ASK, details=("[red]x",)), "redis://[/]"))
        await settled(pilot)
        assert_tame(screen_text(app), "a dialog")
        assert "[red]x" in screen_text(app)
        assert app.is_running


async def test_the_filter_takes_any_text() -> None:
    async with still() as pilot:
        app_of(pilot).action_page("Runs")
        await settled(pilot)
        await pilot.press("slash", *"[red]x[/", "enter")
        await settled(pilot)
        assert "filter: [red]x[/" in screen_text(pilot.app)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_has_its_width_whatever_is_in_it(text: str) -> None:
    for wide in (1, 2, 7, 20):
        assert cell_len(cell(text, wide)) == wide
        assert cell_len(cut(text, wide)) <= wide
        assert all(cell_len(row) <= wide for row in wrap(text, wide, 5))
    assert_tame(cell(text, 30), "a cell")


def test_a_megabyte_is_cut_before_it_is_looked_at() -> None:
    assert len(safe("x" * 1_000_000)) < 5_000
    assert sum(map(len, wrap("x" * 1_000_000, 40, 5))) <= 200
