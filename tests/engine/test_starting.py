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
