"""run_start: a run begins once, whatever is sent again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from omniq_flow.errors import Conflict
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from tests.flowscripts.desk import LEASE, OTHER, RUN, Desk, result, step


def test_the_roots_are_dispatched_and_nothing_else(desk: Desk) -> None:
    plan = desk.plan(step("a"), step("b"), step("c", result("a"), result("b")))
    started = desk.start(plan, given=b'{"n":1}')
    assert (started.run_id, started.is_new) == (RUN, True)
    assert [str(desk.fact(s).state) for s in "abc"] == ["Q", "Q", "P"]
    assert (desk.header().state, desk.header().open, desk.output(":input")) == (RunState.RUNNING, 2, '={"n":1}')
    assert desk.events() == ["run running", "Q a 1", "Q b 1"]
    desk.check()


def test_a_job_carries_the_options_of_its_step_and_nothing_big(desk: Desk) -> None:
    desk.start(desk.plan(step("a", attempts=7, lease_ms=9_000), max_parallel=5), given=b'"' + b"x" * 5_000 + b'"')
    job = {k.decode(): v.decode() for k, v in desk.conn.hgetall(desk.job("a")).items()}  # type: ignore[union-attr]
    assert (job["max_attempts"], job["timeout_ms"], job["backoff_ms"], job["gid"]) == ("7", "9000", "1000", RUN)
    assert job["payload"] == f'{{"run":"{RUN}","id":"a","epoch":1}}'
    assert desk.conn.get(desk.key("g", RUN, "limit")) == b"5"


def test_sent_again_it_is_the_same_run_and_changes_nothing(desk: Desk) -> None:
    plan = desk.plan(step("a"))
    desk.start(plan, key="k")
    before = desk.everything()
    assert not desk.start(plan, key="k").is_new
    assert desk.everything() == before


def test_a_run_key_finds_the_run_that_has_it(desk: Desk) -> None:
    plan = desk.plan(step("a"))
    desk.start(plan, RUN, b"1", key="k")
    before = desk.everything()
    found = desk.start(plan, OTHER, b"1", key="k")
    assert (found.run_id, found.is_new) == (RUN, False)
    assert desk.everything() == before


@pytest.mark.parametrize(("run_id", "key"), [(OTHER, "k"), (RUN, ""), (RUN, "other")])
def test_another_input_under_the_same_name_is_a_conflict(desk: Desk, run_id: str, key: str) -> None:
    plan = desk.plan(step("a"))
    desk.start(plan, RUN, b"1", key="k")
    before = desk.everything()
    with pytest.raises(Conflict, match=RUN):
        desk.start(plan, run_id, b"2", key=key)
    assert desk.everything() == before


def test_another_plan_with_the_same_input_is_no_conflict(desk: Desk) -> None:
    """A deploy between two sends (DECISIONS: the digest of the input decides)."""
    desk.start(desk.plan(step("a")), RUN, b"1", key="k")
    assert desk.start(desk.plan(step("a"), step("b")), OTHER, b"1", key="k").run_id == RUN


def test_a_key_belongs_to_its_flow(desk: Desk) -> None:
    plan = desk.plan(step("a"))
    desk.start(plan, RUN, b"1", key="k")
    other = type(plan)("another", desk.queue, plan.steps)
    assert desk.start(other, OTHER, b"2", key="k").is_new


def test_without_the_plan_it_is_asked_for_and_nothing_written(desk: Desk) -> None:
    plan = desk.plan(step("a"))
    assert desk.start(plan, with_plan=False).needs_plan
    assert desk.everything() == {}
    desk.start(plan)
    assert desk.start(plan, OTHER, with_plan=False).is_new
    assert desk.field(keys.plan(desk.queue, plan.sha), "_runs") == "2"


def test_many_roots_come_in_bounded_pieces(desk: Desk) -> None:
    desk.start(desk.plan(*(step(f"s{n}") for n in range(600))))
    opened = [desk.header().open]
    while opened[-1] < 600:
        desk.check()
        desk.tick()
        opened.append(desk.header().open)
    assert opened == [256, 512, 600]


def test_a_flow_of_no_steps_has_succeeded(desk: Desk) -> None:
    desk.start(desk.plan())
    assert desk.header().state is RunState.SUCCEEDED
    desk.check()


def test_a_large_input_has_a_key_of_its_own(desk: Desk) -> None:
    desk.start(desk.plan(step("a")), given=b'"' + b"x" * 70_000 + b'"')
    assert desk.output(":input") == "@0"
    assert desk.conn.strlen(keys.value(desk.queue, RUN, ":input", 0)) == 70_002


def test_a_named_group_is_shared_and_keeps_its_first_limit(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), max_parallel=2), RUN, gid="customer:7")
    desk.start(desk.plan(step("a"), step("b"), max_parallel=9), OTHER, gid="customer:7")
    assert desk.conn.get(desk.key("g", "customer:7", "limit")) == b"2"
    assert len(desk.tick(take=64).taken) == 2
    desk.check()


def test_who_waits_is_woken(desk: Desk) -> None:
    desk.tick(take=1, idle_ms=5_000, worker="sleeper")
    desk.start(desk.plan(step("a")))
    assert desk.conn.lrange(keys.wake(desk.queue, "sleeper"), 0, -1) == [b"1"]
    assert not desk.conn.exists(desk.key("flow", "idle"))


def test_nobody_is_woken_whose_time_is_over(desk: Desk) -> None:
    desk.tick(take=1, idle_ms=5_000, worker="sleeper")
    desk.now += 5_001
    desk.start(desk.plan(step("a")))
    assert not desk.conn.exists(keys.wake(desk.queue, "sleeper"))


@pytest.fixture
def full(desk: Desk) -> Iterator[Desk]:
    """A server that takes nothing more."""
    desk.start(desk.plan(step("a"), step("b", result("a"))))
    desk.conn.config_set("maxmemory", "1")
    yield desk
    desk.conn.config_set("maxmemory", "0")


def test_out_of_memory_no_run_begins_and_those_that_go_on_end(full: Desk) -> None:
    before = full.everything()
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        full.start(full.plan(step("a")), OTHER)
    assert full.everything() == before
    for name in "ab":
        assert full.settle(full.take()[name]) == "OK"
    assert full.header().state is RunState.SUCCEEDED


def test_a_lease_is_as_long_as_its_step_says(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), step("b", lease_ms=5_000)))
    assert {name: t.until_ms - desk.now for name, t in desk.take().items()} == {"a": LEASE, "b": 5_000}
