"""The Python halves of the fifteen: what they refuse before sending, how they read replies, what may be sent again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omniq_flow.errors import OperationRefused, ReplyError
from omniq_flow.model.jobs import JobOptions, Lease
from omniq_flow.ops import admin, counters, jobs
from omniq_flow.ops.command import Command
from omniq_flow.ops.replies import BatchResultItem

LEASE = Lease("q", "job", "token", until_ms=5, attempt=1, max_attempts=3)

OPERATIONS: dict[str, Command[Any]] = {
    "ENQUEUE": jobs.publish("q", {}),
    "RESERVE": jobs.reserve("q"),
    "HEARTBEAT": jobs.heartbeat(LEASE),
    "ACK_SUCCESS": jobs.ack_success(LEASE),
    "ACK_FAIL": jobs.ack_fail(LEASE),
    "PROMOTE_DELAYED": admin.promote_delayed("q"),
    "REAP_EXPIRED": admin.reap_expired("q"),
    "RETRY_FAILED": admin.retry_failed("q", "a"),
    "RETRY_FAILED_BATCH": admin.retry_failed_batch("q", ["a"]),
    "REMOVE_JOB": admin.remove_job("q", "a", "wait"),
    "REMOVE_JOBS_BATCH": admin.remove_jobs_batch("q", "wait", ["a"]),
    "CHILDS_INIT": counters.childs_init("k", 1),
    "CHILD_ACK": counters.child_ack("k", "c"),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_reason_code_stands_at_the_end_of_the_message(name: str) -> None:
    with pytest.raises(OperationRefused) as caught:
        OPERATIONS[name].parse([b"ERR", b"SOME_CODE", b"100"])
    assert str(caught.value) == f"{name} failed: SOME_CODE 100"
    assert (caught.value.operation, caught.value.code) == (name, "SOME_CODE")


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("reply", [[b"WHAT"], b"OK", 1, None], ids=str)
def test_a_reply_that_the_contract_lacks_is_an_error(name: str, reply: Any) -> None:
    with pytest.raises(ReplyError, match=name):
        OPERATIONS[name].parse(reply)


def test_replies_become_values() -> None:
    assert OPERATIONS["ENQUEUE"].parse([b"OK", b"a"]) == "a"
    assert OPERATIONS["RESERVE"].parse([b"EMPTY"]) == jobs.Empty()
    assert OPERATIONS["RESERVE"].parse([b"PAUSED"]) == jobs.Paused()
    reply = [b"JOB", b"a", b'{"a":1}', b"1800000000005", b"2", b"3", b"g", b"tok"]
    assert OPERATIONS["RESERVE"].parse(reply) == Lease("q", "a", "tok", 1800000000005, 2, 3, "g", '{"a":1}')
    assert OPERATIONS["HEARTBEAT"].parse([b"OK", b"9"]) == Lease("q", "job", "token", 9, 1, 3)
    assert OPERATIONS["ACK_FAIL"].parse([b"FAILED"]) == jobs.Failed()
    assert OPERATIONS["ACK_FAIL"].parse([b"RETRY", b"7"]) == jobs.Delayed(7)
    assert OPERATIONS["REAP_EXPIRED"].parse([b"OK", b"4"]) == 4
    assert admin.resume("q").parse(1) is True
    assert admin.resume("q").parse(0) is False
    assert admin.is_paused("q").parse(1) is True
    admin.pause("q").parse(b"OK")


def test_batches_become_results() -> None:
    parse = OPERATIONS["REMOVE_JOBS_BATCH"].parse
    assert parse([]) == []
    reply = [b"a", b"OK", b"", b"ERR", b"BAD_JOB_ID", b"OK", b"OK", b"ERR", b"ERR", b"NO_JOB"]
    assert parse(reply) == [
        BatchResultItem("a", "OK"),
        BatchResultItem("", "ERR", "BAD_JOB_ID"),
        BatchResultItem("OK", "OK"),
        BatchResultItem("ERR", "ERR", "NO_JOB"),
    ]
    assert parse([b"ERR", b"ERR", b"NO_JOB"]) == [BatchResultItem("ERR", "ERR", "NO_JOB")]


def test_a_payload_that_is_no_utf8_is_still_handed_over() -> None:
    """A foreign publisher's bytes must not burn the lease that was granted for them (H20)."""
    lease = OPERATIONS["RESERVE"].parse([b"JOB", b"a", b"\xff{}", b"5", b"1", b"1", b"", b"tok"])
    assert lease.payload == "\\xff{}"


def test_what_may_be_sent_again_when_its_reply_was_lost() -> None:
    """Only what gives the same answer, or does no harm the second time."""
    repeatable = {name for name, op in OPERATIONS.items() if op.is_repeatable}
    assert repeatable == {"ENQUEUE", "HEARTBEAT", "PROMOTE_DELAYED", "REAP_EXPIRED"}
    assert admin.pause("q").is_repeatable
    assert admin.resume("q").is_repeatable


@pytest.mark.parametrize("queue", ["", "a:b", "a b", " a", "{a}", "ä", "x" * 129])
def test_a_queue_with_an_odd_name_is_refused_by_each(queue: str) -> None:
    lease = Lease(queue, "job", "token", 0, 0, 0)
    for build in (
        lambda: jobs.publish(queue, {}),
        lambda: jobs.reserve(queue),
        lambda: jobs.heartbeat(lease),
        lambda: jobs.ack_success(lease),
        lambda: jobs.ack_fail(lease),
        lambda: admin.promote_delayed(queue),
        lambda: admin.reap_expired(queue),
        lambda: admin.pause(queue),
        lambda: admin.resume(queue),
        lambda: admin.is_paused(queue),
        lambda: admin.retry_failed(queue, "a"),
        lambda: admin.retry_failed_batch(queue, ["a"]),
        lambda: admin.remove_job(queue, "a", "wait"),
        lambda: admin.remove_jobs_batch(queue, "wait", ["a"]),
    ):
        with pytest.raises(ValueError, match="queue name"):
            build()


def test_a_job_without_a_name_gets_a_new_one() -> None:
    ids = {str(jobs.publish("q", {}).args[0]) for _ in range(100)}
    assert len(ids) == 100
    assert {len(job_id) for job_id in ids} == {26}


def test_a_payload_is_sent_compact_unescaped_and_in_order() -> None:
    payload = {"z": [1, 1.0, 2**70, None, True], "a": "é🙂", "": {}}
    sent = jobs.publish("q", payload).args[1]
    assert sent == '{"z":[1,1.0,1180591620717411303424,null,true],"a":"é🙂","":{}}'.encode()
    assert isinstance(sent, bytes)
    assert json.loads(sent) == payload


def test_a_group_is_trimmed_and_a_limit_below_one_is_none() -> None:
    args = jobs.publish("q", {}, options=JobOptions(gid=" g ", group_limit=-4)).args
    assert (args[7], args[8]) == ("g", 0)


@pytest.mark.parametrize("key", ["", " ", "a{b", "a}b", "x" * 129])
def test_a_counter_with_an_odd_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        counters.childs_init(key, 1)
    with pytest.raises(ValueError, match="key"):
        counters.child_ack(key, "c")


def test_a_counters_key_and_its_children_are_trimmed() -> None:
    op = counters.child_ack("  k ", " c ")
    assert (op.keys, op.args) == (("{cc:k}:meta",), ("c",))
    with pytest.raises(ValueError, match="child id"):
        counters.child_ack("k", "  ")


def test_a_batch_of_more_than_a_hundred_is_refused() -> None:
    ids = [f"a{i}" for i in range(101)]
    with pytest.raises(ValueError, match=r"at most 100 jobs a call, 101 were given"):
        admin.retry_failed_batch("q", ids)
    with pytest.raises(ValueError, match=r"at most 100 jobs a call, 101 were given"):
        admin.remove_jobs_batch("q", "wait", ids)
