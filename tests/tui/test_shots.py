"""Every screen over fixed pictures, at two sizes and in two themes, cell by cell; and the two sketches."""

from __future__ import annotations

import pytest

from tests.tui.conftest import app_of, settled, still
from tests.tui.shots import assert_shot, screen_lines
from tests.tui.still import RUN

SIZES = [(80, 24), (140, 40)]
THEMES = ["textual-dark", "textual-light"]
SCREENS = ["Overview", "Runs", "Jobs", "Groups", "Counters", "Workers", "Events"]
TABS = ["Graph", "Tree", "Timeline", "Input", "Output", "Log", "History"]

OVERVIEW = """
 omniq-flow  redis://cache:6379/0  prod  LIVE 1s  rtt 2ms            3 workers
 Runs   12 open   2 failed 24h   418 done 24h      Jobs/s  7.4 ▁▂▃▅▇▆▅▃▂▃▅▆▇█▆
 QUEUE            WAIT  GROUP  ACTV  DELAY  FAIL  DONE  OLDEST  WORKERS  STATE
 documents          12      0     4      0     1   100     9s        2   run
 pages            4310  96021    16     12    37   100   14m02       2   run
 mail                0      0     0      3     0   100      –        1   PAUSED
!billing            88      0     0      0     0   100   21m40       0   NO WRK
 NEEDS YOU (3)
 ! billing    88 waiting, no worker serves it        → omniq-flow worker -q bi…
 ! run 9F2K   doc_pipeline: step ocr[84]   failed 3x → r retry   enter open
 ! counter    doc_pipeline/7QX1/merge: 1 of 96 missing, its job is gone → enter
"""
RUN_SKETCH = """
 [Graph] Tree  Timeline  Input  Output  Log  History
            ✔ fetch 0.8s                     │ STEP ocr                  map 96
                 │                           │ state    ▶ active
            ✔ split 1.2s                     │ done 71  active 8  wait 15  ✘ 2
        ┌────────┴────────┐                  │
   ▶ ocr 71/96 ✘2    ✔ layout 6.0s           │ retry    3/5 exp 2s..60s jitter
        └────────┬────────┘                  │ queue    pages   group acme 8/8
            ◌ merge 71/96                    │ timeout  120s  lease 30s
                 │                           │ ─ why waiting
            ◌ classify                       │
        ┌────────┴────────┐                  │
   ◌ extract         ⤼ archive               │
        └────────┬────────┘                  │
            ◌ notify                         │ ─ last error ocr[84]
                                             │ OCRTimeout: page 84 took 120s
                                             │   steps/ocr.py:41 read_page
                                             │ attempt 3 of 5, next 12:04:31
 12:03:58 ocr[84]   attempt 3 failed
"""


def words(text: str) -> list[str]:
    """What is said, without how wide the gaps and lines are."""
    return text.replace("─", "").replace("│", " ").split()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_screens_look_as_they_did(size: tuple[int, int], theme: str) -> None:
    async with still(size, theme) as pilot:
        for screen in SCREENS:
            app_of(pilot).action_page(screen)
            if screen == "Jobs":
                app_of(pilot).open_lane("pages", "failed")
            await settled(pilot)
            assert_shot(pilot.app, f"{screen.lower()}-{size[0]}x{size[1]}-{theme.removeprefix('textual-')}")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_tabs_of_a_run_look_as_they_did(size: tuple[int, int], theme: str) -> None:
    async with still(size, theme) as pilot:
        app_of(pilot).open_run("pages", RUN)
        await settled(pilot)
        await pilot.press("down", "down", "down")
        for tab in TABS:
            await settled(pilot)
            assert_shot(pilot.app, f"run-{tab.lower()}-{size[0]}x{size[1]}-{theme.removeprefix('textual-')}")
            await pilot.press("right_square_bracket")


async def test_the_overview_is_the_sketch() -> None:
    async with still() as pilot:
        found = [words(row) for row in screen_lines(pilot.app)]
        for row in OVERVIEW.strip("\n").split("\n"):
            # The cursor stands on the first queue, and a sparkline is as long as there is room.
            wanted = words(row.replace("▁▂▃▅▇▆▅▃▂▃▅▆▇█▆", ""))
            assert any(set(wanted) <= set(words(" ".join(line).replace("▌", " "))) for line in found), row


async def test_a_run_is_the_sketch() -> None:
    async with still() as pilot:
        app_of(pilot).open_run("pages", RUN)
        await settled(pilot)
        await pilot.press("down", "down")
        await settled(pilot)
        found = [words(row) for row in screen_lines(pilot.app)]
        for row in RUN_SKETCH.strip("\n").split("\n"):
            assert any(set(words(row)) <= set(line) for line in found), row


async def test_a_wide_screen_shows_graph_step_and_log_at_once() -> None:
    async with still((140, 40)) as pilot:
        app_of(pilot).open_run("pages", RUN)
        await settled(pilot)
        text = "\n".join(screen_lines(pilot.app))
        assert "▶ ocr 71/96 ✘2" in text
        assert "STEP ocr" in text
        assert "the scanner was tilted [/]" in text


async def test_a_small_terminal_is_told_what_is_needed() -> None:
    async with still((50, 12)) as pilot:
        assert "60×15 is needed" in "\n".join(screen_lines(pilot.app))
        await pilot.resize_terminal(80, 24)
        await settled(pilot)
        assert "NEEDS YOU (3)" in "\n".join(screen_lines(pilot.app))
