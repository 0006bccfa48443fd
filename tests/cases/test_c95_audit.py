"""C95: a run was changed from outside, and nothing tells by whom, what or when."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from omniq_flow.model.states import RunState
from omniq_flow.observe.jobs import read_jobs
from omniq_flow.observe.run_watch import Focus, look_closely
from omniq_flow.tui.actions import Action, Hands, Outcome, remove_jobs, retry_jobs, run_jobs_now
from omniq_flow.tui.run_actions import run_action
from omniq_flow.tui.run_text import history_lines, log_lines
from omniq_flow.tui.text import plain
from tests.cases.command import command
from tests.cases.rig import Rig
from tests.support.until import wait_until

FLOW = """
flow = Flow("case", retry=Retry(attempts=2, backoff="fixed", delay="600s", jitter=False))

@flow.step
def items() -> list[int]:
    return [0, 1, 2, 3]

@flow.step
def work(ctx: StepContext, i: int = each(items)) -> int:
    effect(ctx)
    if ctx.attempt == 1 and i < 3:
        raise ValueError("no")
    return i

@flow.step(retry=NO_RETRY)
def last(ctx: StepContext, found: list[int] = gather(work)) -> int:
    effect(ctx)
    if not os.path.exists("repaired"):
        raise ValueError("broken")
    return len(found)
"""


def test_c95_every_action_of_two_users_is_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ann at the command line and Bob at the screen steer one run in all ways there are: its list tells when, who, what, to which
    part of it, before and after; the command, the screen and the log tell the same.
    """
    rig.write(FLOW)
    rig.worker()
    began_ms = time.time() * 1000
    run = rig.start()

    def delayed() -> dict[str, str]:
        found = read_jobs(rig.client, "case", "delayed").jobs
        return {str(job.step.step_run): job.job_id for job in found if job.step}

    wait_until(lambda: len(delayed()) == 3, "three are in back-off")
    jobs = delayed()
    hands = Hands(rig.url)

    def ann(*words: str) -> None:
        monkeypatch.setenv("LOGNAME", "ann")
        assert command(rig, *words).code == 0, words

    def bob(choose: Callable[[], Action | None]) -> None:
        monkeypatch.setenv("LOGNAME", "bob")
        action = choose()
        assert action is not None
        done: list[Outcome] = list(hands.carry_out(action, lambda outcomes: True))
        assert done, action
        assert all(one.is_done for one in done), done

    bob(lambda: run_action("pause", [rig.header(run)]))
    ann("runs", "resume", run, "--reason", "go on [b]")
    ann("jobs", "run-now", "case", jobs["work[0]"])
    bob(lambda: run_jobs_now("case", [jobs["work[1]"]]))
    bob(lambda: remove_jobs("case", "delayed", [jobs["work[2]"]]))
    assert rig.ends(run) is RunState.FAILED
    bob(lambda: run_action("retry", [rig.header(run)]))
    wait_until(lambda: "work[2]" in delayed(), "the one that was removed is in back-off again")
    ann("runs", "cancel", run, "--yes", "--reason", "wrong customer")
    assert rig.ends(run) is RunState.CANCELLED
    ann("runs", "retry", run, "--reason", "right after all")
    wait_until(lambda: "work[2]" in delayed(), "once more")
    bob(lambda: run_jobs_now("case", [delayed()["work[2]"]]))
    assert rig.ends(run) is RunState.FAILED
    (failed,) = [job for job in read_jobs(rig.client, "case", "failed").jobs if job.step and job.step.step_run.step == "last"]
    (rig.folder / "repaired").touch()
    bob(lambda: retry_jobs("case", [failed.job_id]))
    assert rig.ends(run) is RunState.SUCCEEDED
    hands.close()

    rows = command(rig, "runs", "events", run, "--steered", "--json").objects
    found = [tuple((row["steered"] or {}).get(f) for f in ("by", "action", "target", "before", "after", "reason")) for row in rows]
    host = str(found[0][0]).partition("@")[2]
    expected = [
        ("bob", "pause", "run", "running", "paused", None),
        ("ann", "resume", "run", "paused", "running", "go on [b]"),
        ("ann", "job_run_now", "work[0]", "delayed", "wait", None),
        ("bob", "job_run_now", "work[1]", "delayed", "wait", None),
        ("bob", "job_remove", "work[2]", "delayed", "failed", None),
        ("bob", "retry", "run", "failed", "running", None),
        ("ann", "cancel", "run", "running", "cancelling", "wrong customer"),
        ("ann", "retry", "run", "cancelled", "running", "right after all"),
        ("bob", "job_run_now", "work[2]", "delayed", "wait", None),
        ("bob", "job_retry", "last", "failed", "queued", None),
    ]
    assert found == [(f"{who}@{host}", *rest) for who, *rest in expected]
    times = [row["at_ms"] for row in rows]
    assert times == sorted(times)
    assert began_ms - 1_000 <= times[0] <= times[-1] <= time.time() * 1000 + 1_000

    text = command(rig, "runs", "events", run, "--steered").out.splitlines()
    assert len(text) == 1 + len(expected)
    assert re.search(rf"ann@{host} +cancel +run +running +cancelling +wrong customer$", text[7])
    view = look_closely(rig.client, "case", run, Focus("last", with_log=True))
    screen = [plain(row) for row in history_lines(view, 200, 0)]
    log = [plain(row) for row in log_lines(view, 200, 0)]
    logged = command(rig, "runs", "logs", run).out
    for who, action, target, before, after, reason in expected:
        change, why = f"({before} → {after})", f": {reason}" if reason else ""
        assert any(f"{who}@{host}"[:19] in row and change in row and row.rstrip().endswith(f"{change}{why}") for row in screen), action
        done = f"by {who}@{host}{why}"
        assert any(target in row and done in row for row in log), action
        assert any(f" {target}  " in row and done in row for row in logged.splitlines()), action
