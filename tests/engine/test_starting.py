"""A start: checked before it is sent, and sent twice without harm."""

from __future__ import annotations

import pytest
import redis
from pydantic import BaseModel

from omniq_flow import Conflict, Flow, InputError, UsageError, result
from omniq_flow.client.client import AsyncClient, Client
from omniq_flow.engine.starting import prepare, start, start_async
from omniq_flow.model.runs import new_run_id
from omniq_flow.ops import keys
from omniq_flow.ops.runs import run_header


class Order(BaseModel):
    customer: str
    items: list[int] = []
    note: str = ""


def order_flow(name: str = "orders", **options: object) -> Flow:
    flow = Flow(name, input=Order, **options)  # type: ignore[arg-type]

    @flow.step
    def count(order: Order) -> int:
        return len(order.items)

    @flow.step
    def double(n: int = result(count)) -> int:
        return n * 2

    return flow


@pytest.mark.parametrize(
    "value", [Order(customer="ann"), {"customer": "ann"}, '{"customer": "ann"}', b'{"customer":"ann","items":[],"note":""}']
)
def test_an_input_is_written_in_one_way(value: object) -> None:
    prepared = prepare(order_flow(), value)
    assert prepared.input_json == b'{"customer":"ann","items":[],"note":""}'
    assert prepared.gid == ""


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InputError) as refused:
        prepare(order_flow(), {"items": [1, "x"], "note": 5})
    assert [fault.message.split(":")[0] for fault in refused.value.faults] == ["customer", "items[1]", "note"]


def test_too_large_an_input_is_refused() -> None:
    with pytest.raises(InputError) as refused:
        prepare(order_flow(), {"customer": "ann", "note": "x" * 1_100_000})
    assert "1.0 MiB is the limit" in str(refused.value)


def test_the_group_is_rendered_from_the_input() -> None:
    flow = order_flow(group="customer:{input.customer}")
    assert prepare(flow, {"customer": "ann"}).gid == "customer:ann"
    with pytest.raises(InputError):
        prepare(flow, {"customer": ""})


def test_ids_and_keys_are_checked() -> None:
    flow = order_flow()
    run_id = new_run_id()
    assert prepare(flow, {"customer": "a"}, run_id=run_id).run_id == run_id
    with pytest.raises(UsageError, match="no run id"):
        prepare(flow, {"customer": "a"}, run_id="run-1")
    with pytest.raises(UsageError, match="513 bytes"):
        prepare(flow, {"customer": "a"}, key="k" * 513)
    with pytest.raises(UsageError, match="no proper text"):
        prepare(flow, {"customer": "a"}, key="\ud800")


@pytest.mark.parametrize(
    ("tags", "what"),
    [
        ({f"t{n}": "x" for n in range(17)}, "at most 16 tags, these are 17"),
        ({"": "x"}, "'' is no name of a tag"),
        ({"1st": "x"}, "'1st' is no name of a tag"),
        ({"a=b": "x"}, "'a=b' is no name of a tag"),
        ({"t" * 41: "x"}, "is no name of a tag"),
        ({"env": ""}, "tag env: its value has 1 to 128 characters"),
        ({"env": "x" * 129}, "tag env: its value has 1 to 128 characters"),
        ({"env": "a\nteam=b"}, "none of them unprintable"),
        ({"env": "\ud800"}, "none of them unprintable"),
    ],
)
def test_what_can_be_no_tag_is_refused(tags: dict[str, str], what: str) -> None:
    with pytest.raises(UsageError) as refused:
        prepare(order_flow(), {"customer": "a"}, tags=tags)
    assert what in refused.value.message


async def test_a_run_has_the_tags_of_its_first_start(client: Client, aclient: AsyncClient) -> None:
    """They do not decide which run is meant, and none are kept where none were given."""
    flow = order_flow()
    tags = {"team": 'd="ä" 𝄞=', "env": "prod"}
    first = start(client, flow, {"customer": "ann"}, key="k", tags=tags)
    assert start(client, flow, {"customer": "ann"}, key="k", tags={"env": "test"}).run_id == first.run_id
    second = await start_async(aclient, flow, {"customer": "ann"}, tags={"env": "test"})
    bare = start(client, flow, {"customer": "ann"})
    headers = [client.execute(run_header(flow.queue, one.run_id)) for one in (first, second, bare)]
    assert [h.tags for h in headers] == [(("env", "prod"), ("team", tags["team"])), (("env", "test"),), ()]


def test_a_run_begins_once(client: Client, redis_conn: redis.Redis) -> None:
    flow = order_flow()
    first = start(client, flow, {"customer": "ann"}, key="k")
    assert first.is_new
    assert not first.needs_plan
    again = start(client, flow, {"customer": "ann"}, key="k")
    assert (again.run_id, again.is_new) == (first.run_id, False)
    with pytest.raises(Conflict):
        start(client, flow, {"customer": "bob"}, key="k")
    assert redis_conn.smembers(keys.QUEUES) == {b"orders"}
    assert redis_conn.zcard(keys.live("orders")) == 1


async def test_the_async_start_is_the_same(aclient: AsyncClient, redis_conn: redis.Redis) -> None:
    flow = order_flow()
    first = await start_async(aclient, flow, {"customer": "ann"}, key="k")
    again = await start_async(aclient, flow, Order(customer="ann"), key="k")
    assert (first.is_new, again.is_new) == (True, False)
    assert first.run_id == again.run_id
    assert redis_conn.smembers(keys.QUEUES) == {b"orders"}
