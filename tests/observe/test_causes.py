"""Whoever asks why a step was never tried is told the failure at the root, nothing in between."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.flow.levels import infer
from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import InputPlan, Plan, StepPlan
from omniq_flow.model.states import StepState
from omniq_flow.observe.causes import causes, culprits, failures
from omniq_flow.observe.reading import read_run
from omniq_flow.ops.runs import run_facts_page
from tests.observe.drive import SKIP, Bad, Drive
from tests.observe.flows import join, nested, pages, plan, take


def runs(*texts: str) -> list[StepRun]:
    return [StepRun.parse(text) for text in texts]


@pytest.mark.parametrize(
    ("blocked", "found"),
    [("j", ["x2"]), ("k", ["x2"]), ("x3", ["x2"]), ("y1", []), ("x2", []), ("x1", [])],
)
def test_the_culprit_of_a_chain_is_its_first_failure(blocked: str, found: list[str]) -> None:
    assert culprits(join("q"), runs("x2"), StepRun(blocked)) == runs(*found)


def test_two_branches_that_failed_are_both_named() -> None:
    assert culprits(join("q"), runs("y1", "x1"), StepRun("j")) == runs("y1", "x1"), "the nearest first"


@pytest.mark.parametrize(
    ("blocked", "found"),
    [
        ("clean[3]", []),
        ("clean[4]", ["read[4]"]),
        ("merge", ["read[4]", "read[7]"]),
        ("last", ["read[4]", "read[7]"]),
        ("clean", ["read[4]", "read[7]"]),
    ],
)
def test_an_element_is_blocked_by_its_own_only(blocked: str, found: list[str]) -> None:
    assert culprits(pages("q"), runs("read[7]", "read[4]"), StepRun.parse(blocked)) == runs(*found)


def test_an_inner_gather_is_blocked_by_its_own_list_only() -> None:
    failed = runs("cell[0][1]", "cell[2][0]", "regions[5]")
    assert culprits(nested("q"), failed, StepRun("sum", (0,))) == runs("cell[0][1]")
    assert culprits(nested("q"), failed, StepRun("sum", (1,))) == []
    assert culprits(nested("q"), failed, StepRun("sum", (5,))) == runs("regions[5]")
    assert culprits(nested("q"), failed, StepRun("count")) == [*runs("cell[0][1]", "cell[2][0]"), *runs("regions[5]")]


def test_a_gather_that_records_failures_is_stopped_by_the_list_alone() -> None:
    assert culprits(pages("q", record=True), runs("read[4]"), StepRun("merge")) == []
    assert culprits(pages("q", record=True), runs("split"), StepRun("merge")) == runs("split")


def test_the_reason_names_the_element_though_its_job_is_gone(client: Client, queue: str, redis_conn: redis.Redis) -> None:
    """A map of 100, element 42 fails, its failed job is removed at once (C27)."""
    drive = Drive(client, pages(queue))
    ends: Any = lambda run: list(range(100)) if run.step == "split" else Bad("torn page") if str(run) == "read[42]" else 1  # noqa: E731
    run_id = drive.finished(ends)
    for job in redis_conn.scan_iter(f"{{{queue}}}:job:*"):
        redis_conn.delete(job)
    redis_conn.delete(f"{{{queue}}}:failed")
    snapshot = read_run(client, queue, run_id)
    assert snapshot.word == "failed"
    found = failures(client, snapshot)
    assert [str(f) for f in found] == ["read[42]: ValueError: torn page"]
    assert {name: [str(f.step_run) for f in why] for name, why in causes(snapshot, found).items()} == {
        "clean": ["read[42]"],
        "merge": ["read[42]"],
        "last": ["read[42]"],
    }


def test_failures_that_the_history_has_forgotten_are_searched(client: Client, queue: str) -> None:
    drive = Drive(client, pages(queue, attempts=1))
    early: Any = lambda run: list(range(3_000)) if run.step == "split" else Bad("early") if str(run) in ("read[0]", "read[1]") else 1  # noqa: E731
    run_id = drive.finished(early)
    snapshot = read_run(client, queue, run_id)
    assert snapshot.failed == 2
    assert snapshot.failures == (), "the history holds the newest events only"
    assert [str(f.step_run) for f in failures(client, snapshot)] == ["read[0]", "read[1]"]


def test_failures_are_bounded(client: Client, queue: str) -> None:
    ends: Any = lambda run: list(range(200)) if run.step == "split" else Bad("all of them")  # noqa: E731
    snapshot = read_run(client, queue, Drive(client, pages(queue)).finished(ends))
    assert snapshot.failed == 200
    assert len(failures(client, snapshot, limit=7)) == 7
    assert len(failures(client, snapshot, limit=120)) == 120


def random_plan(chance: random.Random, queue: str) -> Plan:
    """Up to a dozen steps, wired at random as far as the rules of levels allow."""
    steps: list[StepPlan] = []
    for n in range(chance.randint(3, 12)):
        for _ in range(20):
            inputs = {i.param: i for i in (random_input(chance, steps) for _ in range(chance.randint(0, 3))) if i}
            new = StepPlan(f"s{n}", (), tuple(inputs.values()), chance.random() < 0.4)
            levels, faults = infer([*steps, new], set())
            if not faults and len(levels[new.name]) <= 3:
                steps.append(new)
                break
    levels, faults = infer(steps, set())
    assert not faults
    return plan(queue, *(replace(s, level=levels[s.name]) for s in steps))


def random_input(chance: random.Random, steps: list[StepPlan]) -> InputPlan | None:
    if not steps:
        return None
    kind: Any = chance.choice(["result", "result", "each", "gather", "gather", "after"])
    producer = chance.choice(steps)
    return take(
        kind, producer.name, up=chance.choice([1, 1, 2]) if kind == "gather" else 1, record=kind == "gather" and chance.random() < 0.3
    )


@pytest.mark.parametrize("seed", range(40))
def test_a_step_run_has_a_culprit_exactly_if_a_failure_blocked_it(client: Client, queue: str, seed: int) -> None:
    """What the scripts decided, and what the walk over the plan finds, agree on every step run of random flows."""
    chance = random.Random(seed)
    drawn = random_plan(chance, queue)
    mapped = {name for s in drawn.steps for name in s.level}

    def ends(run: StepRun) -> Any:
        if (luck := chance.random()) < 0.15:
            return Bad("bad luck")
        if luck < 0.2:
            return SKIP
        return list(range(chance.randint(0, 3))) if run.step in mapped else 1

    drive = Drive(client, drawn)
    run_id = drive.start()
    drive.work(ends)
    snapshot = read_run(client, queue, run_id)
    assert snapshot.is_ended
    _, facts = client.execute(run_facts_page(queue, run_id, 0, 10_000))
    failed = [run for run, fact in facts.items() if fact.state is StepState.FAILED]
    blocked = {run for run, fact in facts.items() if fact.state is StepState.UPSTREAM_FAILED}
    assert {run for run in facts if run not in failed and culprits(drawn, failed, run)} == blocked
    assert {f.step_run for f in failures(client, snapshot, 1_000)} == set(failed)
