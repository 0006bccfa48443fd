"""Runs that are to be begun once more, and a look at what became of that."""

from __future__ import annotations

from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from omniq_flow.ops.rerun import Rerun
from omniq_flow.ops.ticks import Taken
from tests.flowscripts.desk import AGAIN, RUN, Desk, each, gather, result, step

NO = b'{"type":"E","message":"no"}'
BIG = b'"' + b"x" * 70_000 + b'"'
HOUR_MS = 3_600_000


def work(desk: Desk, run_id: str = AGAIN, **values: bytes) -> dict[str, Taken]:
    """Settle everything of a run well until nothing is left; what was worked."""
    worked: dict[str, Taken] = {}
    while taken := desk.take():
        for name, held in taken.items():
            assert held.flow is not None
            assert held.flow.run_id == run_id
            assert desk.settle(held, value=values.get(name, b"1")) == "OK"
        worked |= taken
    desk.check()
    return worked


def four(desk: Desk) -> None:
    """A run that succeeded: `c` needs `a` and `b`, `d` only `b`; `b` gave much."""
    desk.start(desk.plan(step("a"), step("b"), step("c", result("a"), result("b")), step("d", result("b"))), given=b'{"n":1}')
    work(desk, RUN, a=b'"a"', b=BIG, c=b'"c"', d=b'"d"')
    assert desk.header().state is RunState.SUCCEEDED


def mapped(desk: Desk) -> None:
    """Pages, words of each page, a look at each word, and what counts them. One page has no words, one look was skipped."""
    steps = (
        step("pages", is_list=True),
        step("words", each("pages"), level=("pages",), is_list=True),
        step("look", each("words"), level=("pages", "words")),
        step("page", gather("look"), level=("pages",)),
        step("all", gather("page")),
    )
    desk.start(desk.plan(*steps))
    desk.settle_list(desk.take()["pages"], b"1", b"2", b"3", b"4")
    for name, held in desk.take().items():
        desk.settle_list(held, *[name.encode()] * (0, 2, 0, 3)[int(name[-1])])
    for name, held in desk.take().items():
        desk.settle(held, "skip" if name == "look-3-1" else "ok", value=f'"{name}"'.encode())
    work(desk, RUN)
    assert desk.header().state is RunState.SUCCEEDED


def to_the_end(desk: Desk, *steps: str, limit: int = 0) -> tuple[Rerun, int]:
    """Send it until it has begun; the answer, and how many calls that took."""
    calls = 1
    while (done := desk.rerun(*steps, limit=limit)).has_more:
        assert desk.conn.exists(keys.header(desk.queue, AGAIN)) == 0
        desk.check()
        calls += 1
        assert calls < 200
    desk.check()
    return done, calls


def states(desk: Desk, *names: str, run_id: str = AGAIN) -> str:
    return " ".join(f"{f.state.value}{f.epoch}" for f in (desk.fact(name, run_id) for name in names))


def left_of(desk: Desk, run_id: str) -> list[str]:
    return [name for name in desk.everything() if run_id in name or name.endswith(":copies")]
