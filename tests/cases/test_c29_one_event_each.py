"""C29: a failure that spreads raises no events, or raises them twice: whoever watches sees only the step that failed itself."""

from __future__ import annotations

from omniq_flow.model.states import RunState
from omniq_flow.observe.snapshot import RunSnapshot
from omniq_flow.observe.waiting import wait_run
from omniq_flow.ops.runs import HistoryEntry, run_history
from tests.cases.rig import Rig

RUNS = 4
# a fails; b, c, d and e stand behind it, each in another way; ok does not.
FLOW = """
flow = Flow("case", retry=Retry(attempts=2, backoff="fixed", delay="0.1s"))

@flow.step
def ok(ctx: StepContext) -> int:
    while not os.path.exists(f"go {ctx.run_id}"):
        time.sleep(0.01)
    return 1

@flow.step
def a(ctx: StepContext) -> int:
    raise ValueError("no")

@flow.step
def b(x: int = result(a)) -> int:
    return x

@flow.step
def c(x: int = result(b)) -> int:
    return x

@flow.step(after=[a])
def d() -> int:
    return 1

@flow.step
def e(x: int = result(c), y: int = result(d), z: int = result(ok)) -> int:
    return x + y + z
"""
EDGES = (("a", "b"), ("b", "c"), ("a", "d"), ("c", "e"), ("d", "e"))


class Watcher:
    """Polls the event log of a run and keeps what is new each time."""

    def __init__(self, rig: Rig, run: str) -> None:
        self.rig, self.run = rig, run
        self.seen: list[HistoryEntry] = []

    def look(self) -> None:
        news = self.rig.client.execute(run_history(self.rig.flow.queue, self.run, len(self.seen)))
        self.seen.extend(news)


def test_c29_each_change_of_state_is_told_once(rig: Rig) -> None:
    """One event tells of the failure and one of each step behind it, in the order of the graph; the end of the run comes last.

    That a run is failing is an event of its own; it comes once, and only the last one is the run's end. What is behind the failure
    is told while the run still goes on: `ok` ends only after that.
    """
    rig.write(FLOW)
    rig.workers(2)
    watchers = [Watcher(rig, rig.start()) for _ in range(RUNS)]
    pictures: list[RunSnapshot] = []
    for watcher in watchers:
        for picture in wait_run(rig.client, rig.flow.queue, watcher.run, timeout_ms=30_000):
            pictures.append(picture)
            if picture.step("c").state == "upstream_failed":
                (rig.folder / f"go {watcher.run}").touch()
            for each in watchers:
                each.look()
        assert pictures[-1].header.state is RunState.FAILED
        watcher.look()
        events = [entry.event for entry in watcher.seen]
        assert [entry.rev for entry in watcher.seen] == list(range(1, len(events) + 1)), "none is missed, none is told twice"
        assert watcher.seen == rig.events(watcher.run), "what was told is never changed"
        of_steps = [event for event in events if not event.startswith("run ")]
        told = ["Q a 1", "Q ok 1", "retry a 1 1", "F a 1", "U b 0", "U c 0", "U d 0", "U e 0", "D ok 1"]
        assert sorted(of_steps) == sorted(told)
        decided = {event.split()[1]: n for n, event in enumerate(events) if event[0] in "DFU"}
        assert all(decided[before] < decided[behind] for before, behind in EDGES)
        assert [event for event in events if event.startswith("run ")] == ["run running", "run failing", "run failed"]
        assert events[events.index("run failing") - 1] == "F a 1"
        assert events[-1] == "run failed"
        assert watcher.seen[-1].at_ms == rig.header(watcher.run).ended_ms
        words = {s.step: s.state for s in pictures[-1].steps}
        assert words == {"ok": "succeeded", "a": "failed"} | dict.fromkeys("bcde", "upstream_failed")
    before_the_end = {picture.step("c").state for picture in pictures if not picture.is_ended}
    assert "upstream_failed" in before_the_end, "what is behind a failure is told while the run still goes on"
