"""Who steered a run: what the history tells of it, in words and with the states before and after."""

from __future__ import annotations

from omniq_flow.client.client import Client
from omniq_flow.client.steering import cancel_run, retry_run
from omniq_flow.observe.audit import Steering, audit, newest, steering
from omniq_flow.observe.events import tell, tell_all
from omniq_flow.ops.admin import remove_jobs_batch, retry_failed_batch
from omniq_flow.ops.runs import HistoryEntry, run_history, run_pause, run_resume
from omniq_flow.ops.steering import job_run_now
from tests.observe.drive import Again, Bad, Drive
from tests.observe.flows import join, pages


def rows(client: Client, queue: str, run_id: str) -> list[tuple[str, str, str, str, str, str]]:
    entries = client.execute(run_history(queue, run_id))
    return [(one.action, one.by, one.target, one.before, one.after, one.reason) for one in audit(entries)]


def test_each_action_is_told_with_who_and_why(client: Client, queue: str) -> None:
    drive = Drive(client, join(queue))
    run_id = drive.start()
    client.execute(run_pause(queue, run_id, by="ann@host", reason="wait a bit"))
    client.execute(run_resume(queue, run_id, by="bob@host"))
    client.execute(run_pause(queue, run_id, by="ann@host"))
    cancel_run(client, queue, run_id, by="bob@host", reason="wrong customer")
    retry_run(client, queue, run_id, by="ann@host", reason="right after all")
    drive.work({"x1": Bad("no")})
    retry_run(client, queue, run_id, only=["x1"])
    assert rows(client, queue, run_id) == [
        ("pause", "ann@host", "run", "running", "paused", "wait a bit"),
        ("resume", "bob@host", "run", "paused", "running", ""),
        ("pause", "ann@host", "run", "running", "paused", ""),
        ("cancel", "bob@host", "run", "paused", "cancelling", "wrong customer"),
        ("retry", "ann@host", "run", "cancelled", "running", "right after all"),
        ("retry", "", "x1", "failed", "running", ""),
    ]


def test_what_is_done_to_its_jobs_is_told(client: Client, queue: str) -> None:
    drive = Drive(client, pages(queue, attempts=2))
    run_id = drive.start()
    taken = drive.settle(drive.take(), {"split": [1, 2, 3]})
    drive.settle(taken, lambda run: {"read[0]": Bad("no"), "read[1]": Again(60_000), "read[2]": Again(60_000)}[str(run)])
    of = {job.flow.step_run.id: job.job_id for job in taken if job.flow}
    client.execute(retry_failed_batch(queue, [of["read-0"]], by="ann@host"))
    client.execute(job_run_now(queue, of["read-1"], by="ann@host"))
    client.execute(remove_jobs_batch(queue, "delayed", [of["read-2"]], by="bob@host"))
    assert rows(client, queue, run_id) == [
        ("job_retry", "ann@host", "read[0]", "failed", "to be retried when the run has ended", ""),
        ("job_run_now", "ann@host", "read[1]", "delayed", "wait", ""),
        ("job_remove", "bob@host", "read[2]", "delayed", "failed", ""),
    ]


def test_a_retried_job_of_a_run_that_has_ended_is_queued_at_once(client: Client, queue: str) -> None:
    drive = Drive(client, pages(queue))
    run_id = drive.finished({"split": [1, 2], "read": Bad("no")})
    failed = [job for job in client.execute_all([run_history(queue, run_id)])[0] if job.event.startswith("F ")]
    ids = [f"f.{run_id}.{e.event.split()[1]}.{e.event.split()[2]}" for e in failed]
    client.execute(retry_failed_batch(queue, ids, by="ann@host"))
    assert rows(client, queue, run_id) == [("job_retry", "ann@host", "read[0], read[1]", "failed", "queued", "")]


def test_a_state_that_the_history_has_forgotten_is_left_open() -> None:
    (done,) = audit([HistoryEntry(90, 5, "steered retry - "), HistoryEntry(91, 5, "run running")])
    assert (done.before, done.after, done.by, done.reason) == ("", "running", "", "")


def test_words_of_events() -> None:
    """Names as people write them; what somebody did has the change of state in it."""

    def told(event: str) -> tuple[str, str]:
        found = tell(HistoryEntry(1, 5, event))
        return found.name, found.what

    assert told("Q read-3 7") == ("read[3]", "dispatched")
    assert told("F read-3 7 D") == ("read[3]", "failed")
    assert told("retry read-3 7 2") == ("read[3]", "attempt 2 failed – tried again")
    assert told("checkpoint a:D=3") == ("run", "older events are no longer kept")
    assert told("something new") == ("run", "something new")
    assert told("steered job_remove:a-1,b,+7 ann@host from wait") == ("ann@host", "remove job of a[1], b and 7 more: from wait")
    pause = [HistoryEntry(1, 5, "run running"), HistoryEntry(2, 6, "steered pause - lunch [b]")]
    assert [(t.name, t.what) for t in tell_all(pause)][1] == ("somebody", "pause (running → paused): lunch [b]")
    assert newest(pause, "pause") == Steering(2, 6, "pause", "", "lunch [b]")
    assert steering(pause[0]) is None
