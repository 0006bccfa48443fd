"""C46: outputs that are empty, or that no JSON can hold; elsewhere such a step runs for ever."""

from __future__ import annotations

from omniq_flow.model.states import RunState
from omniq_flow.ops import keys
from tests.cases.rig import Rig

GOOD = """
flow = Flow("case", retry=QUICK)

def seen(ctx: StepContext, value: Any) -> str:
    effect(ctx, f"{type(value).__name__} {value!a}")
    return repr(value)

@flow.step
def no_return(ctx: StepContext) -> None:
    effect(ctx)

@flow.step
def no_return_seen(ctx: StepContext, value: None = result(no_return)) -> str:
    return seen(ctx, value)

def pass_on(name: str, value: Any, annotation: Any) -> None:
    # Once under its own type, once under none.
    for kind, declared in (("typed", annotation), ("untyped", Any)):
        def make(ctx: StepContext) -> declared:
            effect(ctx)
            return value

        made = flow.step(name=f"{name}_{kind}")(make)

        def take(ctx: StepContext, given: declared = result(made)) -> str:
            return seen(ctx, given)

        flow.step(name=f"{name}_{kind}_seen")(take)

pass_on("none", None, None)
pass_on("text", "", str)
pass_on("zero", 0, int)
pass_on("false", False, bool)
pass_on("items", [], list[int])
pass_on("fields", {}, dict[str, int])
pass_on("nul", "a\\0b", str)
"""
GIVEN: dict[str, object] = {"none": None, "text": "", "zero": 0, "false": False, "items": [], "fields": {}, "nul": "a\0b"}

BAD = """
flow = Flow("case", retry=QUICK)

class Box(BaseModel):
    inner: Any = None

def refused(name: str, value: Any) -> None:
    def make(ctx: StepContext) -> Any:
        effect(ctx)
        return value() if callable(value) else value

    made = flow.step(name=name)(make)

    def never(ctx: StepContext, given: Any = result(made)) -> None:
        effect(ctx)

    flow.step(name=f"{name}_next")(never)

refused("surrogate", {"deep": ["fine", "\\ud800"]})
refused("raw", {"deep": [b"\\x00\\xff"]})
refused("members", {"deep": {"inner": {1}}})
refused("open_file", lambda: {"deep": open(os.devnull)})
refused("alone", {1, 2})

@flow.step
def boxed(ctx: StepContext) -> Box:
    effect(ctx)
    return Box(inner=[{"x": b"\\xfe"}])

@flow.step
def typed_text(ctx: StepContext) -> str:
    effect(ctx)
    return "\\ud800"

@flow.step
def elements(ctx: StepContext) -> list[Any]:
    effect(ctx)
    return ["fine", {"x": {3}}]

@flow.step
def element(ctx: StepContext, one: Any = each(elements)) -> None:
    effect(ctx)
"""
SAYS = {
    "surrogate": ("surrogate: ['deep'][1] ", "a str with a lone surrogate"),
    "raw": ("raw: ['deep'][0] ", "is bytes"),
    "members": ("members: ['deep']['inner'] ", "is a set"),
    "open_file": ("open_file: ", "TextIOWrapper"),
    "alone": ("alone: the value ", "is a set"),
    "boxed": ("boxed: inner[0]['x'] ", "is bytes"),
    "typed_text": ("typed_text: the value ", "a str with a lone surrogate"),
    "elements": ("elements: [1]['x'] ", "is a set"),
}


def test_c46_empty_outputs_reach_the_next_step_as_they_are(rig: Rig) -> None:
    """Nothing, `None`, empty and zero values and a NUL byte are outputs as others: the next step gets that value of that type."""
    rig.write(GOOD)
    rig.worker()
    run = rig.start()
    assert rig.ends(run) is RunState.SUCCEEDED
    for name, value in {"no_return": None, **{f"{n}_{kind}": v for n, v in GIVEN.items() for kind in ("typed", "untyped")}}.items():
        assert rig.output(run, name) == value
        assert [e.step for e in rig.effects(f"{type(value).__name__} {value!a}", run)].count(f"{name}_seen") == 1
        assert rig.output(run, f"{name}_seen") == repr(value)
    assert set(rig.starts(run).values()) == {1}


def test_c46_what_no_json_can_hold_fails_its_step_at_once(rig: Rig) -> None:
    """A value that would not come back as it was fails its step in its first attempt, by step, Python type and place in the value.

    A set or bytes are refused where nothing declares them: under `set[int]` or, for UTF-8, `bytes` they are kept exactly.
    """
    rig.write(BAD)
    rig.worker()
    run = rig.start()
    assert rig.ends(run, 5) is RunState.FAILED
    for step, said in SAYS.items():
        failure = rig.failure(run, step)
        assert (failure.type, failure.step, failure.attempt) == ("ValueNotJson", step, 1)
        assert failure.message.startswith(said[0])
        assert said[1] in failure.message
    assert rig.starts(run) == dict.fromkeys(SAYS, 1)
    behind = [f"{name}_next" for name in ("surrogate", "raw", "members", "open_file", "alone")]
    assert rig.states(run) == dict.fromkeys(SAYS, "failed") | dict.fromkeys(behind, "upstream_failed")
    assert rig.conn.zcard(keys.queue_key(rig.flow.queue, "active")) == 0
