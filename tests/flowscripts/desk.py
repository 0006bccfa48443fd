"""A queue and one worker at it: what the tests of the scripts need to bring runs to where they want them."""

from __future__ import annotations

import itertools
from typing import Any, cast

import redis

from omniq_flow.model.names import FlowJobId, StepRun
from omniq_flow.model.plan import InputPlan, Plan, StepOptions, StepPlan
from omniq_flow.model.runs import Fact, RunHeader
from omniq_flow.ops import keys, rerun, runs, ticks
from omniq_flow.ops.command import Arg, Command
from omniq_flow.ops.ticks import OutcomeKind, Settled, Taken, TickReply
from tests.invariants.checker import assert_holds
from tests.oracle.executor import Executor

NOW = 1_800_000_000_000
RUN, OTHER, AGAIN = "0" * 25 + "A", "0" * 25 + "B", "0" * 25 + "C"
LEASE = 30_000


def step(
    name: str, *inputs: InputPlan, level: tuple[str, ...] = (), is_list: bool = False, attempts: int = 3, lease_ms: int = LEASE
) -> StepPlan:
    return StepPlan(name, level, inputs, is_list, StepOptions(attempts=attempts, lease_ms=lease_ms))


def result(of: str, **marks: bool) -> InputPlan:
    return InputPlan(f"{of}_value", "result", of, **marks)


def each(of: str) -> InputPlan:
    return InputPlan(f"{of}_element", "each", of)


def gather(of: str, **marks: bool) -> InputPlan:
    return InputPlan(f"{of}_values", "gather", of, **marks)


class Desk:
    """Runs operations at a time of its own; `check` looks at all invariants."""

    def __init__(self, conn: redis.Redis, queue: str) -> None:
        self.conn, self.queue, self.now = conn, queue, NOW
        self.execute = Executor(conn)
        self._requests = itertools.count(1)

    def plan(self, *steps: StepPlan, **options: Any) -> Plan:
        return Plan("flow", self.queue, steps, **options)

    def start(self, plan: Plan, run_id: str = RUN, given: bytes = b"{}", *, with_plan: bool = True, **more: Any) -> runs.Started:
        return self.execute(runs.run_start(plan, run_id, given, with_plan=with_plan, now_ms=self.now, **more))

    def tick(self, *settled: Settled, take: int = 0, request: str = "", worker: str = "w", idle_ms: int = 0, budget: int = 0) -> TickReply:
        op = ticks.tick(
            self.queue,
            worker=worker,
            request=request or f"r{next(self._requests)}",
            salt="salt",
            settled=settled,
            take=take,
            idle_ms=idle_ms,
            budget=budget,
            now_ms=self.now,
        )
        return self.execute(op)

    def take(self, most: int = 64, **more: Any) -> dict[str, Taken]:
        """Lease what is there; by step run, or by id for plain jobs."""
        return {t.flow.step_run.id if t.flow else t.job_id: t for t in self.tick(take=most, **more).taken}

    def settle(self, taken: Taken, kind: OutcomeKind = "ok", number: int = 0, value: bytes = b"1", error: str = "", **more: Any) -> str:
        return self.tick(Settled(taken.job_id, taken.token, kind, number, value, error), **more).codes[0]

    def stage(self, taken: Taken, *elements: bytes, offset: int = 0) -> None:
        self.execute(ticks.list_stage(self.queue, taken.job_id, taken.token, offset, elements))

    def settle_list(self, taken: Taken, *elements: bytes, **more: Any) -> str:
        if elements:
            self.stage(taken, *elements)
        return self.settle(taken, "list", len(elements), **more)

    def sweep(self, run_id: str = RUN, **more: Any) -> runs.Swept:
        return self.execute(runs.run_sweep(self.queue, run_id, now_ms=self.now, **more))

    def retry(self, run_id: str = RUN, *, epoch: int = 0, **more: Any) -> runs.Retried:
        """Retry a run at the epoch it is at, or at a given one."""
        seen = epoch or self.header(run_id).epoch
        return self.execute(runs.run_retry(self.queue, run_id, epoch=seen, now_ms=self.now, **more))

    def cancel(self, run_id: str = RUN, **more: Any) -> runs.Cancelled:
        return self.execute(runs.run_cancel(self.queue, run_id, now_ms=self.now, **more))

    def rerun(self, *steps: str, run_id: str = AGAIN, of: str = RUN, **more: Any) -> rerun.Rerun:
        """One call: a re-run from these steps, or of the whole."""
        plan = self.execute(runs.plan_of(self.queue, self.header(of).plan_sha))
        keep = rerun.kept_steps(plan, steps)
        return self.execute(rerun.run_rerun(self.queue, run_id, of, keep=keep, now_ms=self.now, **more))

    def pause(self, run_id: str = RUN, **more: Any) -> runs.PauseChanged:
        return self.execute(runs.run_pause(self.queue, run_id, now_ms=self.now, **more))

    def resume(self, run_id: str = RUN, **more: Any) -> runs.PauseChanged:
        return self.execute(runs.run_resume(self.queue, run_id, now_ms=self.now, **more))

    def purge(self, **more: Any) -> runs.Purged:
        return self.execute(runs.run_purge(self.queue, now_ms=self.now, **more))

    def publish(self, job_id: str, payload: str = "plain", attempts: int = 3, gid: str = "") -> None:
        self.omniq("enqueue", job_id, payload, attempts, LEASE, 1_000, self.now, 0, gid, 1)

    def omniq(self, name: str, *args: Arg) -> Any:
        """One of the operations of any OmniQ client; its raw reply."""
        return self.execute(Command(f"omniq/{name}", (keys.anchor(self.queue),), args, lambda reply: reply))

    # -- looking ------------------------------------------------------------------------

    def key(self, *parts: str) -> str:
        return keys.queue_key(self.queue, *parts)

    def job_id(self, step_run: str, epoch: int = 1, run_id: str = RUN) -> str:
        return str(FlowJobId(run_id, StepRun.parse(step_run), epoch))

    def job(self, step_run: str, epoch: int = 1, run_id: str = RUN) -> str:
        return keys.job(self.queue, self.job_id(step_run, epoch, run_id))

    def field(self, key: str, name: str) -> str:
        value = cast("bytes | None", self.conn.hget(key, name))
        return "" if value is None else value.decode()

    def fact(self, step_run: str, run_id: str = RUN) -> Fact:
        return Fact.parse(self.field(keys.states(self.queue, run_id), step_run))

    def output(self, step_run: str, run_id: str = RUN) -> str:
        return self.field(keys.outputs(self.queue, run_id), step_run)

    def header(self, run_id: str = RUN) -> RunHeader:
        return self.execute(runs.run_header(self.queue, run_id))

    def events(self, run_id: str = RUN) -> list[str]:
        return [e.event for e in self.execute(runs.run_history(self.queue, run_id))]

    def everything(self) -> dict[str, object]:
        """Each key of the server with what it holds: equal means that nothing was changed. Members of hashes and sets are sorted, for
        a large one is stored in another order while the server makes room, which reading moves on."""
        names = sorted(cast("list[bytes]", self.conn.keys("*")))
        with self.conn.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.type(name)
            for name, kind in zip(names, pipe.execute(), strict=True):
                {b"hash": pipe.hgetall, b"set": pipe.smembers}.get(kind, pipe.dump)(name)
            values = pipe.execute()
        return {name.decode(): _sorted(value) for name, value in zip(names, values, strict=True)}

    def check(self) -> None:
        assert_holds(self.conn, self.queue, self.now)


def _sorted(value: Any) -> object:
    if isinstance(value, dict):
        return sorted(value.items())
    return sorted(value) if isinstance(value, set) else value
