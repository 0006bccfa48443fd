"""Terminals with less: ASCII alone, no colours; and a profile whose colour the head has."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from textual.color import Color

from omniq_flow.tui.ascii import to_ascii
from omniq_flow.tui.canvas import Board
from omniq_flow.tui.locale import wants_ascii
from tests.tui.conftest import app_of, settled, shows, still
from tests.tui.shots import screen_lines, screen_text
from tests.tui.still import RUN


@pytest.mark.parametrize("size", [(80, 24), (140, 40)])
async def test_every_screen_is_ascii_and_nothing_moves(size: tuple[int, int]) -> None:
    """Borders of dialogs as well; what is ASCII anyway stands where it stood."""
    kept: dict[str, list[str]] = {}
    for is_ascii in (False, True):
        async with still(size, is_ascii=is_ascii) as pilot:
            app = app_of(pilot)
            for _, title in app.tabs:
                app.action_page(title)
                await settled(pilot)
                _check(kept, title, screen_lines(app), is_ascii=is_ascii)
            app.open_run("pages", RUN)
            await settled(pilot)
            for tab in range(7):
                _check(kept, f"run {tab}", screen_lines(app), is_ascii=is_ascii)
                await pilot.press("right_square_bracket")
                await settled(pilot)
            await pilot.press("c")
            await shows(pilot, "cancel run")
            _check(kept, "question", screen_lines(app), is_ascii=is_ascii)


def _check(kept: dict[str, list[str]], name: str, lines: list[str], *, is_ascii: bool) -> None:
    if not is_ascii:
        kept[name] = lines
        return
    assert all(row.isascii() for row in lines), [row for row in lines if not row.isascii()]
    for row, before in zip(lines, kept[name], strict=True):
        cells = "".join(c if c.isascii() else "\0" * cell_len(c) for c in before)
        assert all(c in ("\0", row.ljust(len(cells))[n]) for n, c in enumerate(cells)), (before, row)


@pytest.mark.parametrize("text", ["✔ ok", "日本語", "e\u0301", "👩‍👩‍👧‍👦", "─│┌█▂▇…", "plain"])
def test_a_text_in_ascii_takes_as_many_cells(text: str) -> None:
    assert to_ascii(text).isascii()
    assert len(to_ascii("─│┌█▂▇…✔×")) == 9
    assert to_ascii("日本") == "????"
    assert len(to_ascii(text)) >= cell_len(text)


@pytest.mark.parametrize(
    ("env", "is_ascii"),
    [
        ({}, False),
        ({"LANG": "C"}, True),
        ({"LANG": "POSIX"}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),
        ({"LANG": "en_US.UTF-8"}, False),
        ({"LANG": "de_DE.utf8@euro"}, False),
        ({"LANG": "de_DE.ISO-8859-1"}, True),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, True),
        ({"LANG": "C", "LC_ALL": "C.UTF-8"}, False),
        ({"LANG": "en_US.UTF-8", "LC_CTYPE": "UTF-8"}, False),
    ],
)
def test_the_locale_says_whether_there_is_utf_8(env: dict[str, str], is_ascii: bool) -> None:
    assert wants_ascii(env) is is_ascii


async def test_without_colours_states_are_words_and_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with still() as pilot:
        await pilot.press("2")
        await settled(pilot)
        text = screen_text(pilot.app)
        assert "✘ failed" in text
        colours = {
            segment.style.color.get_truecolor()
            for strip in pilot.app.screen._compositor.render_strips()
            for segment in strip
            if segment.style is not None and segment.style.color is not None
        }
        assert all(colour.red == colour.green == colour.blue for colour in colours), colours


async def test_the_head_has_the_colour_of_its_profile_on_every_screen() -> None:
    async with still(color="red") as pilot:
        app = app_of(pilot)
        for _, title in app.tabs:
            app.action_page(title)
            await settled(pilot)
            head = app.screen.query_one("#head", Board)
            assert head.styles.background.rgb == Color.parse("red").rgb
            assert "  prod  " in screen_text(app)
    async with still() as pilot:
        assert app_of(pilot).screen.query_one("#head", Board).styles.background.rgb != Color.parse("red").rgb


async def test_a_question_names_the_profile() -> None:
    async with still() as pilot:
        await pilot.press("2")
        await settled(pilot)
        await pilot.press("d", "c")
        await shows(pilot, "on redis://cache:6379/0  prod")
