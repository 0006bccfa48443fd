"""Keys over fixed pictures: moving, marking, finding, the tabs of a run, help, palette, command line."""

from __future__ import annotations

from dataclasses import replace

from omniq_flow.observe.jobs import JobSnapshot
from omniq_flow.observe.lane_view import LaneQuery, LaneView
from omniq_flow.observe.run_log import LogLine
from omniq_flow.tui.dialogs import Pages
from omniq_flow.tui.keys import EVERYWHERE
from omniq_flow.tui.page import Page
from omniq_flow.tui.screens.jobs import JobsPage, filter_of
from omniq_flow.tui.screens.run import RunPage
from omniq_flow.tui.table import Table
from omniq_flow.tui.text import plain
from tests.support.until import until
from tests.tui.conftest import app_of, settled, shows, still
from tests.tui.shots import screen_lines, screen_text
from tests.tui.still import NOW, RUN, StillFeed, run_view, runs


def lane_of(*ids: str, offset: int = 0, total: int = 0) -> LaneView:
    jobs = tuple(JobSnapshot("pages", id, "wait", created_ms=NOW, updated_ms=NOW) for id in ids)
    return LaneView(
        LaneQuery("pages", "wait"), {"wait": total or len(ids)}, False, jobs, offset, total or len(ids), total or len(ids), at_ms=NOW
    )


def cursor_row(lines: list[str]) -> str:
    return next(row for row in lines if row.startswith("▌"))


async def test_the_selection_stays_with_its_job_when_rows_come_and_go() -> None:
    async with still(jobs=lane_of("a", "b", "c")) as pilot:
        app = app_of(pilot)
        assert isinstance(app.source, StillFeed)
        app.open_lane("pages", "wait")
        await settled(pilot)
        await pilot.press("j")
        assert cursor_row(screen_lines(app)).startswith("▌b")
        app.source.pictures["jobs"] = lane_of("x", "y", "a", "b", "c")
        await pilot.press("ctrl+r")
        await settled(pilot)
        assert cursor_row(screen_lines(app)).startswith("▌b")
        app.source.pictures["jobs"] = lane_of("x", "y", "c")
        await pilot.press("ctrl+r")
        await settled(pilot)
        assert cursor_row(screen_lines(app)).startswith("▌c")


async def test_moving_asks_only_for_rows_that_are_not_here() -> None:
    ids = [f"j{n:03}" for n in range(37)]
    async with still(jobs=lane_of(*ids, total=100_000)) as pilot:
        app = app_of(pilot)
        app.open_lane("pages", "wait")
        await settled(pilot)
        table = app.screen.query_one(Table)
        await pilot.press("j", "j", "down")
        assert cursor_row(screen_lines(app)).startswith("▌j003")
        await pilot.press("k", "up")
        assert cursor_row(screen_lines(app)).startswith("▌j001")
        await pilot.press("l")
        assert table.cursor == 1 + table.visible_rows
        await pilot.press("h", "pagedown", "pageup", "right", "left")
        assert table.cursor == 1
        await pilot.press("G")
        await settled(pilot)
        assert (table.cursor, table.selected) == (99_999, None)
        assert "  …" in screen_text(app)
        first, count = table.window(55)
        assert first + count >= 100_000
        assert count < 60
        await pilot.press("g", "end", "home")
        assert table.cursor == 0


async def test_space_v_and_u_mark() -> None:
    async with still(jobs=lane_of(*"abcdef")) as pilot:
        app = app_of(pilot)
        app.open_lane("pages", "wait")
        await settled(pilot)
        table = app.screen.query_one(Table)
        await pilot.press("space", "space")
        assert list(table.marks) == ["a", "b"]
        await pilot.press("k", "space", "j", "j")
        assert list(table.marks) == ["a"]
        await pilot.press("v")
        assert list(table.marks) == ["a", "b", "c", "d", "e"]
        await settled(pilot)
        assert "5 marked" in screen_text(app)
        assert sum(row.startswith("*") for row in screen_lines(app)) == 5
        await pilot.press("u")
        assert table.marks == {}


async def test_slash_filters_and_escape_clears_before_it_goes_back() -> None:
    async with still() as pilot:
        app = app_of(pilot)
        await pilot.press("2")
        await settled(pilot)
        await pilot.press("slash", *"state:failed flow:doc x", "enter")
        await settled(pilot)
        assert "filter: state:failed flow:doc x" in screen_text(app)
        await pilot.press("escape")
        await settled(pilot)
        assert "filter:" not in screen_text(app)
        await pilot.press("f")
        await settled(pilot)
        assert "filter: is:open" in screen_text(app)


def test_a_filter_of_jobs() -> None:
    assert (filter_of("group:acme error:timeout").gid, filter_of("group:acme error:timeout").error) == ("acme", "timeout")
    assert filter_of("no such page").error == "no such page"


async def test_numbers_and_minus_change_the_screen() -> None:
    async with still() as pilot:
        app = app_of(pilot)
        for key, title in app.tabs:
            await pilot.press(key)
            await settled(pilot)
            assert app.page is not None
            assert title == app.page.TITLE_
            assert f"[{key}]{title}" in screen_text(app)
        await pilot.press("minus")
        await settled(pilot)
        assert app.page is not None
        assert app.tabs[-2][1] == app.page.TITLE_
        assert "7" not in dict(app.tabs)


async def test_the_tabs_and_panes_of_a_run() -> None:
    async with still() as pilot:
        app = app_of(pilot)
        app.open_run("pages", RUN)
        await settled(pilot)
        page = app.screen
        assert isinstance(page, RunPage)
        await pilot.press("j", "j")
        assert page.graph.step == "ocr"
        await pilot.press("l")
        assert page.graph.step == "layout"
        await pilot.press("h", "G")
        assert page.graph.step == "notify"
        await pilot.press("g")
        assert page.graph.step == "fetch"
        await pilot.press("j", "j", "enter")
        await settled(pilot)
        assert "[Tree]" in screen_text(app)
        assert "ocr[0]" in screen_text(app)
        await pilot.press("m")
        await settled(pilot)
        assert "page 12 has 3 columns" in screen_text(app)
        await pilot.press("i")
        await settled(pilot)
        assert '"path": "sample.pdf"' in screen_text(app)
        await pilot.press("left_square_bracket")
        await settled(pilot)
        assert "[Timeline]" in screen_text(app)
        await pilot.press("escape")
        await settled(pilot)
        assert not isinstance(app.screen, RunPage)


async def test_slash_n_and_big_n_find_words_in_the_texts_of_a_run() -> None:
    async with still(notifications=True) as pilot:
        app = app_of(pilot)
        app.open_run("pages", RUN)
        await settled(pilot)
        await pilot.press("slash")
        await shows(pilot, "there is a text to search under Input")
        page = app.screen
        assert isinstance(page, RunPage)
        page.action_show_tab("History")
        await settled(pilot)
        hits = [n for n, row in enumerate(page.board.lines) if "SUCCEEDED" in plain(row).upper()]
        assert len(hits) > 1
        await pilot.press("slash", *"Succeeded", "enter")
        await settled(pilot)
        assert page.board.found == hits[0]
        await pilot.press("n")
        assert page.board.found == hits[1]
        await pilot.press("N")
        assert page.board.found == hits[0]
        await pilot.press("N")
        await shows(pilot, "'Succeeded' is not further up")
        await pilot.press("slash", *["backspace"] * 9, *"no such", "enter")
        await shows(pilot, "'no such' is not further down")


async def test_g_and_big_g_go_to_the_ends_of_a_text() -> None:
    long = replace(run_view(), log=tuple(LogLine(NOW, "read", f"row {n}") for n in range(100)))
    async with still() as pilot:
        app = app_of(pilot)
        assert isinstance(app.source, StillFeed)
        app.source.pictures[f"run:{RUN}"] = long
        app.open_run("pages", RUN)
        await settled(pilot)
        await pilot.press("m")
        await shows(pilot, "row 0")
        await pilot.press("G")
        await shows(pilot, "row 99")
        await pilot.press("k")
        await settled(pilot)
        assert "row 99" not in screen_text(app)
        await pilot.press("g")
        await shows(pilot, "row 0")


async def test_f_keeps_the_cursor_on_what_runs() -> None:
    async with still() as pilot:
        app = app_of(pilot)
        app.open_run("pages", RUN)
        await settled(pilot)
        await pilot.press("F")
        await settled(pilot)
        assert isinstance(app.screen, RunPage)
        assert app.screen.graph.step == "ocr"


async def test_the_help_names_every_key_that_does_something() -> None:
    async with still((100, 70)) as pilot:
        app = app_of(pilot)
        for _, title in app.tabs:
            app.action_page(title)
            await settled(pilot)
            await pilot.press("question_mark")
            await settled(pilot)
            assert isinstance(app.screen, Pages)
            text = screen_text(app)
            page = app.page
            assert page is not None
            for key in (*page.shown_keys(), *EVERYWHERE):
                assert f"{key.name} " in text, (title, key.name)
                assert (key.help or key.label) in text, (title, key.name)
            await pilot.press("escape")


def test_a_key_is_what_it_is_called_everywhere() -> None:
    """No screen gives another meaning to a key that means something everywhere."""
    everywhere = {key for one in EVERYWHERE for key in one.keys.split(",")}
    for page in Page.__subclasses__():
        assert not everywhere & {key for one in page.KEYS for key in one.keys.split(",")}


async def test_the_palette_offers_screens_and_keys() -> None:
    async with still() as pilot:
        app = app_of(pilot)
        titles = [command.title for command in app.get_system_commands(app.screen)]
        assert {"Overview", "Runs", "Jobs", "pause or resume the queue", "leave"} <= set(titles)
        await pilot.press("ctrl+p", *"Workers", "enter")
        await until(lambda: app.page is not None and app.page.TITLE_ == "Workers", "the screen is shown")


async def test_the_command_line_goes_to_lanes_and_refuses_what_it_does_not_know() -> None:
    async with still() as pilot:
        app = app_of(pilot)
        await pilot.press("colon", *"queue pages failed", "enter")
        await settled(pilot)
        assert isinstance(app.page, JobsPage)
        assert app.page.want().name == "jobs"
        assert app.page.queue == "pages"
        await shows(pilot, "[Fail 2]")
        await pilot.press("colon", *"runs", "enter")
        await settled(pilot)
        assert app.page.TITLE_ == "Runs"
        await pilot.press("colon", *"q", "enter")
        await until(lambda: not app.is_running, "the app has ended")


async def test_copies_are_ids_and_commands() -> None:
    async with still() as pilot:
        app = app_of(pilot)
        await pilot.press("2")
        await settled(pilot)
        await pilot.press("y")
        assert app.clipboard == runs().rows[0].header.run_id
        await pilot.press("ctrl+y")
        assert app.clipboard == f"omniq-flow runs show {runs().rows[0].header.run_id}"


async def test_speed_is_changed_with_angle_brackets() -> None:
    async with still() as pilot:
        await pilot.press("greater_than_sign")
        await settled(pilot)
        assert "LIVE 0.5s" in screen_text(pilot.app)
        await pilot.press("less_than_sign", "less_than_sign")
        await settled(pilot)
        assert "LIVE 2s" in screen_text(pilot.app)


async def test_queues_are_sorted_by_a_column() -> None:
    async with still() as pilot:
        await pilot.press("s", "s")
        await settled(pilot)
        rows = [row[1:].split()[0] for row in screen_lines(pilot.app)[6:10]]
        assert rows == ["pages", "billing", "documents", "mail"]


async def test_a_large_plan_is_shown_as_a_tree_first() -> None:
    from omniq_flow.model.plan import Plan
    from omniq_flow.observe.snapshot import RunSnapshot, tally_steps
    from tests.observe.flows import step

    plan = Plan("large", "pages", tuple(step(f"s{n}") for n in range(41)))
    view = run_view()
    snapshot = RunSnapshot(view.snapshot.header, plan, tally_steps(plan, {}, view.snapshot.header.state))
    large = replace(view, snapshot=snapshot, close=replace(view.close, step="s0", members=()))
    async with still() as pilot:
        assert isinstance(app_of(pilot).source, StillFeed)
        app_of(pilot).source.pictures[f"run:{RUN}"] = large  # type: ignore[attr-defined]
        app_of(pilot).open_run("pages", RUN)
        await settled(pilot)
        assert "[Tree]" in screen_text(pilot.app)
