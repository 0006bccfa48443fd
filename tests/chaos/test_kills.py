"""Workers and servers die in the middle of real work: every run succeeds, and every join starts once."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter

import pytest

from omniq_flow.model.states import RunState
from tests.cases.rig import Rig
from tests.support.until import wait_until

RUNS = 50
KILL_EVERY_S = 1.0
JOINS = ("keywords", "outline", "report")


def dispatches(rig: Rig, run: str) -> Counter[str]:
    """How often each step run was given a job, as the run's history tells."""
    return Counter(event.event.split()[1] for event in rig.events(run) if event.event.startswith("Q "))


@pytest.mark.timeout(180)
def test_workers_killed_every_second(rig: Rig) -> None:
    """3 workers, one killed each second and replaced, 50 runs of doc_pipeline.

    None is killed before the one that came last has begun to serve: on a busy machine there would never be any.
    """
    workers = rig.workers(3, "-c", "4")
    runs = [rig.start({"path": "book.md"}) for _ in range(RUNS)]
    kills = 0
    victims = itertools.cycle(range(3))
    next_kill = time.monotonic() + KILL_EVERY_S

    def all_ended() -> bool:
        nonlocal kills, next_kill
        if time.monotonic() >= next_kill and all(" serves " in worker.said() for worker in workers):
            victim = next(victims)
            workers[victim].kill()
            workers[victim] = rig.worker("-c", "4", wait=False)
            kills, next_kill = kills + 1, time.monotonic() + KILL_EVERY_S
        return all(rig.header(run).state.is_ended for run in runs)

    wait_until(all_ended, "all runs end", 150)
    assert [rig.header(run).state for run in runs] == [RunState.SUCCEEDED] * RUNS
    assert kills >= 3, "the runs were too short to be disturbed"
    for run in runs:
        assert {step: n for step, n in dispatches(rig, run).items() if step in JOINS} == dict.fromkeys(JOINS, 1)
        assert set(dispatches(rig, run).values()) == {1}
        report = json.loads((rig.folder / "reports" / run / "report.json").read_text(encoding="utf-8"))
        assert report["pages"] == 40


@pytest.mark.timeout(120)
def test_the_server_is_killed_and_started_again(rig: Rig) -> None:
    """The workers come back by themselves and the runs succeed, nothing done before is done again."""
    crew = rig.workers(2, "-c", "2")
    runs = [rig.start({"path": "book.md", "words_per_page": 40}) for _ in range(3)]
    wait_until(lambda: any(state.startswith("analyse") for state in dispatches(rig, runs[0])), "pages are analysed")
    rig.server.kill()
    rig.server.start()
    assert [rig.ends(run, 60) for run in runs] == [RunState.SUCCEEDED] * 3
    assert all(worker.is_alive for worker in crew)
    for run in runs:
        assert {step: n for step, n in dispatches(rig, run).items() if step in JOINS} == dict.fromkeys(JOINS, 1)
