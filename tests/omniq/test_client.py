"""Both OmniQ clients: OmniQ's names, arguments and results (wire §9). That they act as OmniQ does, the vectors show."""

from __future__ import annotations

import dataclasses
import datetime
import inspect
import json
import threading
import uuid
from typing import Any

import pydantic
import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.errors import OperationRefused, ServerUnavailable, ValueNotJson
from omniq_flow.omniq.async_client import AsyncOmniqClient
from omniq_flow.omniq.client import OmniqClient
from omniq_flow.omniq.results import BatchResultItem, ReserveJob, ReservePaused
from omniq_flow.ops import keys
from tests.omniq.conftest import AnyOmniq, Maker
from tests.support.proxy import DROP_REPLY, PASS, Proxy
from tests.support.server import ScratchServer, Server

T0 = 1_800_000_000_000
Q = "q"


@dataclasses.dataclass
class Letter:
    to: str
    at: datetime.datetime
    body: Any = None


class Order(pydantic.BaseModel):
    number: int = pydantic.Field(alias="no")
    id: uuid.UUID
    letters: list[Letter] = []


class Priced(Order):
    """A model that wants its aliases."""

    model_config = pydantic.ConfigDict(serialize_by_alias=True)


class Old:
    """As objects of Pydantic 1 and others are."""

    def dict(self) -> dict[str, Any]:
        return {"old": True}


WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
ID = uuid.UUID(int=7)


def payload_of(conn: Any, job_id: str) -> Any:
    return json.loads(conn.hget(keys.job(Q, job_id), "payload"))


def test_both_clients_have_the_same_methods_and_arguments() -> None:
    def methods(client: type) -> dict[str, dict[str, Any]]:
        public = [(name, f) for name, f in inspect.getmembers(client, inspect.isfunction) if not name.startswith("_")]
        return {name: {p.name: (p.annotation, p.default) for p in inspect.signature(f).parameters.values()} for name, f in public}

    blocking, awaited = methods(OmniqClient), methods(AsyncOmniqClient)
    # Who awaits has a loop of his own, and its signals with it.
    del blocking["consume"]["stop_on_ctrl_c"]
    assert blocking == awaited


class TestPublish:
    async def test_the_defaults_are_those_of_omniq(self, omniq: AnyOmniq, redis_conn: Any) -> None:
        job_id = await omniq.publish(queue=Q, payload={"a": 1})
        job = redis_conn.hgetall(keys.job(Q, job_id))
        assert (job[b"max_attempts"], job[b"timeout_ms"], job[b"backoff_ms"], job[b"state"]) == (b"3", b"30000", b"5000", b"wait")
        assert b"gid" not in job
        assert len(job_id) == 26

    async def test_numbers_and_group_are_made_what_they_should_be(self, omniq: AnyOmniq, redis_conn: Any) -> None:
        options = {"max_attempts": "4", "timeout_ms": 1500.9, "gid": "  g ", "group_limit": -2}
        await omniq.publish(queue=Q, payload=[], job_id="a", now_ms_override=T0, **options)
        job = redis_conn.hgetall(keys.job(Q, "a"))
        assert (job[b"max_attempts"], job[b"timeout_ms"], job[b"gid"], job[b"created_ms"]) == (b"4", b"1500", b"g", str(T0).encode())
        assert redis_conn.exists("{q}:g:g:limit") == 0

    async def test_an_empty_id_gets_a_new_one_and_a_blank_group_is_none(self, omniq: AnyOmniq, redis_conn: Any) -> None:
        job_id = await omniq.publish(queue=Q, payload={}, job_id="", gid=" ")
        assert redis_conn.lrange("{q}:wait", 0, -1) == [job_id.encode()]

    @pytest.mark.parametrize("payload", [(1,), "text", 1, None, Letter("ann", WHEN), Old()], ids=lambda p: type(p).__name__)
    async def test_only_a_dict_or_a_list_is_published_and_that_is_said_first(self, omniq: AnyOmniq, payload: Any) -> None:
        with pytest.raises(TypeError, match="a payload is a dict or a list"):
            await omniq.publish(queue="no such name", payload=payload)

    @pytest.mark.parametrize("queue", ["", "a b", " a", "{a}", "a:b", "x" * 129, None])
    async def test_a_queue_name_is_checked_before_anything_is_sent(self, omniq: AnyOmniq, redis_conn: Any, queue: Any) -> None:
        for call in (omniq.publish(queue=queue, payload={}), omniq.reserve(queue=queue), omniq.pause(queue=queue)):
            with pytest.raises(ValueError, match="queue name"):
                await call
        assert redis_conn.dbsize() == 0

    @pytest.mark.parametrize("name", ["publish", "publish_json"])
    async def test_nan_is_not_sent(self, omniq: AnyOmniq, name: str) -> None:
        with pytest.raises(ValueNotJson):
            await getattr(omniq, name)(queue=Q, payload={"a": float("nan")})


class TestPublishJson:
    @pytest.mark.parametrize(
        ("payload", "sent"),
        [
            ({"a": [1, 2.0, None, 2**70]}, {"a": [1, 2.0, None, 2**70]}),
            (Letter("ann", WHEN, Letter("bob", WHEN)), None),
            (Order(no=1, id=ID, letters=[Letter("ann", WHEN)]), None),
            (Old(), {"old": True}),
            ({"x": [Old(), {"y": Old()}], "z": Letter("ann", WHEN, Old())}, None),
            ([Order(no=1, id=ID)], [{"number": 1, "id": str(ID), "letters": []}]),
            ([Priced(no=1, id=ID)], [{"no": 1, "id": str(ID), "letters": []}]),
            (pydantic.RootModel[list[int]]([1]), [1]),
        ],
        ids=["plain", "dataclass", "model", "dict-method", "nested", "list of models", "by alias", "root model"],
    )
    async def test_models_and_dataclasses_become_json(self, omniq: AnyOmniq, redis_conn: Any, payload: Any, sent: Any) -> None:
        when = "2026-01-02T03:04:05Z"
        ann = {"to": "ann", "at": when}
        expected = {
            "Letter": {**ann, "body": {"to": "bob", "at": when, "body": None}},
            "Order": {"number": 1, "id": str(ID), "letters": [{**ann, "body": None}]},
            "dict": {"x": [{"old": True}, {"y": {"old": True}}], "z": {**ann, "body": {"old": True}}},
        }
        await omniq.publish_json(queue=Q, payload=payload, job_id="a")
        assert payload_of(redis_conn, "a") == (sent if sent is not None else expected[type(payload).__name__])

    @pytest.mark.parametrize(
        "payload", [1, "text", None, (1,), {1}, object(), {"a": object()}, pydantic.RootModel[int](1), Old], ids=lambda p: type(p).__name__
    )
    async def test_what_becomes_no_dict_and_no_list_is_refused(self, omniq: AnyOmniq, payload: Any) -> None:
        with pytest.raises(TypeError, match="payload"):
            await omniq.publish_json(queue=Q, payload=payload)

    async def test_what_holds_itself_is_refused(self, omniq: AnyOmniq) -> None:
        loop: list[Any] = []
        loop.append(loop)
        with pytest.raises(ValueNotJson):
            await omniq.publish_json(queue=Q, payload=loop)


class TestWorking:
    async def test_a_job_is_leased_extended_and_done(self, omniq: AnyOmniq) -> None:
        await omniq.publish(queue=Q, payload={"a": 1}, job_id="a", gid="g", timeout_ms=1000, now_ms_override=T0)
        job = await omniq.reserve(queue=Q, now_ms_override=T0)
        assert job == ReserveJob("JOB", "a", '{"a":1}', T0 + 1000, 1, 3, "g", job.lease_token)
        lease = {"queue": Q, "job_id": "a", "lease_token": job.lease_token}
        assert await omniq.heartbeat(**lease, now_ms_override=T0 + 500) == T0 + 1500
        assert await omniq.ack_success(**lease, now_ms_override=T0 + 600) is None
        assert await omniq.reserve(queue=Q) is None

    async def test_a_failure_says_what_becomes_of_the_job(self, omniq: AnyOmniq, redis_conn: Any) -> None:
        await omniq.publish(queue=Q, payload={}, job_id="a", max_attempts=2, backoff_ms=10, now_ms_override=T0)
        job = await omniq.reserve(queue=Q, now_ms_override=T0)
        lease = {"queue": Q, "job_id": "a"}
        assert await omniq.ack_fail(**lease, lease_token=job.lease_token, error="boom", now_ms_override=T0) == ("RETRY", T0 + 10)
        assert await omniq.promote_delayed(queue=Q, now_ms_override=T0 + 10) == 1
        job = await omniq.reserve(queue=Q, now_ms_override=T0 + 10)
        assert await omniq.ack_fail(**lease, lease_token=job.lease_token, error=" \n", now_ms_override=T0 + 10) == ("FAILED", None)
        assert redis_conn.hget(keys.job(Q, "a"), "last_error") == b"boom"

    async def test_a_lapsed_lease_is_reaped(self, omniq: AnyOmniq) -> None:
        await omniq.publish(queue=Q, payload={}, timeout_ms=1000, now_ms_override=T0)
        await omniq.reserve(queue=Q, now_ms_override=T0)
        assert await omniq.reap_expired(queue=Q, max_reap=5, now_ms_override=T0 + 1000) == 1
        assert await omniq.reap_expired(queue=Q, now_ms_override=T0 + 1000) == 0

    @pytest.mark.parametrize("stored", [b"12000", b"0", b"-5", b"soon", b"", None])
    async def test_the_lease_time_of_a_job(self, omniq: AnyOmniq, redis_conn: Any, stored: bytes | None) -> None:
        if stored is not None:
            redis_conn.hset(keys.job(Q, "a"), "timeout_ms", stored)
        assert await omniq.job_timeout_ms(queue=Q, job_id="a") == (12_000 if stored == b"12000" else 60_000)

    async def test_a_paused_queue_says_so(self, omniq: AnyOmniq) -> None:
        assert await omniq.pause(queue=Q) == "OK"
        assert await omniq.is_paused(queue=Q) is True
        assert await omniq.reserve(queue=Q) == ReservePaused("PAUSED")
        assert await omniq.resume(queue=Q) == 1
        assert await omniq.resume(queue=Q) == 0
        assert await omniq.is_paused(queue=Q) is False


class TestRefusals:
    async def test_a_refusal_carries_its_code_and_is_a_runtime_error(self, omniq: AnyOmniq) -> None:
        with pytest.raises(RuntimeError, match=r"^HEARTBEAT failed: TOKEN_MISMATCH$") as caught:
            await omniq.heartbeat(queue=Q, job_id="none", lease_token="t")
        assert isinstance(caught.value, OperationRefused)
        assert caught.value.code == "TOKEN_MISMATCH"

    @pytest.mark.parametrize(
        ("name", "arguments", "code"),
        [
            ("ack_success", {"job_id": "a", "lease_token": ""}, "TOKEN_REQUIRED"),
            ("retry_failed", {"job_id": "none"}, "NO_JOB"),
            ("retry_failed", {"job_id": "a"}, "NOT_FAILED"),
            ("remove_job", {"job_id": "none", "lane": "wait"}, "NO_JOB"),
            ("remove_job", {"job_id": "a", "lane": "gwait"}, "LANE_MISMATCH"),
            ("remove_job", {"job_id": "a", "lane": "nowhere"}, "LANE_MISMATCH"),
            ("remove_jobs_batch", {"job_ids": ["a"], "lane": "nowhere"}, "BAD_LANE"),
        ],
    )
    async def test_codes(self, omniq: AnyOmniq, name: str, arguments: dict[str, Any], code: str) -> None:
        await omniq.publish(queue=Q, payload={}, job_id="a")
        with pytest.raises(OperationRefused) as caught:
            await getattr(omniq, name)(queue=Q, **arguments)
        assert caught.value.code == code

    async def test_results_of_a_batch_unpack(self, omniq: AnyOmniq) -> None:
        await omniq.publish(queue=Q, payload={}, job_id="a")
        first, second = await omniq.remove_jobs_batch(queue=Q, lane="wait", job_ids=["a", "b"])
        assert (first, second) == (BatchResultItem("a", "OK"), BatchResultItem("b", "ERR", "NO_JOB"))
        assert [tuple(first), tuple(second)] == [("a", "OK", None), ("b", "ERR", "NO_JOB")]
        assert await omniq.retry_failed_batch(queue=Q, job_ids=[]) == []

    @pytest.mark.parametrize(("name", "more"), [("retry_failed_batch", {}), ("remove_jobs_batch", {"lane": "wait"})])
    async def test_more_than_a_hundred_ids_are_refused_before_the_queue_is_looked_at(
        self, omniq: AnyOmniq, name: str, more: dict[str, Any]
    ) -> None:
        with pytest.raises(ValueError, match="at most 100"):
            await getattr(omniq, name)(queue="no such name", job_ids=["a"] * 101, **more)


class TestCounters:
    async def test_a_counter_counts_each_child_once(self, omniq: AnyOmniq) -> None:
        await omniq.childs_init(key=" k ", expected=2)
        with pytest.raises(OperationRefused, match="CHILDS_INIT failed: ALREADY_INIT"):
            await omniq.childs_init(key="k", expected=2)
        assert [await omniq.child_ack(key="k", child_id=child) for child in ("a", " a ", "b", "b")] == [1, 1, 0, -1]

    @pytest.mark.parametrize("key", ["", "  ", "a{b", "a}", "x" * 129])
    async def test_odd_keys_are_refused(self, omniq: AnyOmniq, redis_conn: Any, key: str) -> None:
        for call in (omniq.childs_init(key=key, expected=1), omniq.child_ack(key=key, child_id="a")):
            with pytest.raises(ValueError, match="key"):
                await call
        with pytest.raises(ValueError, match="child id"):
            await omniq.child_ack(key="k", child_id=" ")
        assert redis_conn.dbsize() == 0

    async def test_the_names_of_1_4_raise_where_there_is_no_counter(self, omniq: AnyOmniq) -> None:
        await omniq.check_completion_init_job_counter(key="k", expected=1)
        with pytest.raises(RuntimeError, match="CHECK_COMPLETION_INIT failed: ALREADY_INIT"):
            await omniq.check_completion_init_job_counter(key="k", expected=1)
        assert await omniq.check_completion_job_decrement(key="k", child_id="a") == 0
        with pytest.raises(RuntimeError, match="CHECK_COMPLETION_DECREMENT failed: NO_COUNTER"):
            await omniq.check_completion_job_decrement(key="k", child_id="a")

    async def test_a_lost_reply_is_an_error_and_the_report_is_not_sent_again(self, made: Maker, redis_conn: Any, server: Server) -> None:
        """Q26: −1 would mean that there is no counter; the child may have counted."""
        with Proxy(server.url, lambda n, command: DROP_REPLY if command.is_script else PASS) as proxy:
            client = await made(redis_url=proxy.url)
            redis_conn.set("{cc:k}:count", 3)
            with pytest.raises(ServerUnavailable):
                await client.child_ack(key="k", child_id="a")
        assert redis_conn.get("{cc:k}:count") == b"2"


async def test_a_queue_is_worked_until_the_consumer_is_stopped(omniq: AnyOmniq, redis_conn: Any) -> None:
    await omniq.publish(queue=Q, payload={"n": 1}, job_id="a")
    stop, seen = threading.Event(), []

    def handler(ctx: Any) -> None:
        seen.append((ctx.job_id, ctx.payload))
        stop.set()

    await omniq.consume(queue=Q, handler=handler, stop=stop)
    assert seen == [("a", {"n": 1})]
    assert redis_conn.hget(keys.job(Q, "a"), "state") == b"completed"


def test_the_layer_below_is_the_client_itself(server: Server, redis_conn: redis.Redis) -> None:
    with OmniqClient(redis_url=server.url) as client:
        assert client.ops is client
        assert client.ops.publish(queue=Q, payload={}, job_id="a") == "a"
        assert OmniqClient.queue_base("mail") == "{mail}"


def test_both_are_to_be_had_from_the_client_package_and_the_root() -> None:
    import omniq_flow
    import omniq_flow.client

    assert omniq_flow.OmniqClient is omniq_flow.client.OmniqClient is OmniqClient
    assert omniq_flow.AsyncOmniqClient is omniq_flow.client.AsyncOmniqClient is AsyncOmniqClient


def test_a_client_that_has_lost_its_server_finds_it_again() -> None:
    with ScratchServer() as scratch, OmniqClient(redis_url=scratch.url) as client:
        scratch.restart()
        assert client.is_paused(queue=Q) is False
        assert isinstance(client.client, Client)
