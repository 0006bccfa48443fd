"""The tree of a run opens maps within maps: first their lists, then the elements of one, within the budget of a tick."""

from __future__ import annotations

from omniq_flow.client.client import Client
from omniq_flow.tui.app import FlowApp
from omniq_flow.tui.screens.run import RunPage
from omniq_flow.tui.tree import StepTree
from tests.observe.drive import Drive
from tests.observe.flows import nested
from tests.support.server import Server
from tests.support.until import until
from tests.tui.conftest import shows
from tests.tui.shots import screen_lines
from tests.tui.test_budget import MOST_COMMANDS, MOST_TRIPS, CountingFeed


async def test_lists_open_one_in_the_other_and_close_again(server: Server, client: Client) -> None:
    """Two pages of 70 and 3 regions: the window of a long list moves on, a list that is not made yet has no elements."""
    drive = Drive(client, nested("deep"))
    run_id = drive.start()
    taken = drive.settle(drive.take(), {"pages": [1, 2, 3]})
    lengths = {"regions[0]": list(range(70)), "regions[1]": [1, 2, 3]}
    drive.settle([job for job in taken if job.flow and str(job.flow.step_run) in lengths], lengths)  # type: ignore[arg-type]
    feed = CountingFeed(server.url)
    app = FlowApp(feed, where="here", run=("deep", run_id))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: isinstance(app.screen, RunPage) and app.screen.is_ready, "the run is shown")
        await pilot.press("right_square_bracket")
        await shows(pilot, "▸ ")
        tree = app.screen.query_one(StepTree)
        await until(lambda: "cell" in "\n".join(screen_lines(app)), "the steps are listed")
        while tree.selected_step != "cell":
            await pilot.press("down")
        await pilot.press("enter")
        await shows(pilot, "▸ cell[0]")
        await until(lambda: rows(app)[:3] == [["cell[0]", "70"], ["cell[1]", "3"], ["cell[2]", "0"]], "the lists have their lengths")
        await pilot.press("down", "down", "enter")
        inner = ["cell[1]", "cell[1][0]", "cell[1][1]", "cell[1][2]"]
        await until(lambda: [row[0] for row in rows(app)] == inner, "its elements are shown")
        await pilot.press("left")
        await until(lambda: [row[0] for row in rows(app)] == ["cell[0]", "cell[1]", "cell[2]"], "the lists are shown again")
        while tree.selected_member != "cell[0]":
            await pilot.press("up")
        await pilot.press("enter")
        await until(lambda: ["cell[0][25]"] in rows(app, tree), "its elements are shown")
        await pilot.press(*["pagedown"] * 6)
        await until(lambda: tree.selected_member == "cell[0][59]", "the window ends there")
        await pilot.press("down")
        await until(lambda: any(row[0] == "cell[0][69]" for row in rows(app, tree)), "the window moves on")
        await pilot.press("left", "left")
        await until(lambda: not any(row[0].startswith("cell[") for row in rows(app)), "all is folded")
    worst = max((p.commands, p.trips) for _, p in feed.pulses)
    assert worst[0] <= MOST_COMMANDS
    assert max(p.trips for _, p in feed.pulses) <= MOST_TRIPS


def rows(app: FlowApp, tree: StepTree | None = None) -> list[list[str]]:
    """Name and the next word of each line of an element or of a list of them."""
    if tree is not None:
        return [[item.member] for item in tree._items if item.member]
    words = [line.split("│")[0].split() for line in screen_lines(app)[3:-5]]
    places = [(row, n) for row in words for n, word in enumerate(row) if word.startswith("cell[")]
    return [row[n : n + 2] for row, n in places]
