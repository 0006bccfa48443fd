"""The commonest steps are settled and begun by a short way (`lua/lib/hop.lua`): it leaves and answers what the long way would."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from omniq_flow.errors import OmniqFlowError
from omniq_flow.model.plan import InputPlan, Plan, StepPlan
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from omniq_flow.ops.ticks import OutcomeKind, Settled, Taken, TickReply
from tests.conformance.kit import dump
from tests.flowscripts.desk import LEASE, NOW, RUN, Desk, each, gather, result, step
from tests.oracle.executor import Executor
from tests.oracle.flows import random_plan

SHORT_WAYS = {"budget >= hop.UNITS": "false", "hop.begin(o.short, f)": "nil", "hop.is_open(o.short, gid)": "false"}
ALL_RUNS = ("0" * 25 + "A", "0" * 25 + "B", "0" * 25 + "C", "0" * 25 + "D")


def the_long_way(name: str, source: str) -> str:
    """The script without its short way."""
    if name == "flow/tick":
        for short, nothing in SHORT_WAYS.items():
            assert source.count(short) == 1, short
            source = source.replace(short, nothing)
    return source


def state(conn: redis.Redis) -> dict[str, Any]:
    """The keyspace; how long a worker's memory stays is the server's own clock."""
    return {key: entry[:2] for key, entry in dump(conn).items()}


class Play:
    """A few runs of random flows, worked by beats that a seed decides; `told` is what was answered and left after each."""

    def __init__(self, desk: Desk, seed: int, *, is_short: bool) -> None:
        desk.conn.flushall()
        desk.execute = Executor(desk.conn, None if is_short else the_long_way)
        desk.now = NOW
        self.desk, self.rng = desk, random.Random(seed)
        # Half of them are runs of simple steps that nothing disturbs, worked as they come.
        self.is_calm = self.rng.random() < 0.5
        self.held: list[Taken] = []
        self.plans: dict[str, Plan] = {}

    def __iter__(self) -> Iterator[tuple[str, TickReply, dict[str, Any]]]:
        for run_id in ALL_RUNS[: self.rng.choice((1, 2, 4))]:
            self.plans[run_id] = plan = self._plan()
            self.desk.start(plan, run_id, gid=self.rng.choice((run_id, run_id, run_id if self.is_calm else "shared")))
        for _ in range(25):
            yield self._refused(self._happen), self._beat(), state(self.desk.conn)

    def _plan(self) -> Plan:
        """Mostly steps that follow each other; at times any flow."""
        if not self.is_calm and self.rng.random() < 0.4:
            return random_plan(self.rng, "flow", self.desk.queue, most=8)
        if self.rng.random() < 0.3:
            scan = step(
                "scan", each("read"), *self.rng.sample((result("rules"), InputPlan("n", "input")), k=self.rng.randrange(3)), level=("read",)
            )
            look = step("look", each("read"), level=("read",))
            both = step("sum", *(gather(name) for name in self.rng.sample(("scan", "look"), k=2)))
            ends = (step("rules"), *self.rng.choice(((step("sum", gather("scan")),), (look, both))), step("tell", result("sum")))
            return self.desk.plan(step("read", is_list=True), scan, *ends, window=self.rng.choice((2, 1_000)))
        steps = [step("s0")]
        for n in range(1, self.rng.randint(2, 9)):
            producers = self.rng.sample(steps[-3:], k=1 if self.is_calm or self.rng.random() < 0.8 or n == 1 else 2)
            steps.append(step(f"s{n}", *(result(p.name, optional=self.rng.random() < 0.2) for p in producers)))
        return self.desk.plan(*steps, max_parallel=self.rng.choice((1, 3, 100)))

    def _happen(self) -> None:
        """Time passes, and now and then somebody steers."""
        rng, desk = self.rng, self.desk
        desk.now += rng.choice((0, 1, 20, 20, 20 if self.is_calm else 900, 20 if self.is_calm else 35_000))
        run_id = rng.choice(list(self.plans))
        match rng.randrange(5, 40) if self.is_calm else rng.randrange(28):
            case 6:
                desk.omniq("pause")
            case 7 | 8:
                desk.omniq("resume")
            case 0:
                desk.pause(run_id)
            case 1:
                desk.resume(run_id)
            case 2:
                desk.cancel(run_id)
            case 3:
                desk.retry(run_id)
            case 4:
                desk.conn.delete(desk.key("g", run_id, "limit"))
            case 5:
                desk.publish(f"plain{desk.now}.{rng.random()}", gid=rng.choice(("", "", "shared", "other")))
            case _:
                return

    def _beat(self) -> TickReply:
        rng, now = self.rng, []
        rng.shuffle(self.held)
        for _ in range(rng.randint(0, len(self.held))):
            taken = self.held.pop()
            now.append(self._item(taken))
            if rng.random() < 0.05:
                now.append(self._item(taken))
        take = rng.choice((64, 64, 64, 2) if self.is_calm else (0, 1, 2, 5, 64))
        budget = 0 if self.is_calm else rng.choice((0, 0, 0, 0, 5, 9))
        reply = self.desk.tick(*now[:64], take=take, budget=budget, request=f"r{rng.random()}", idle_ms=rng.choice((0, 50)))
        self.held += reply.taken
        return reply

    def _item(self, taken: Taken) -> Settled:
        rng, number = self.rng, 0
        kind: OutcomeKind = "ok" if self.is_calm else rng.choice(("ok",) * 14 + ("skip", "fail", "fatal", "release"))
        value = rng.choice((b"1", b'{"a":[]}', b"[" + b"1," * 40_000 + b"1]")) if rng.random() < 0.2 else b"7"
        plan = self.plans.get(taken.flow.run_id) if taken.flow else None
        if taken.flow and plan and kind == "ok" and plan.by_name[taken.flow.step_run.step].is_list and rng.random() < 0.9:
            kind, number = "list", rng.randint(0, 5)
            self._stage(taken, number)
        return Settled(taken.job_id, rng.choice((taken.token,) * 19 + ("f00",)), kind, number, value, "no" if "fa" in kind else "")

    def _stage(self, taken: Taken, number: int) -> None:
        if number:
            self._refused(lambda: self.desk.stage(taken, *(b"%d" % i for i in range(number))))

    def _refused(self, act: Callable[[], None]) -> str:
        """What an act was refused with, if it was."""
        try:
            act()
        except OmniqFlowError as refusal:
            return str(refusal)
        return ""


def no_short_way(name: str, source: str) -> str:
    """The script refuses to settle anything the short way."""
    settles = "function hop.settle(h, item)\n"
    return source.replace(settles, settles + "error({err = 'SHORT'})\n") if name == "flow/tick" else source


def goes_the_short_way(desk: Desk, taken: Taken, take: int = 64) -> bool:
    desk.execute = Executor(desk.conn, no_short_way)
    try:
        desk.settle(taken, take=take)
    except redis.ResponseError as error:
        return "SHORT" in str(error)
    return False


@pytest.mark.parametrize("take", [0, 1, 64])
@pytest.mark.parametrize("given", [(), (result("a"),), (result("a"), InputPlan("n", "input"))])
def test_a_step_that_one_other_follows_goes_the_short_way(desk: Desk, given: tuple[InputPlan, ...], take: int) -> None:
    desk.start(desk.plan(step("a"), step("b", *given)))
    assert goes_the_short_way(desk, desk.take()["a"], take=take)


@pytest.mark.parametrize(
    "steps",
    [
        (step("b", result("a"), result("c")), step("c")),
        (step("b", each("a"), level=("a",)),),
        tuple(step(f"b{n}", result("a")) for n in range(4)),
    ],
    ids=["a join", "a list", "many consumers"],
)
def test_other_steps_go_the_long_way(desk: Desk, steps: tuple[StepPlan, ...]) -> None:
    desk.start(desk.plan(step("a", is_list=steps[0].depth > 0), *steps))
    assert not goes_the_short_way(desk, desk.take()["a"])


@pytest.mark.parametrize("case", ["failing", "paused", "retried", "something is due"])
def test_a_run_that_is_not_simple_goes_the_long_way(desk: Desk, case: str) -> None:
    desk.start(desk.plan(step("a"), step("b", result("a")), step("c", attempts=1), on_failure="stop"))
    taken = desk.take()
    match case:
        case "failing":
            desk.settle(taken["c"], "fatal")
        case "paused":
            desk.pause()
        case "retried":
            desk.settle(taken["a"], "fatal")
            desk.settle(taken["c"])
            assert desk.fact("b").state == "P", "nothing of it is known, as in a first life"
            desk.retry()
            taken = desk.take()
        case _:
            desk.now += LEASE
    assert not goes_the_short_way(desk, taken["a"])
    desk.check()


def test_what_follows_gets_no_more_slots_than_its_group_has(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), *(step(f"b{n}", result("a")) for n in range(3)), max_parallel=2))
    a = desk.take()["a"]
    reply = desk.tick(Settled(a.job_id, a.token, "ok", 0, b"1"), take=64)
    assert len(reply.taken) == 2
    desk.check()


def test_who_wants_less_than_follows_leaves_the_rest_to_the_next(desk: Desk) -> None:
    desk.start(desk.plan(step("a"), *(step(f"b{n}", result("a")) for n in range(3))))
    a = desk.take()["a"]
    desk.conn.zadd(desk.key("flow", "idle"), {"idle": desk.now + 60_000})
    assert [t.flow and str(t.flow.step_run) for t in desk.tick(Settled(a.job_id, a.token, "ok", 0, b"1"), take=2).taken] == ["b0", "b1"]
    assert desk.conn.lrange(keys.wake(desk.queue, "idle"), 0, -1) == [b"1"]
    desk.check()


def both_ways(desk: Desk, scenario: Callable[[], Iterator[TickReply]]) -> None:
    """What a scenario is answered and leaves does not depend on the way it goes."""
    found = []
    for alter in (None, the_long_way):
        desk.conn.flushall()
        desk.now, desk.execute = NOW, Executor(desk.conn, alter)
        found.append([(reply, state(desk.conn)) for reply in scenario()])
    assert found[0] == found[1]


def test_what_is_large_is_handed_over_until_the_call_is_full(desk: Desk) -> None:
    def scenario() -> Iterator[TickReply]:
        plan = desk.plan(step("a"), step("b", result("a"), InputPlan("n", "input")))
        for run_id in ALL_RUNS:
            desk.start(plan, run_id, b'"' + b"x" * 60_000 + b'"')
        taken = desk.tick(take=64, request="1").taken
        yield desk.tick(*(Settled(t.job_id, t.token, "ok", 0, b'"' + b"y" * 60_000 + b'"') for t in taken), take=64, request="2")

    both_ways(desk, scenario)


def test_completed_jobs_are_kept_up_to_a_hundred(desk: Desk) -> None:
    def scenario() -> Iterator[TickReply]:
        steps = [step("s0"), *(step(f"s{n}", result(f"s{n - 1}")) for n in range(1, 60))]
        for run_id in ALL_RUNS[:2]:
            desk.start(desk.plan(*steps), run_id)
        taken = desk.tick(take=64, request="first").taken
        for n in range(58):
            desk.now += 10
            reply = desk.tick(*(Settled(t.job_id, t.token, "ok", 0, b"1") for t in taken), take=64, request=f"r{n}")
            taken = reply.taken
            if n > 46:
                yield reply

    both_ways(desk, scenario)


def test_plain_jobs_get_their_turn(desk: Desk) -> None:
    def scenario() -> Iterator[TickReply]:
        desk.start(desk.plan(step("a"), step("b", result("a"))))
        (a,) = desk.tick(take=1, request="1").taken
        desk.publish("plain")
        yield desk.tick(Settled(a.job_id, a.token, "ok", 0, b"1"), take=64, request="2")

    both_ways(desk, scenario)


@pytest.mark.parametrize("case", ["lost", "decided", "not awaited", "not leased"])
def test_what_somebody_else_did_is_met_alike(desk: Desk, case: str) -> None:
    """A job that was lost has another epoch; a step that was decided before damages its run; a lease may be gone."""

    def scenario() -> Iterator[TickReply]:
        desk.start(desk.plan(step("a"), step("b", result("a")), step("c", result("b"))))
        (a,) = desk.tick(take=1, request="1").taken
        match case:
            case "lost":
                desk.conn.delete(desk.job("a"))
                desk.conn.zrem(desk.key("active"), desk.job_id("a"))
                desk.now += 70_000
                desk.sweep()
                (a,) = desk.tick(take=1, request="2").taken
                assert a.fact.epoch == 2
            case "decided":
                desk.conn.hset(keys.states(desk.queue, RUN), "b", "D1")
            case "not awaited":
                desk.conn.hset(keys.states(desk.queue, RUN), "a", "D1")
            case _:
                desk.conn.zrem(desk.key("active"), desk.job_id("a"))
        yield desk.tick(Settled(a.job_id, a.token, "ok", 0, b"1"), take=64, request="3")

    both_ways(desk, scenario)


def test_elements_of_two_steps_are_counted_out_of_one_list(desk: Desk) -> None:
    def scenario() -> Iterator[TickReply]:
        elements = (step("scan", each("read"), level=("read",)), step("look", each("read"), level=("read",)))
        desk.start(desk.plan(step("read", is_list=True), *elements, step("sum", gather("scan"), gather("look"))))
        (read,) = desk.tick(take=1, request="1").taken
        desk.stage(read, *(b"%d" % n for n in range(3)))
        taken = desk.tick(Settled(read.job_id, read.token, "list", 3), take=8, request="2").taken
        for n in range(2):
            ended = [t for t in taken if t.flow and t.flow.step_run.index == (n,)]
            assert len(ended) == 2
            yield desk.tick(*(Settled(t.job_id, t.token, "ok", 0, b"1") for t in ended), take=8, request=f"r{n}")
            desk.check()

    both_ways(desk, scenario)


def test_an_element_that_ends_lets_the_next_one_into_its_window(desk: Desk) -> None:
    def scenario() -> Iterator[TickReply]:
        steps = (step("read", is_list=True), step("scan", each("read"), level=("read",)), step("sum", gather("scan")))
        desk.start(desk.plan(*steps, window=2))
        (read,) = desk.tick(take=1, request="1").taken
        desk.stage(read, *(b"%d" % n for n in range(30)))
        taken = desk.tick(Settled(read.job_id, read.token, "list", 30), take=2, request="2").taken
        for n in range(15):
            reply = desk.tick(*(Settled(t.job_id, t.token, "ok", 0, b"1") for t in taken), take=2, request=f"r{n}")
            taken = reply.taken
            yield reply
        assert desk.header().state is RunState.RUNNING
        assert [t.flow and t.flow.step_run.step for t in taken] == ["sum"]

    both_ways(desk, scenario)


@pytest.mark.parametrize("seed", range(12))
def test_plain_jobs_are_exchanged(desk: Desk, seed: int) -> None:
    """Reported and taken at once: all there are or some, alone or with groups, from a queue that may be paused."""

    def scenario() -> Iterator[TickReply]:
        rng, held = random.Random(seed), list[Taken]()
        desk.conn.zadd(desk.key("flow", "idle"), {f"idle{n}": NOW + 10**9 for n in range(9)})
        for n in range(30):
            desk.now += rng.choice((0, 10))
            for k in range(rng.choice((0, 1, 2, 12))):
                desk.publish(f"p{n}.{k}", gid=rng.choice(("",) * 30 + ("g",)))
            if rng.random() < 0.2:
                desk.omniq(rng.choice(("pause", "resume")))
            rng.shuffle(held)
            ended = [held.pop() for _ in range(rng.randint(0, len(held)))]
            items = [Settled(t.job_id, t.token, "ok" if rng.random() < 0.98 else "fail") for t in ended]
            reply = desk.tick(*items[:64], take=rng.choice((0, 1, 4, 20)), request=f"r{n}", idle_ms=rng.choice((0, 50)))
            held += reply.taken
            yield reply

    both_ways(desk, scenario)


@pytest.mark.parametrize("seed", range(60))
def test_it_leaves_and_answers_what_the_long_way_does(desk: Desk, seed: int) -> None:
    for short, long in zip(list(Play(desk, seed, is_short=True)), Play(desk, seed, is_short=False), strict=True):
        assert short == long
