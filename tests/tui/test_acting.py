"""Keys that change something, on a real server: each is the command that the command line has, and is confirmed as it should be."""

from __future__ import annotations

import pytest
import redis

from omniq_flow.client.client import Client
from omniq_flow.errors import NotFound
from omniq_flow.model.jobs import JobOptions, Lease
from omniq_flow.model.states import RunState
from omniq_flow.observe.groups import read_groups
from omniq_flow.observe.queues import read_queue
from omniq_flow.ops.admin import is_paused
from omniq_flow.ops.jobs import ack_fail, publish, reserve
from omniq_flow.ops.runs import run_header, run_history, runs_of
from omniq_flow.tui.actions import whoami
from omniq_flow.tui.dialogs import Confirm, Results
from tests.observe.drive import Bad, Drive
from tests.observe.flows import pages
from tests.support.server import Server
from tests.support.until import until
from tests.tui.conftest import app_of, live, settled, shows
from tests.tui.shots import screen_text


@pytest.fixture
def failed_run(client: Client, redis_conn: redis.Redis, queue: str) -> tuple[str, str]:
    """Queue and id of a run of which one page of three failed."""
    redis_conn.sadd("{omniq-flow}:queues", queue)
    drive = Drive(client, pages(queue))
    return queue, drive.finished({"split": [1, 2, 3], "read[1]": Bad("page 84 took 120s", "OCRTimeout")})


def fail_jobs(client: Client, queue: str, count: int) -> list[str]:
    """Publish jobs of one attempt and let them fail."""
    for n in range(count):
        client.execute(publish(queue, {"n": n}, job_id=f"j{n:03}", options=JobOptions(max_attempts=1)))
    ids = []
    for _ in range(count):
        lease = client.execute(reserve(queue))
        assert isinstance(lease, Lease)
        client.execute(ack_fail(lease, "no such page"))
        ids.append(lease.job_id)
    return ids


async def test_r_retries_a_failed_run_from_its_failure(server: Server, client: Client, failed_run: tuple[str, str]) -> None:
    queue, run_id = failed_run
    async with live(server.url) as pilot:
        await pilot.press("2")
        await shows(pilot, "✘ failed")
        await pilot.press("r")
        await until(lambda: not client.execute(run_header(queue, run_id)).state.is_ended, "the run goes on")
        await shows(pilot, "▶ running")
        await pilot.press("at")
        await shows(pilot, "omniq-flow runs retry")
        await shows(pilot, "1 done")


async def test_r_retries_the_run_that_is_open(server: Server, client: Client, failed_run: tuple[str, str]) -> None:
    queue, run_id = failed_run
    async with live(server.url, run=failed_run) as pilot:
        await shows(pilot, "failed", 20)
        await until(lambda: app_of(pilot).page is not None and "✘ read" in screen_text(pilot.app), "the run is shown")
        await pilot.press("r")
        await until(lambda: client.execute(run_header(queue, run_id)).epoch > 1, "the run is retried")


async def test_a_run_that_goes_on_is_not_retried(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    redis_conn.sadd("{omniq-flow}:queues", queue)
    Drive(client, pages(queue)).start()
    async with live(server.url) as pilot:
        await pilot.press("2")
        await shows(pilot, "▶ running")
        await pilot.press("r")
        await shows(pilot, "only runs that failed or were cancelled")


async def test_c_cancels_a_run_after_a_question_with_no_focused(
    server: Server, client: Client, redis_conn: redis.Redis, queue: str
) -> None:
    """Once it has ended, c says why it does nothing."""
    redis_conn.sadd("{omniq-flow}:queues", queue)
    run_id = Drive(client, pages(queue)).start()
    async with live(server.url) as pilot:
        await pilot.press("2")
        await shows(pilot, "▶ running")
        await pilot.press("c")
        await shows(pilot, f"cancel run {run_id}?")
        await shows(pilot, f"omniq-flow runs cancel {run_id}")
        await pilot.press("enter")
        await settled(pilot)
        assert client.execute(run_header(queue, run_id)).state is RunState.RUNNING
        await pilot.press("c")
        await until(lambda: isinstance(pilot.app.screen, Confirm), "the question is asked again")
        await pilot.press("y")
        await until(lambda: client.execute(run_header(queue, run_id)).state is RunState.CANCELLED, "it is cancelled")
        await shows(pilot, "✖ cancelled")
        assert any(whoami() in entry.event for entry in client.execute(run_history(queue, run_id)))
        await pilot.press("c")
        await shows(pilot, "only runs that go on can be cancelled")


async def test_c_cancels_all_that_waits_of_a_large_run(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    """One call takes away about 256 jobs: the key goes on until nothing waits."""
    redis_conn.sadd("{omniq-flow}:queues", queue)
    drive = Drive(client, pages(queue))
    run_id = drive.start()
    drive.report(drive.take(1), {"split": list(range(700))})
    async with live(server.url, run=(queue, run_id)) as pilot:
        await shows(pilot, "read 0/700")
        await pilot.press("c")
        await until(lambda: isinstance(pilot.app.screen, Confirm), "a question is asked")
        await pilot.press("y")
        await until(lambda: app_of(pilot).acting.deeds, "it is noted")
        assert client.execute(run_header(queue, run_id)).state is RunState.CANCELLED
        assert read_queue(client, queue).group_waiting == 0


async def test_p_pauses_and_resumes_a_run(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    """The list tells that it is paused, the screen of the run by whom."""
    redis_conn.sadd("{omniq-flow}:queues", queue)
    run_id = Drive(client, pages(queue)).start()
    async with live(server.url) as pilot:
        await pilot.press("2")
        await shows(pilot, "▶ running")
        await pilot.press("p")
        await shows(pilot, "‖ PAUSED")
        note = client.execute(run_header(queue, run_id)).paused
        assert note is not None
        assert note.by == whoami()
        await pilot.press("enter")
        await shows(pilot, "PAUSED by ")
        await pilot.press("p")
        await until(lambda: client.execute(run_header(queue, run_id)).paused is None, "it is resumed")
        await until(lambda: "PAUSED by" not in screen_text(pilot.app), "the screen shows it")
        await pilot.press("at")
        await shows(pilot, "omniq-flow runs pause")
        await shows(pilot, "omniq-flow runs resume")


async def test_d_removes_a_run_that_has_ended_and_leaves_its_screen(server: Server, client: Client, failed_run: tuple[str, str]) -> None:
    queue, run_id = failed_run
    async with live(server.url) as pilot:
        await pilot.press("2")
        await shows(pilot, "✘ failed")
        await pilot.press("enter")
        await shows(pilot, "✘ read")
        await pilot.press("d")
        await shows(pilot, f"remove run {run_id}?")
        await pilot.press("y")
        await until(lambda: not client.execute(runs_of(queue, "ended")), "it is removed")
        await shows(pilot, "There are none yet")
        with pytest.raises(NotFound):
            client.execute(run_header(queue, run_id))


async def test_a_run_that_goes_on_is_not_removed(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    redis_conn.sadd("{omniq-flow}:queues", queue)
    run_id = Drive(client, pages(queue)).start()
    async with live(server.url) as pilot:
        await pilot.press("2")
        await shows(pilot, "▶ running")
        await pilot.press("d")
        await shows(pilot, "only runs that have ended can be removed")
        assert client.execute(run_header(queue, run_id)).state is RunState.RUNNING


async def test_the_server_refuses_what_a_frozen_picture_did_not_know(
    server: Server, client: Client, redis_conn: redis.Redis, queue: str
) -> None:
    redis_conn.sadd("{omniq-flow}:queues", queue)
    drive = Drive(client, pages(queue))
    drive.start()
    async with live(server.url) as pilot:
        await pilot.press("2")
        await shows(pilot, "▶ running")
        await pilot.press("z")
        await shows(pilot, "FROZEN")
        drive.work({"split": [1]})
        await pilot.press("p")
        await shows(pilot, "refused, run")
        await shows(pilot, "has ended: it succeeded")


async def test_marked_runs_have_a_bulk_menu_with_what_fits_them(
    server: Server, client: Client, redis_conn: redis.Redis, queue: str, failed_run: tuple[str, str]
) -> None:
    drive = Drive(client, pages(queue))
    ids = [drive.start(n) for n in range(2)]
    async with live(server.url) as pilot:
        await pilot.press("2")
        for run_id in (*ids, failed_run[1]):
            await shows(pilot, run_id[-6:])
        await pilot.press("space", "space", "space", "b")
        await shows(pilot, "what is to be done?")
        text = screen_text(pilot.app)
        assert [text.count(words) for words in ("1  retry run", "2  cancel 2 runs", "3  pause 2 runs", "4  remove run")] == [1, 1, 1, 1]
        assert "2 running" in text
        await pilot.press("3")
        await until(lambda: all(client.execute(run_header(queue, run_id)).paused for run_id in ids), "both are paused")


async def test_more_than_fifty_runs_are_cancelled_after_their_number_is_typed(
    server: Server, client: Client, redis_conn: redis.Redis, queue: str
) -> None:
    redis_conn.sadd("{omniq-flow}:queues", queue)
    drive = Drive(client, pages(queue))
    for n in range(51):
        drive.start(n)
    async with live(server.url) as pilot:
        await pilot.press("2")
        await shows(pilot, "51 open")
        await pilot.press("A")
        await shows(pilot, "51 marked")
        await pilot.press("c")
        await shows(pilot, "type 51 to confirm")
        await pilot.press(*"51", "enter")
        await until(lambda: not client.execute(runs_of(queue, "live")), "all are cancelled")


async def test_marked_jobs_are_retried_after_a_question_with_no_focused(
    server: Server, client: Client, redis_conn: redis.Redis, queue: str
) -> None:
    redis_conn.sadd("{omniq-flow}:queues", queue)
    fail_jobs(client, queue, 5)
    async with live(server.url) as pilot:
        await until(lambda: app_of(pilot).queues, "the queue is known")
        app_of(pilot).open_lane(queue, "failed")
        await shows(pilot, "j004")
        await pilot.press("space", "space", "space", "r")
        await until(lambda: isinstance(pilot.app.screen, Confirm), "a question is asked")
        await shows(pilot, f"retry 3 failed jobs of queue {queue}?")
        await shows(pilot, f"omniq-flow jobs retry {queue}")
        await pilot.press("enter")
        await settled(pilot)
        assert read_queue(client, queue).failed == 5
        await pilot.press("r")
        await until(lambda: isinstance(pilot.app.screen, Confirm), "the question is asked again")
        await pilot.press("y")
        await until(lambda: read_queue(client, queue).failed == 2, "three are retried")
        assert read_queue(client, queue).waiting == 3


async def test_one_job_is_removed_after_a_question(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    redis_conn.sadd("{omniq-flow}:queues", queue)
    client.execute(publish(queue, {}))
    async with live(server.url) as pilot:
        await pilot.press("3")
        await shows(pilot, "waits")
        await pilot.press("d")
        await shows(pilot, f"remove 1 job from wait of queue {queue}?")
        await pilot.press("escape")
        await settled(pilot)
        assert read_queue(client, queue).waiting == 1
        await pilot.press("d")
        await shows(pilot, "remove 1 job")
        await pilot.press("y")
        await until(lambda: read_queue(client, queue).waiting == 0, "it is removed")


async def test_all_that_match_are_removed_in_slices_after_their_number_is_typed(
    server: Server, client: Client, redis_conn: redis.Redis, queue: str
) -> None:
    redis_conn.sadd("{omniq-flow}:queues", queue)
    for n in range(230):
        client.execute(publish(queue, {"n": n}))
    async with live(server.url) as pilot:
        await pilot.press("3")
        await shows(pilot, "waits")
        await pilot.press("A")
        await shows(pilot, "230 marked")
        await pilot.press("d")
        await shows(pilot, "type 230 to confirm")
        await pilot.press(*"99", "enter")
        await settled(pilot)
        assert isinstance(pilot.app.screen, Confirm)
        assert read_queue(client, queue).waiting == 230
        await pilot.press(*"230", "enter")
        await until(lambda: read_queue(client, queue).waiting == 0, "all are removed")
        deed = await until(lambda: app_of(pilot).acting.deeds, "it is noted")
        assert [len(piece.ids) for piece in deed[0].action.slices] == [100, 100, 30]
        assert deed[0].done == 230


async def test_what_moved_meanwhile_is_refused_and_told(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    redis_conn.sadd("{omniq-flow}:queues", queue)
    ids = [client.execute(publish(queue, {"n": n}, job_id=f"job{n}")) for n in range(3)]
    async with live(server.url) as pilot:
        await pilot.press("3")
        await shows(pilot, ids[2])
        await pilot.press("z", "space", "space", "space")
        client.execute(reserve(queue))
        await pilot.press("d")
        await shows(pilot, "remove 3 jobs")
        await pilot.press("y")
        await until(lambda: isinstance(pilot.app.screen, Results), "the results are shown")
        await shows(pilot, "2 done   1 refused")
        await shows(pilot, "ACTIVE")


async def test_a_delayed_job_is_run_now(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    redis_conn.sadd("{omniq-flow}:queues", queue)
    client.execute(publish(queue, {}, options=JobOptions(due_ms=2_000_000_000_000)))
    async with live(server.url) as pilot:
        await until(lambda: app_of(pilot).queues, "the queue is known")
        app_of(pilot).open_lane(queue, "delayed")
        await shows(pilot, "due in")
        await pilot.press("b")
        await shows(pilot, "what is to be done?")
        await pilot.press("1")
        await until(lambda: read_queue(client, queue).waiting == 1, "it waits")


async def test_p_pauses_and_resumes_a_queue(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    redis_conn.sadd("{omniq-flow}:queues", queue)
    async with live(server.url) as pilot:
        await shows(pilot, queue)
        await pilot.press("p")
        await until(lambda: client.execute(is_paused(queue)), "it is paused")
        await shows(pilot, "PAUSED")
        await pilot.press("p")
        await until(lambda: not client.execute(is_paused(queue)), "it goes on")


async def test_e_changes_the_limit_of_a_group(server: Server, client: Client, redis_conn: redis.Redis, queue: str) -> None:
    redis_conn.sadd("{omniq-flow}:queues", queue)
    for n in range(4):
        client.execute(publish(queue, {"n": n}, options=JobOptions(gid="acme", group_limit=3)))
    client.execute(reserve(queue))
    client.execute(reserve(queue))
    async with live(server.url) as pilot:
        await pilot.press("4")
        await shows(pilot, "acme")
        await pilot.press("e", "backspace", *"x", "enter")
        await shows(pilot, "a whole number")
        await pilot.press("backspace", *"5", "enter")
        await until(lambda: read_groups(client, queue, ["acme"])[0].limit == 5, "the limit is changed")
        await until(lambda: "2/5" in screen_text(pilot.app), "the screen shows it")
        await pilot.press("e", "backspace", *"1", "enter")
        await shows(pilot, f"type {queue} to confirm")
        await pilot.press(*queue, "enter")
        await until(lambda: read_groups(client, queue, ["acme"])[0].limit == 1, "a limit below what is active is set")


async def test_read_only_has_no_hands(server: Server, client: Client, failed_run: tuple[str, str]) -> None:
    """The keys are gone from the foot, one that is pressed says why, and nothing is changed."""
    queue, run_id = failed_run
    async with live(server.url, read_only=True) as pilot:
        await shows(pilot, "  RO")
        await pilot.press("2")
        await shows(pilot, "✘ failed")
        assert "r retry" not in screen_text(pilot.app)
        await pilot.press("r")
        await shows(pilot, "read-only: nothing can be changed here")
        await pilot.press("c", "d", "p", "b")
        await settled(pilot)
        assert pilot.app.screen is app_of(pilot).page
        app_of(pilot).action_page("Overview")
        await shows(pilot, queue)
        await pilot.press("p")
        await settled(pilot)
        assert client.execute(run_header(queue, run_id)).epoch == 1
        assert not client.execute(is_paused(queue))
