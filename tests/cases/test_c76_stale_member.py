"""C76: a late or foreign report counts as a member of a fan-in, which then starts before its last element is done."""

from __future__ import annotations

from pathlib import Path

from omniq_flow.model.names import FlowJobId, StepRun
from omniq_flow.model.runs import new_run_id
from omniq_flow.model.states import RunState, StepState
from omniq_flow.ops import keys
from omniq_flow.ops.runs import run_start, run_sweep
from omniq_flow.ops.ticks import Settled, TickReply, list_stage, tick
from tests.cases.effects import Effect
from tests.cases.rig import Rig
from tests.support.until import wait_until

FLOW = """
from pathlib import Path

flow = Flow("case", input=N, lease="1s", retry=QUICK)

@flow.step
def source(n: N) -> list[int]:
    return [0, 1]

@flow.step
def item(ctx: StepContext, n: N, i: int = each(source)) -> str:
    effect(ctx, f"begins {i}")
    is_first = os.getpid() == int(Path(n.text, "first").read_text())
    while not Path(n.text, "first may end" if is_first else f"second may end {i}").exists():
        time.sleep(0.01)
    effect(ctx, f"ends {i}")
    return "first" if is_first else "second"

@flow.step
def join(ctx: StepContext, items: list[str] = gather(item)) -> list[str]:
    effect(ctx)
    return items
"""


class Frozen:
    """A run whose two items began in a worker that was then frozen."""

    def __init__(self, rig: Rig) -> None:
        rig.write(FLOW)
        self.rig = rig
        self.worker = rig.worker()
        self._file("first").write_text(str(self.worker.pid))
        self.run = rig.start({"text": str(rig.folder)})
        wait_until(lambda: len(self._effects("begins")) == 2, "both items began")
        self.worker.freeze()
        # It would end its items as soon as it can.
        self._file("first may end").touch()

    def second_pass(self) -> None:
        """Another worker begins both items again and ends one of them."""
        other = self.rig.worker()
        wait_until(lambda: {e.pid for e in self._effects("begins", 2)} == {other.pid}, "another worker does them")
        wait_until(lambda: len(self._effects("begins")) == 4, "both items began again")
        self._file("second may end 0").touch()
        wait_until(lambda: self.rig.state(self.run, "item[0]") is StepState.SUCCEEDED, "one item is done")

    def is_refused_after_the_thaw(self) -> None:
        """Both late reports come to nothing: the join waits for the second pass, which then decides it."""
        rig, run = self.rig, self.run
        before = rig.states(run), rig.counters(), [rig.conn.get(name) for name in rig.counters() if name.endswith("count")]
        self.worker.thaw()
        wait_until(lambda: self.worker.said().count("lease lost") == 2, "the worker learns that it lost both")
        for i in (0, 1):
            assert f"lease lost: item[{i}] of run {run}: " in self.worker.said()
        after = rig.states(run), rig.counters(), [rig.conn.get(name) for name in rig.counters() if name.endswith("count")]
        assert after == before
        assert after[0]["item[1]"] == "queued"
        assert after[2] == [b"1"]
        # A lease whose job is gone is dropped when it lapses, its slot with it.
        wait_until(lambda: rig.conn.zcard(keys.queue_key(rig.flow.queue, "active")) == 1, "one lease is left")
        rig.check()
        self._file("second may end 1").touch()
        assert rig.ends(run) is RunState.SUCCEEDED
        assert rig.output(run, "join") == ["second", "second"]
        (join,) = rig.effects("start", run)
        assert join.at > max(e.at for e in self._effects("ends", 2))
        assert rig.dispatches(run)["join"] == 1
        assert rig.counters() == []

    def _effects(self, word: str, last: int = 0) -> list[Effect]:
        found = [e for i in (0, 1) for e in self.rig.effects(f"{word} {i}")]
        return sorted(found, key=lambda effect: effect.at)[-last:]

    def _file(self, name: str) -> Path:
        return self.rig.folder / name


def test_c76_what_a_frozen_worker_reports_late_is_not_counted(rig: Rig) -> None:
    """A worker that was frozen beyond its lease ends its items after another began them again: refused, told, and not counted.

    A run cannot be retried as a whole yet; a lapsed lease gives the same second pass over items that are still being worked.
    """
    frozen = Frozen(rig)
    frozen.second_pass()
    assert rig.dispatches(frozen.run)["item-0"] == 1, "the same job, another attempt"
    frozen.is_refused_after_the_thaw()


def test_c76_what_was_made_again_under_a_new_epoch_does_not_count_the_old_job(rig: Rig) -> None:
    """When the records of the jobs are gone and a sweep makes them again, the reports of the old jobs are refused and not counted."""
    frozen = Frozen(rig)
    queue = rig.flow.queue
    old = [str(FlowJobId(frozen.run, StepRun("item", (i,)), 1)) for i in (0, 1)]
    assert rig.conn.unlink(*(keys.job(queue, job) for job in old)) == 2
    assert rig.client.execute(run_sweep(queue, frozen.run)).lost == 2
    epochs = [rig.facts(frozen.run)[StepRun("item", (i,))].epoch for i in (0, 1)]
    assert sorted(epochs) == [2, 3]
    frozen.second_pass()
    frozen.is_refused_after_the_thaw()


def test_c76_only_its_own_elements_count_into_a_fan_in(rig: Rig) -> None:
    """Reports that name an element that is not there, another run, an old epoch or a made-up token leave the counter as it is."""
    rig.write(FLOW)
    plan = rig.flow.plan()
    client, queue = rig.client, plan.queue

    def beat(request: str, *settled: Settled) -> TickReply:
        return client.execute(tick(queue, worker="w", request=request, salt="s", settled=settled, take=8))

    runs = [new_run_id(), new_run_id()]
    for run in runs:
        client.execute(run_start(plan, run, b"{}", with_plan=True))
    sources = beat("1").taken
    for source in sources:
        client.execute(list_stage(queue, source.job_id, source.token, 0, [b"0", b"1"]))
    taken = beat("2", *(Settled(s.job_id, s.token, "list", 2) for s in sources)).taken
    mine, other = ({str(t.flow.step_run): t for t in taken if t.flow and t.flow.run_id == run} for run in runs)
    token, run = mine["item[0]"].token, runs[0]
    assert beat("3", Settled(mine["item[1]"].job_id, mine["item[1]"].token, "ok", 0, b'"1"')).codes == ("OK",)
    (counter,) = [name for name in rig.counters() if run in name and name.endswith(":count")]
    before = rig.conn.get(counter), rig.facts(run)
    foreign = [
        Settled(f"f.{run}.item-2.1", token, "ok", 0, b'"x"'),
        Settled(f"f.{run}.item-0.2", token, "ok", 0, b'"x"'),
        Settled(f"f.{run}.item-0.1", "0" * 40, "ok", 0, b'"x"'),
        Settled(f"f.{run}.item-0.1", other["item[0]"].token, "ok", 0, b'"x"'),
        Settled(f"f.{run}.item-0.1", "", "ok", 0, b'"x"'),
        Settled(f"f.{run}.join.1", token, "ok", 0, b'"x"'),
        Settled("item-0", token, "ok", 0, b'"x"'),
        # Heard before: counted once, however often it comes.
        Settled(mine["item[1]"].job_id, mine["item[1]"].token, "ok", 0, b'"x"'),
    ]
    assert beat("4", *foreign).codes == ("LOST",) * 7 + ("DUP",)
    assert (rig.conn.get(counter), rig.facts(run)) == before
    assert before[0] == b"1"
    rig.check()
