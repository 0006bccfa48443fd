"""The table by itself: whose row is selected, whatever comes and goes around it."""

from __future__ import annotations

from textual.app import App, ComposeResult

from omniq_flow.tui.table import Column, Row, Table


class Alone(App[None]):
    def compose(self) -> ComposeResult:
        yield Table([Column("JOB")])


def rows(first: int, n: int = 40) -> list[Row]:
    return [Row(f"job-{i}", (f"job-{i}",)) for i in range(first, first + n)]


async def test_a_selected_row_that_is_on_its_way_stays_selected_through_a_resize() -> None:
    """The rows have moved, the selected one was found further up and is asked for; meanwhile the window gets another size."""
    async with Alone().run_test(size=(80, 24)) as pilot:
        table = pilot.app.query_one(Table)
        table.fill(rows(500), 500, 1_000)
        table._go(520)
        assert table.selected_id == "job-520"
        # By the time of the answer job-520 stands at 120, and job-900 at 500.
        table.fill(rows(900), 500, 600, ("job-520", 120))
        await pilot.resize_terminal(200, 60)
        await pilot.pause()
        assert table.selected_id == "job-520"
        table.fill(rows(500), 100, 600, ("job-520", 120))
        assert table.selected is not None
        assert (table.cursor, table.selected.id) == (120, "job-520")
