"""run_remove: a run that has ended goes now, and before all others."""

from __future__ import annotations

import pytest

from omniq_flow.errors import Conflict, NotFound
from omniq_flow.ops import runs
from tests.flowscripts.desk import OTHER, RUN, Desk, step


def remove(desk: Desk, run_id: str = RUN) -> None:
    desk.execute(runs.run_remove(desk.queue, run_id, now_ms=desk.now))


def end(desk: Desk, run_id: str, kind: str = "ok") -> None:
    desk.start(desk.plan(step("a"), step("b")), run_id, key=run_id)
    for held in desk.take().values():
        desk.settle(held, "fatal" if kind == "fail" else "ok", value=b'{"type":"E","message":"no"}')


@pytest.mark.parametrize("kind", ["ok", "fail"])
def test_a_run_goes_with_all_its_keys_and_others_stay(desk: Desk, kind: str) -> None:
    end(desk, OTHER)
    kept = set(desk.everything())
    end(desk, RUN, kind)
    remove(desk)
    with pytest.raises((Conflict, NotFound)):
        desk.retry(epoch=1)
    while desk.purge(limit=1).has_more:
        remove(desk)
    assert not [name for name in desk.everything() if RUN in name]
    assert kept <= set(desk.everything())
    with pytest.raises(NotFound):
        remove(desk)
    desk.check()


def test_a_run_that_goes_on_is_refused_and_told_what_to_do(desk: Desk) -> None:
    desk.start(desk.plan(step("a")))
    before = desk.everything()
    with pytest.raises(Conflict, match=f"run {RUN} is running") as refused:
        remove(desk)
    assert "runs cancel" in refused.value.hint
    assert desk.everything() == before


def test_what_was_asked_for_does_not_bring_a_removed_run_back(desk: Desk) -> None:
    end(desk, RUN, "fail")
    desk.omniq("retry_failed", desk.job_id("a"), desk.now)
    desk.take()
    remove(desk)
    desk.now += 2_000
    desk.tick()
    while desk.purge().has_more:
        pass
    assert not [name for name in desk.everything() if f":flow:r:{RUN}" in name or f":flow:asked:{RUN}" in name]
