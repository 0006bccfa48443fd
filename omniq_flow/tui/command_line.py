"""The command line at `:`: it goes to a screen, a lane, a run, or out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from omniq_flow.observe.reading import find_run
from omniq_flow.ops.lanes import LANES
from omniq_flow.tui.link import LookingClient

if TYPE_CHECKING:
    from omniq_flow.tui.app import FlowApp


def obey(app: FlowApp, words: str) -> None:
    """Do what a line says; what it does not know it tells, with what there is."""
    verb, *rest = words.split()
    titles = {title.casefold(): title for _, title in app.tabs}
    if verb in ("q", "quit"):
        app.exit()
    elif verb.casefold() in titles:
        app.action_page(titles[verb.casefold()])
    elif verb == "queue" and rest:
        _open_lane(app, rest[0], rest[1] if len(rest) > 1 else "wait")
    elif verb == "run" and rest:
        app.source.ask(partial(_find, app.queues, rest[0]), lambda place: app.open_run(*place))
    else:
        app.say(f"{verb}: not known; there are run ID, queue NAME LANE, {', '.join(titles)}, q", is_bad=True)


def _find(queues: tuple[str, ...], name: str, client: LookingClient) -> tuple[str, str]:
    return find_run(client, queues, name)


def _open_lane(app: FlowApp, queue: str, lane: str) -> None:
    if lane in LANES:
        app.open_lane(queue, next(name for name in LANES if name == lane))
    else:
        app.say(f"there is no lane {lane}; there are {', '.join(LANES)}", is_bad=True)
