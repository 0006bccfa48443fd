"""Why a run failed: the step runs that failed by themselves, and which of them holds back a step that was never tried.

The culprit of a step run is found by walking the plan backwards, along the inputs that hand a failure on, inside the
lists that both sides share. That needs no record of who failed because of whom.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator

from omniq_flow.client.client import Client
from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import Plan
from omniq_flow.model.routes import lists_between
from omniq_flow.model.states import StepState
from omniq_flow.observe.reading import failures_in
from omniq_flow.observe.snapshot import RunSnapshot, StepFailure
from omniq_flow.ops.runs import run_facts, run_facts_page, run_outputs

PAGE = 2_000
MOST_PAGES = 100
"""A search for failures that the history has forgotten looks at some 200,000 step runs, not more."""


def failures(client: Client, snapshot: RunSnapshot, limit: int = 20) -> tuple[StepFailure, ...]:
    """The step runs that failed by themselves, at most `limit`.

    The snapshot's own if they are all; else the stored states are searched, in bounded slices.
    """
    known = {failure.step_run.id: failure for failure in snapshot.failures}
    wanted = min(snapshot.failed, limit)
    cursor = 0
    for _ in range(MOST_PAGES):
        if len(known) >= wanted:
            break
        cursor, facts = client.execute(run_facts_page(snapshot.header.queue, snapshot.run_id, cursor, PAGE))
        ids = tuple(step_run.id for step_run, fact in facts.items() if fact.state is StepState.FAILED and step_run.id not in known)
        known |= _read_failures(client, snapshot, ids[: limit - len(known)])
        if cursor == 0:
            break
    return tuple(sorted(known.values(), key=lambda f: (_place(snapshot.plan, f.step_run.step), f.step_run.index))[:limit])


def culprits(plan: Plan, failed: Collection[StepRun], blocked: StepRun) -> list[StepRun]:
    """Those of the failed step runs that keep `blocked` from being tried, the nearest first.

    With fewer indices than its step has levels, `blocked` stands for all elements below them.
    """
    found: dict[StepRun, None] = {}
    seen: set[StepRun] = set()
    todo = deque([blocked])
    while todo:
        for above in _above(plan, todo.popleft()):
            if above not in seen:
                seen.add(above)
                todo.append(above)
                found.update(dict.fromkeys(sorted(f for f in failed if _lies_in(f, above))))
    return list(found)


def causes(snapshot: RunSnapshot, known: Collection[StepFailure]) -> dict[str, tuple[StepFailure, ...]]:
    """For each step with step runs that were never tried because of a failure: the failures at the root of it."""
    by_run = {failure.step_run: failure for failure in known}
    blocked = [s.step for s in snapshot.steps if s.upstream_failed or s.state == StepState.UPSTREAM_FAILED.word]
    return {step: tuple(by_run[run] for run in culprits(snapshot.plan, by_run, StepRun(step))) for step in blocked}


def _above(plan: Plan, step_run: StepRun) -> Iterator[StepRun]:
    """What hands its failure on to a step run: producers, each with the indices that are known of it."""
    consumer = plan.by_name[step_run.step]
    for i in consumer.inputs:
        if i.is_edge:
            producer = plan.by_name[i.step]
            depth = producer.depth - lists_between(i, producer.level, consumer.level)
            # A gather that records failures is stopped only by a list that was never made.
            name = producer.level[depth] if i.kind == "gather" and i.record else i.step
            yield StepRun(name, step_run.index[:depth])


def _lies_in(step_run: StepRun, around: StepRun) -> bool:
    return step_run.step == around.step and step_run.index[: len(around.index)] == around.index


def _place(plan: Plan, step: str) -> int:
    return next(n for n, s in enumerate(plan.steps) if s.name == step)


def _read_failures(client: Client, snapshot: RunSnapshot, ids: tuple[str, ...]) -> dict[str, StepFailure]:
    if not ids:
        return {}
    queue, run_id = snapshot.header.queue, snapshot.run_id
    facts, outputs = client.execute_all((run_facts(queue, run_id, ids), run_outputs(queue, run_id, ids)))
    return failures_in(ids, facts, outputs)
