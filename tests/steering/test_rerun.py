"""`rerun_run`: both clients begin a run once more, whoever is stopped on the way, and whatever the run does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis

from omniq_flow.client import steering
from omniq_flow.client.client import AsyncClient, Client
from omniq_flow.client.steering import RerunOptions
from omniq_flow.errors import Conflict, GaveUpWaiting, NotFound, UsageError
from omniq_flow.model.runs import new_run_id
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from omniq_flow.ops.rerun import Rerun, run_rerun
from omniq_flow.ops.runs import run_facts, run_header, run_history, runs_of
from tests.observe.drive import Bad, Drive
from tests.observe.flows import join, pages
from tests.support.server import Server

Call = Callable[..., Rerun]


@pytest.fixture(params=["sync", "async"])
def rerun(request: pytest.FixtureRequest, server: Server, client: Client, redis_conn: redis.Redis) -> Call:
    """`rerun_run` of one client or the other."""

    async def by_async(queue: str, run_id: str, **options: Any) -> Rerun:
        async with await AsyncClient.open(server.url) as other:
            return await steering.rerun_run_async(other, queue, run_id, RerunOptions(**options))

    if request.param == "sync":
        return lambda queue, run_id, **options: steering.rerun_run(client, queue, run_id, RerunOptions(**options))
    return lambda queue, run_id, **options: asyncio.run(by_async(queue, run_id, **options))


def test_a_large_run_is_copied_piece_by_piece(rerun: Call, client: Client, queue: str) -> None:
    drive = Drive(client, pages(queue))
    old = drive.finished({"split": list(range(300))})
    new = rerun(queue, old, steps=["merge"], by="ann@host", reason="why not")
    assert (new.is_new, new.copied, new.has_more) == (True, 601, False)
    # What was copied is gone through first, some step runs a beat.
    for _ in range(10):
        drive.work()
    header = client.execute(run_header(queue, new.run_id))
    assert (header.state, header.rerun_of) == (RunState.SUCCEEDED, old)
    assert "steered rerun ann@host why not" in [e.event for e in client.execute(run_history(queue, old))]


def test_a_call_that_was_stopped_goes_on_with_the_same_id(rerun: Call, client: Client, queue: str, redis_conn: redis.Redis) -> None:
    """Killed after the first piece: there is no run, and the same call makes one, with each step run copied once."""
    drive = Drive(client, pages(queue))
    old, new = drive.finished({"split": list(range(200))}), new_run_id()
    first = run_rerun(queue, new, old, keep=("split", "read", "clean"))
    assert client.execute(first).has_more
    with pytest.raises(NotFound):
        client.execute(run_header(queue, new))
    done = rerun(queue, old, steps=["merge"], new_id=new)
    assert (done.run_id, done.is_new, done.copied) == (new, True, 401)
    again = rerun(queue, old, steps=["merge"], new_id=new)
    assert (again.run_id, again.is_new) == (new, False)
    assert redis_conn.exists(keys.copies(queue), keys.copy(queue, new)) == 0
    assert client.execute(runs_of(queue, "live")) == [new]


def test_a_run_that_goes_on_is_refused_or_cancelled_first(rerun: Call, client: Client, queue: str) -> None:
    drive = Drive(client, join(queue))
    old = drive.start()
    (taken, _) = drive.take()
    drive.report([taken])
    with pytest.raises(Conflict, match="a run that has ended is re-run"):
        rerun(queue, old)
    new = rerun(queue, old, cancel=True)
    assert new.is_new
    assert rerun(queue, old, cancel=True) == Rerun(new.run_id)
    assert client.execute(run_header(queue, old)).state is RunState.CANCELLING


def test_from_a_step_the_end_of_a_cancelled_run_is_waited_for(
    rerun: Call, client: Client, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering, "PATIENCE_S", 0.2)
    drive = Drive(client, join(queue))
    old = drive.start()
    taken = drive.take()
    with pytest.raises(GaveUpWaiting, match="is cancelling, 2 of it are still worked; no new run was begun"):
        rerun(queue, old, steps=["y1"], cancel=True)
    drive.report(taken)
    new = rerun(queue, old, steps=["y1"], cancel=True)
    facts = client.execute(run_facts(queue, new.run_id, ("x1", "x2", "y1")))
    assert "".join(fact.state.value for fact in facts) == "DQQ"


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"steps": ["z"]}, UsageError, "has no step 'z'"),
        ({"new_id": "mine"}, UsageError, "is no run id"),
        ({"steps": ["z"], "cancel": True}, UsageError, "has no step 'z'"),
        ({"new_id": "mine", "cancel": True}, UsageError, "is no run id"),
    ],
)
def test_what_is_said_wrongly_changes_nothing(
    rerun: Call, client: Client, queue: str, more: dict[str, Any], error: type[Exception], said: str
) -> None:
    """A run that was to be cancelled goes on."""
    old = Drive(client, join(queue)).start()
    rev = client.execute(run_header(queue, old)).rev
    with pytest.raises(error, match=said):
        rerun(queue, old, **more)
    assert client.execute(run_header(queue, old)).rev == rev
    with pytest.raises(NotFound):
        rerun(queue, new_run_id())


def test_a_failed_run_is_re_run_beside_its_retry(rerun: Call, client: Client, queue: str) -> None:
    """The old run stays as it is: it can be retried, and its re-run goes its own way."""
    drive = Drive(client, pages(queue))
    old = drive.finished({"split": [1, 2], "read[1]": Bad("no")})
    new = rerun(queue, old, steps=["merge"])
    steering.retry_run(client, queue, old)
    drive.work()
    for run_id in (old, new.run_id):
        assert client.execute(run_header(queue, run_id)).state is RunState.SUCCEEDED
