"""Keys of the settings: what is pressed, and what foot and help say, follow them; clashes and unknown names are refused."""

from __future__ import annotations

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.errors import ConfigError
from omniq_flow.ops.admin import is_paused
from omniq_flow.tui.app import SCREENS
from omniq_flow.tui.keymap import read_keys
from omniq_flow.tui.page import Page
from omniq_flow.tui.screens.run import RunPage
from tests.support.server import Server
from tests.support.until import until
from tests.tui.conftest import app_of, live, settled, shows, still
from tests.tui.shots import screen_text

PAGES: list[type[Page]] = [*(page for _, page in SCREENS), RunPage]


def test_keys_are_written_as_people_write_them() -> None:
    raw = {"retry": "x", "remove": "f8,delete", "new_run": "ctrl-t", "freeze": "*", "help": "!"}
    assert read_keys(raw, PAGES) == {
        "retry": "x",
        "remove": "f8,delete",
        "new_run": "ctrl+t",
        "freeze": "asterisk",
        "help": "exclamation_mark",
    }


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"retyr": "x"}, "there is no action 'retyr'; did you mean 'retry'?"),
        ({"xyzzy": "x"}, "there is no action 'xyzzy'; there are "),
        ({"retry": "hyper-x"}, "retry: there is no key 'hyper-x'"),
        ({"retry": "c"}, "retry and cancel both have the key c"),
        ({"retry": "z"}, "retry and freeze both have the key z"),
        ({"retry": "x", "cancel": "x"}, "retry and cancel both have the key x"),
        ({"retry": "j"}, "retry: the key j is taken"),
        ({"retry": "ctrl-q"}, "retry: the key ctrl-q is taken"),
    ],
)
def test_what_cannot_be_is_refused(raw: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_keys(raw, PAGES, "omniq-flow.toml:3")
    assert reason in str(caught.value)
    assert "omniq-flow.toml:3" in str(caught.value)


def test_two_actions_may_change_their_keys() -> None:
    assert read_keys({"retry": "c", "cancel": "r"}, PAGES) == {"retry": "c", "cancel": "r"}


async def test_the_new_key_acts_and_the_old_one_does_not(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    redis_conn.sadd("{omniq-flow}:queues", queue)
    async with live(server.url, keys={"pause": "x", "freeze": "exclamation_mark"}) as pilot:
        await shows(pilot, queue)
        await shows(pilot, "x pause")
        await pilot.press("p", "z")
        await settled(pilot)
        assert not app_of(pilot).status.is_frozen
        await pilot.press("x")
        await until(lambda: client.execute(is_paused(queue)), "it is paused")
        assert "p pause" not in screen_text(pilot.app)
        await pilot.press("exclamation_mark")
        await shows(pilot, "FROZEN")
        await pilot.press("question_mark")
        await shows(pilot, "freeze or thaw the picture")
        assert "!                   freeze or thaw" in screen_text(pilot.app)


async def test_keys_of_moving_stay_what_they_are() -> None:
    async with still() as pilot:
        await pilot.press("j")
        assert "▌pages" in screen_text(pilot.app)
