"""The filter of the list of runs: what its words mean, which are refused, and what is shown while a search goes on."""

from __future__ import annotations

import json

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.errors import UsageError
from omniq_flow.observe import run_list
from omniq_flow.observe.run_query import InputFits, RunQuery
from omniq_flow.tui.filter import query_of, words_of
from omniq_flow.tui.screens.runs import RunsPage
from tests.observe.drive import Bad, Drive
from tests.observe.flows import plan, step
from tests.support.server import Server
from tests.support.until import until
from tests.tui.conftest import app_of, live, settled, shows, still
from tests.tui.shots import screen_text


@pytest.mark.parametrize(
    "words",
    [
        "is:failed",
        "state:failed flow:doc*",
        "flow:a two words",
        "in.customer:42 in.who.name:ann*",
        'in.title:"two words" age>1h',
        'tag:env=prod tag:team tag:"who=ann b*" age<1h',
        "age>1d2h age<2d",
        'age<1m500ms "un:known" x',
    ],
)
def test_a_filter_is_its_words(words: str) -> None:
    assert words_of(query_of(words)) == words


def test_words_become_a_query() -> None:
    assert query_of("is:open state:running flow:doc*  some  text") == RunQuery("open", "doc*", "running", "some text")
    assert query_of("age>90 age<2h30m") == RunQuery(older_ms=90_000, younger_ms=9_000_000)
    assert query_of('tag:env=prod tag:who="a b" tag:team') == RunQuery(tags=("env=prod", "who=a b", "team"))
    assert query_of('in.a.0:"x: y" in.b:1') == RunQuery(inputs=(InputFits("a.0", "x: y"), InputFits("b", "1")))
    assert query_of('"order:7" a"b') == RunQuery(text="order:7 ab")


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("stat:failed", "filters are state:failed, is:open, flow:doc*, in.customer:42, tag:env=prod, age>1h"),
        ("order:7", 'as "order:7"'),
        ("state:broken", "state: takes running, succeeded, failed, cancelling, cancelled"),
        ("is:", "is: takes all, open, failed, ended"),
        ("flow:", "flow: takes the name of a flow"),
        ("tag:", "write tag:NAME or tag:NAME=VALUE"),
        ("tag:env=", "write tag:NAME or tag:NAME=VALUE"),
        ("tag:=prod", "write tag:NAME or tag:NAME=VALUE"),
        ("in.customer:", "write in.FIELD:VALUE"),
        ("in..a:1", "write in.FIELD:VALUE"),
        ("age>soon", "write a time, as age>1h"),
        ("age<", "write a time, as age>1h"),
        ("age>0", "write a time, as age>1h"),
    ],
)
def test_a_wrong_word_is_refused_by_name(word: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        query_of(f"text {word}")
    assert caught.value.message == f"{word} is no filter"
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("path", "value", "given", "fits"),
    [
        ("customer", "42", {"customer": 42}, True),
        ("customer", "42", {"customer": "42"}, True),
        ("customer", "4", {"customer": 42}, False),
        ("customer", "4*", {"customer": 42}, True),
        ("customer", "*", {"customer": None}, True),
        ("customer", "*", {}, False),
        ("a.b", "true", {"a": {"b": True}}, True),
        ("a.b", "True", {"a": {"b": True}}, False),
        ("a.1", "y", {"a": ["x", "y"]}, True),
        ("a.2", "y", {"a": ["x", "y"]}, False),
        ("a", '["x"]', {"a": ["x"]}, True),
        ("a.b", "x", {"a": "b"}, False),
        ("a", "x", "a", False),
        ("a", "x", None, False),
    ],
)
def test_a_field_of_an_input(path: str, value: str, given: object, fits: bool) -> None:
    assert RunQuery(inputs=(InputFits(path, value),)).fits_input(json.dumps(given).encode()) is fits


async def test_a_wrong_word_gives_one_message_and_the_line_stays_open() -> None:
    async with still(notifications=True) as pilot:
        await pilot.press("2")
        await settled(pilot)
        await pilot.press("slash", *"stat:failed", "enter")
        await shows(pilot, "stat:failed is no filter")
        assert "filter: stat" not in screen_text(pilot.app)
        await pilot.press("end", *["backspace"] * 11, *"state:failed", "enter")
        await shows(pilot, "filter: state:failed")


async def test_n_and_big_n_go_from_hit_to_hit_and_on_with_the_search(
    server: Server, client: Client, redis_conn: redis.Redis, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 30 runs ten are searched at a time; every tenth fits."""
    monkeypatch.setattr(run_list, "SLICE", 10)
    redis_conn.sadd("{omniq-flow}:queues", queue)
    drive = Drive(client, plan(queue, step("a")))
    runs = [drive.start({"customer": n % 10 // 5, "n": n}, key=f"key-{n:02}") for n in range(30)]
    drive.work(lambda step_run: Bad("no"))
    async with live(server.url, size=(120, 30)) as pilot:
        await pilot.press("2")
        await shows(pilot, "key-29")
        await pilot.press("slash", *"in.customer:1", "enter")
        await shows(pilot, "searched 10 of 30, newest first; n after the last goes on")
        page = app_of(pilot).screen
        assert isinstance(page, RunsPage)
        await until(lambda: page.table.total == 5, "five of them fit")
        assert page.table.selected_id == runs[29]
        await pilot.press("n", "n", "N", "n", "n", "n")
        assert page.table.selected_id == runs[25]
        await pilot.press("n")
        await shows(pilot, "searched 20 of 30")
        await until(lambda: page.table.total == 10, "ten fit")
        await pilot.press("n")
        assert page.table.selected_id == runs[19]
        await pilot.press("G", "n")
        await until(lambda: page.table.total == 15, "fifteen fit")
        assert "searched" not in screen_text(pilot.app)
