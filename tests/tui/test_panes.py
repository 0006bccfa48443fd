"""What stands beside a list, all columns, sorting, and clicks on tabs and keys."""

from __future__ import annotations

import pytest

from tests.tui.conftest import app_of, settled, shows, still
from tests.tui.shots import screen_lines, screen_text
from tests.tui.still import RUN
from tests.tui.test_keys import cursor_row


@pytest.mark.parametrize(("title", "pane"), [("Jobs", "job"), ("Counters", "side"), ("Workers", "side"), ("Run", "side")])
async def test_plus_and_underscore_change_the_pane(title: str, pane: str) -> None:
    """On a narrow screen there is none beside a list; on a wide one again it is as it was set."""
    async with still((120, 30), notifications=True) as pilot:
        app = app_of(pilot)
        if title == "Run":
            app.open_run("pages", RUN)
        else:
            app.action_page(title)
        await settled(pilot)
        widget = app.screen.query_one(f"#{pane}")
        before = widget.outer_size.width
        await pilot.press("plus", "plus")
        await settled(pilot)
        wide = widget.outer_size.width
        assert wide > before
        await pilot.press("underscore")
        await settled(pilot)
        assert wide > widget.outer_size.width > before - 12
        await pilot.resize_terminal(80, 24)
        await settled(pilot)
        await pilot.press("plus")
        await shows(pilot, "there is no pane beside this")
        await pilot.resize_terminal(120, 30)
        await settled(pilot)
        assert wide > widget.outer_size.width > before - 12


async def test_a_list_without_a_pane_says_so() -> None:
    async with still((120, 30), notifications=True) as pilot:
        await pilot.press("plus")
        await shows(pilot, "there is no pane beside this")


async def test_w_shows_all_columns_whatever_the_width() -> None:
    async with still() as pilot:
        await pilot.press("2")
        await settled(pilot)
        assert "QUEUE" not in screen_text(pilot.app)
        await pilot.press("w")
        await settled(pilot)
        assert "QUEUE" in screen_text(pilot.app)
        await pilot.press("w")
        await settled(pilot)
        assert "QUEUE" not in screen_text(pilot.app)


async def test_lists_that_are_here_as_a_whole_are_sorted() -> None:
    """The cursor stays with its row."""
    async with still(notifications=True) as pilot:
        app = app_of(pilot)
        await pilot.press("6")
        await settled(pilot)
        assert cursor_row(screen_lines(app)).startswith("▌w-4f1c")
        first = [row for row in screen_lines(app) if "w-" in row]
        await pilot.press(*"sss")
        await shows(pilot, "sorted by BUSY")
        await pilot.press("s")
        await shows(pilot, "sorted by SEEN")
        rows = [row[:9] for row in screen_lines(app) if "w-" in row]
        assert rows == [" w-[b]odd", "▌w-4f1c  "], first
        await pilot.press("S", "S", "S", "S")
        await shows(pilot, "sorted by nothing")
        await pilot.press("5")
        await settled(pilot)
        await pilot.press("s")
        await shows(pilot, "sorted by COUNTER")
        assert [row[1:9] for row in screen_lines(app) if ":" in row[:6]][:2] == ["in:merge", "of:ocr  "]


async def test_clicks_on_tabs_and_keys_do_what_the_keys_do() -> None:
    async with still() as pilot:
        app = app_of(pilot)

        async def click(text: str, last: bool = False) -> None:
            rows = screen_lines(app)
            y = max(n for n, row in enumerate(rows) if text in row) if last else next(n for n, row in enumerate(rows) if text in row)
            await pilot.click(offset=(rows[y].index(text), y))
            await settled(pilot)

        await click("3 Jobs")
        assert app.page is not None
        assert app.page.TITLE_ == "Jobs"
        app.open_lane("pages", "failed")
        await settled(pilot)
        await click("Delay")
        assert app.page.command() == "omniq-flow jobs list pages --lane delayed"
        await click("? help", last=True)
        await shows(pilot, "keys of Jobs")
        await pilot.press("escape")
        app.open_run("pages", RUN)
        await settled(pilot)
        await click("Timeline")
        assert "[Timeline]" in screen_text(app)
        await click("c cancel", last=True)
        await shows(pilot, "cancel run")
