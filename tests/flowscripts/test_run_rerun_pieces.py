"""run_rerun: copied in pieces, safe to send twice, and nothing of the new run before the last piece."""

from __future__ import annotations

from typing import cast

import pytest

from omniq_flow.errors import Conflict, NotFound
from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from tests.flowscripts.desk import AGAIN, RUN, Desk, each, result, step
from tests.flowscripts.reruns import HOUR_MS, four, left_of, mapped, to_the_end, work


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_it_is_copied_in_bounded_pieces_and_begins_with_the_last(desk: Desk, limit: int) -> None:
    mapped(desk)
    done, calls = to_the_end(desk, "all", limit=limit)
    # 14 step runs and 9 elements of lists.
    assert done.copied == 14
    assert 23 / limit - 1 <= calls <= 23 / limit + 9
    assert list(work(desk)) == ["all"]


def test_a_long_list_goes_on_where_its_copy_ends(desk: Desk) -> None:
    desk.start(desk.plan(step("a", is_list=True), step("m", each("a"), level=("a",)), step("z", result("a"))))
    elements = [str(n).encode() for n in range(250)]
    desk.settle_list(desk.take()["a"], *elements)
    work(desk, RUN)
    assert desk.rerun("m", "z", limit=100).has_more
    key = keys.value(desk.queue, AGAIN, "a", 1)
    assert desk.conn.hlen(key) == 99
    assert desk.conn.hlen(keys.states(desk.queue, AGAIN)) == 0
    done, calls = to_the_end(desk, "m", "z", limit=100)
    assert (done.copied, calls) == (1, 2)
    assert cast("list[bytes]", desk.conn.hmget(key, [str(n) for n in range(250)])) == elements
    assert len(work(desk)) == 251


def test_the_bytes_of_a_piece_are_bounded_as_well(desk: Desk) -> None:
    desk.start(desk.plan(*(step(f"s{n}") for n in range(8)), step("z", *(result(f"s{n}") for n in range(8)))))
    for held in desk.take().values():
        desk.settle(held, value=b'"' + b"x" * 1_000_000 + b'"')
    work(desk, RUN)
    done, calls = to_the_end(desk, "z")
    assert (done.copied, calls) == (8, 2)


def test_sent_twice_it_is_the_same_run(desk: Desk) -> None:
    four(desk)
    desk.rerun("c")
    before = desk.everything()
    again = desk.rerun("c")
    assert (again.run_id, again.is_new) == (AGAIN, False)
    assert desk.everything() == before
    work(desk)
    assert desk.rerun("c").is_new is False


def test_an_id_belongs_to_one_request(desk: Desk) -> None:
    mapped(desk)
    assert desk.rerun("all", limit=2).has_more
    before = desk.everything()
    with pytest.raises(Conflict, match="that of another run"):
        desk.rerun("look", limit=2)
    assert desk.everything() == before
    to_the_end(desk, "all")
    with pytest.raises(Conflict, match="that of another run"):
        desk.rerun("look")
    with pytest.raises(Conflict, match="that of another run"):
        desk.rerun("look", run_id=RUN)


def test_half_copied_it_is_no_run(desk: Desk) -> None:
    """Nobody sees it, works it or steers it; and its id can not be started."""
    mapped(desk)
    desk.rerun("all", limit=4)
    for attempt in (desk.cancel, desk.retry, desk.pause, desk.header):
        with pytest.raises(NotFound):
            attempt(AGAIN)
    assert desk.sweep(AGAIN).is_gone
    assert desk.take() == {}
    assert {desk.conn.zscore(key, AGAIN) for key in (keys.live(desk.queue), keys.ended(desk.queue))} == {None}
    with pytest.raises(Conflict, match="was used before"):
        desk.start(desk.plan(step("a")), AGAIN)


def test_a_copy_that_nobody_goes_on_with_is_taken_away(desk: Desk) -> None:
    mapped(desk)
    desk.rerun("all", limit=9)
    desk.now += HOUR_MS - 1
    desk.purge()
    assert desk.rerun("all", limit=3).has_more
    desk.now += HOUR_MS - 1
    desk.purge()
    assert len(left_of(desk, AGAIN)) > 4
    desk.now += 1
    before = {name: value for name, value in desk.everything().items() if AGAIN not in name and not name.endswith(":copies")}
    while desk.purge(limit=2).has_more:
        pass
    assert left_of(desk, AGAIN) == []
    assert desk.everything() == before


def test_a_copy_that_was_given_up_begins_anew(desk: Desk) -> None:
    """Half of it is taken away already: what is left of it does not get into the new one."""
    mapped(desk)
    desk.rerun("all", limit=12)
    desk.now += HOUR_MS
    assert desk.purge(limit=1).has_more
    done, _ = to_the_end(desk, "all", limit=1)
    assert done.copied == 14
    while desk.purge().has_more:
        pass
    desk.check()
    assert list(work(desk)) == ["all"]


def test_nothing_of_a_run_is_left_after_its_purge(desk: Desk) -> None:
    mapped(desk)
    to_the_end(desk, "all", limit=3)
    work(desk)
    desk.now += 8 * 24 * HOUR_MS
    while desk.purge(limit=5).has_more:
        pass
    assert [name for name in desk.everything() if ":flow:" in name and not name.endswith(":flow:a:w")] == []


def test_the_plan_stays_with_the_copy_when_the_old_run_goes(desk: Desk) -> None:
    four(desk)
    desk.rerun("c")
    desk.conn.zadd(keys.ended(desk.queue), {RUN: 0})
    while desk.purge().has_more:
        pass
    with pytest.raises(NotFound):
        desk.header()
    assert list(work(desk)) == ["c"]
    assert desk.header(AGAIN).state is RunState.SUCCEEDED
