"""C24: a fan-out of nothing: the join after it never fires, or is cancelled, or something that is no list is mapped."""

from __future__ import annotations

from omniq_flow.model.states import RunState
from omniq_flow.observe.causes import causes
from omniq_flow.observe.reading import read_run
from tests.cases.rig import Rig

FLOW = """
flow = Flow("case", input=N, retry=QUICK)

MADE = {
    "a list": lambda: [],
    "a tuple": lambda: (),
    "a generator": lambda: (n for n in ()),
    "nothing": lambda: None,
    "a text": lambda: "abc",
    "a number": lambda: 5,
    "a dict": lambda: {},
    "a set": lambda: set(),
}

@flow.step
def a(ctx: StepContext, n: N) -> str:
    effect(ctx)
    return n.text

@flow.step
def src(ctx: StepContext, kind: str = result(a)) -> list[Any]:
    effect(ctx)
    return MADE[kind]()

@flow.step
def m(ctx: StepContext, item: Any = each(src)) -> Any:
    effect(ctx)
    return item

@flow.step
def j(ctx: StepContext, found: list[Any] = gather(m)) -> list[Any]:
    effect(ctx)
    return found

@flow.step
def k(ctx: StepContext, found: list[Any] = result(j)) -> int:
    effect(ctx)
    return len(found)
"""
EMPTY = ("a list", "a tuple", "a generator")
REFUSED = {"nothing": "None", "a text": "a str", "a number": "an int", "a dict": "a dict", "a set": "a set"}
ACCEPTED = "a list, a tuple or a generator is accepted"


def test_c24_a_map_of_nothing_succeeds(rig: Rig) -> None:
    """An empty list, tuple or generator makes a map of 0 elements that has succeeded; its join runs once with `[]`, and so on."""
    rig.write(FLOW)
    rig.worker()
    runs = {kind: rig.start({"text": kind}) for kind in EMPTY}
    for run in runs.values():
        assert rig.ends(run) is RunState.SUCCEEDED
        snapshot = read_run(rig.client, rig.flow.queue, run)
        assert (snapshot.step("m").state, snapshot.step("m").total) == ("succeeded", 0)
        assert rig.starts(run) == dict.fromkeys(("a", "src", "j", "k"), 1)
        assert rig.output(run, "j") == []
        assert rig.output(run, "k") == 0
    assert rig.counters() == []


def test_c24_what_is_no_list_is_not_mapped(rig: Rig) -> None:
    """What is no list fails the step that made it, at its first attempt, naming step and type and what is accepted.

    The blame is the producer's: the map has no elements that could fail, it is shown as held back like all behind it.
    """
    rig.write(FLOW)
    rig.worker()
    runs = {kind: rig.start({"text": kind}) for kind in REFUSED}
    assert {kind: rig.ends(run) for kind, run in runs.items()} == dict.fromkeys(REFUSED, RunState.FAILED)
    for kind, run in runs.items():
        assert rig.starts(run) == {"a": 1, "src": 1}, "an error of type is not tried again"
        failure = rig.failure(run, "src")
        assert (failure.step, failure.attempt) == ("src", 1)
        assert failure.message == f"src: returned {REFUSED[kind]} where list[Any] is declared; {ACCEPTED}"
        snapshot = read_run(rig.client, rig.flow.queue, run)
        words = dict.fromkeys("mjk", "upstream_failed")
        assert {s.step: s.state for s in snapshot.steps} == {"a": "succeeded", "src": "failed", **words}
        found = causes(snapshot, snapshot.failures)
        assert {step: " ".join(f.step_run.step for f in failures) for step, failures in found.items()} == dict.fromkeys("mjk", "src")
    assert rig.counters() == []
