"""Flows in memory: every rule of skip, failure and collection, and agreement with plain recursion."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import pytest
from pydantic import BaseModel

from omniq_flow import Failure, Flow, InputError, Retry, RunFailed, StepContext, UsageError, each, gather, result
from omniq_flow.model.plan import InputPlan, Plan, StepPlan
from omniq_flow.model.routes import lists_between
from omniq_flow.model.states import RunState, StepState
from omniq_flow.testing import run_inline
from tests.flow.build import make_flow, parse, random_steps

EXAMPLES = [
    ("a. b(result a). c", {"a": "f"}, "a F, b U, c D"),
    ("a[]. b(each a). c(gather b)", {"a": 3, "b-1": "f"}, "a D, b-0 D, b-1 F, b-2 D, c U"),
    ("a[]. b(each a). c(gather b record)", {"a": 3, "b-1": "f"}, "a D, b-0 D, b-1 F, b-2 D, c D"),
    ("a[]. b(each a). c(gather b)", {"a": 2, "b-0": "s", "b-1": "s"}, "a D, b-0 S, b-1 S, c S"),
    ("a[]. b(each a). c(gather b holes)", {"a": 2, "b-0": "s", "b-1": "s"}, "a D, b-0 S, b-1 S, c D"),
    ("a[]. b(each a). c(gather b)", {"a": 2, "b-0": "s"}, "a D, b-0 S, b-1 D, c D"),
    ("a[]. b(each a). c(gather b)", {"a": 0}, "a D, c D"),
    ("a[]. b(each a). c(gather b)", {"a": "s"}, "a S, c S"),
    ("a[]. b(each a). c(gather b record)", {"a": "f"}, "a F, c U"),
    ("a. b. c(result a optional, result b optional)", {"a": "s"}, "a S, b D, c D"),
    ("a. b. c(result a optional, result b optional)", {"a": "s", "b": "s"}, "a S, b S, c S"),
    ("a. b. c(result a, result b optional)", {"a": "s"}, "a S, b D, c S"),
    ("a. b(after a)", {"a": "s"}, "a S, b D"),
    ("a. b(after a)", {"a": "f"}, "a F, b U"),
    ("a. b. c(result a optional, after b)", {"a": "s"}, "a S, b D, c S"),
    ("a[]. late. b(each a, result late optional)", {"a": 1, "late": "s"}, "a D, late S, b-0 D"),
    ("a[]. b(each a). c(after b)", {"a": 2, "b-0": "f"}, "a D, b-0 F, b-1 D, c U"),
    (
        "a[]. b[](each a). c(each b). d(gather c). e(gather d)",
        {"a": 2, "b-0": 0, "b-1": 2, "c-1-1": "f"},
        "a D, b-0 D, b-1 D, c-1-0 D, c-1-1 F, d-0 D, d-1 U, e U",
    ),
    ("a[]. late. b(each a, result late)", {"a": 2, "late": "f"}, "a D, late F, b-0 U, b-1 U"),
]


@pytest.mark.parametrize(("wiring", "outcomes", "letters"), EXAMPLES)
def test_every_step_run_gets_the_letter_that_the_theory_gives(wiring: str, outcomes: dict[str, Any], letters: str) -> None:
    def behave(ctx: StepContext, inputs: dict[str, Any]) -> Any:
        what = outcomes.get(ctx.step_run.id, 0)
        if what == "s":
            ctx.skip()
        if what == "f":
            ctx.fail("no")
        return list(range(what)) if ctx.step in ("a", "b") and "[]" in wiring else what

    run = run_inline(make_flow(parse(wiring), behave))
    got = {f"{name} {state.value}" for name, state in run.states.items()}
    assert got == set(letters.split(", "))
    is_failed = any(word.endswith("F") for word in got) and "record)" not in wiring
    assert (run.state is RunState.FAILED) == (is_failed or "c U" in got)


def digest(*parts: object) -> int:
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=5).digest(), "big")


class World:
    """What handlers do, settled by step run and inputs."""

    def __init__(self, seed: int, rates: tuple[float, float]) -> None:
        self.seed, (self.fail, self.skip) = seed, rates

    def outcome(self, step_run: str, is_list: bool, inputs: object) -> tuple[StepState, Any]:
        if digest(self.seed, step_run, "fail") % 1000 < self.fail * 1000:
            return StepState.FAILED, None
        if digest(self.seed, step_run, "skip") % 1000 < self.skip * 1000:
            return StepState.SKIPPED, None
        value = digest(step_run, inputs)
        return StepState.SUCCEEDED, [digest(value, n) for n in range((0, 1, 1, 2, 3, 5)[value % 6])] if is_list else value


class Recursion:
    """The definition as plain recursion: a value is asked for, and asks for what it needs."""

    def __init__(self, plan: Plan, world: World) -> None:
        self.plan, self.world = plan, world
        self.memo: dict[str, tuple[StepState, Any]] = {}

    def run(self, name: str, x: tuple[int, ...]) -> tuple[StepState, Any]:
        key = "-".join((name, *map(str, x)))
        if key not in self.memo:
            step = self.plan.by_name[name]
            taken = {i.param: self.take(step, i, x) for i in step.inputs if i.is_edge}
            flags = [flag for flag, _ in taken.values()]
            if "f" in flags:
                self.memo[key] = StepState.UPSTREAM_FAILED, None
            elif "s" in flags or ("n" in flags and "v" not in flags and all(i.kind != "each" for i in step.inputs)):
                self.memo[key] = StepState.SKIPPED, None
            else:
                values = {i.param: taken[i.param][1] for i in step.inputs if i.is_edge and i.kind != "after"}
                self.memo[key] = self.world.outcome(key, step.is_list, values)
        return self.memo[key]

    def take(self, step: StepPlan, i: InputPlan, x: tuple[int, ...]) -> tuple[str, Any]:
        producer = self.plan.by_name[i.step]
        if i.kind == "each":
            return "v", self.run(i.step, x[: producer.depth])[1][x[producer.depth]]
        kind, value = self.tree(i, x[: producer.depth - lists_between(i, producer.level, step.level)])
        if i.kind == "after":
            return ("f" if kind == "f" else ""), None
        return ("n", None) if kind == "s" and i.optional else (kind, value if kind == "v" else None)

    def tree(self, i: InputPlan, y: tuple[int, ...]) -> tuple[str, Any]:
        level = self.plan.by_name[i.step].level
        state, value = self.run(i.step if len(y) == len(level) else level[len(y)], y)
        if state is not StepState.SUCCEEDED or len(y) == len(level):
            return {StepState.SUCCEEDED: "v", StepState.SKIPPED: "s"}.get(state, "f"), value
        parts = [self.tree(i, (*y, n)) for n in range(len(value))]
        failed, skipped = (sum(kind == letter for kind, _ in parts) for letter in "fs")
        if failed and not i.record:
            return "f", None
        if parts and skipped == len(parts) and not i.holes:
            return "s", None
        return "v", [v if k == "v" else None if k == "s" else "failed" for k, v in parts if k != "s" or i.holes]

    def everything(self) -> dict[str, tuple[StepState, Any]]:
        for step in self.plan.steps:
            for x in self.elements(step.level):
                self.run(step.name, x)
        return self.memo

    def elements(self, level: tuple[str, ...]) -> Iterator[tuple[int, ...]]:
        if not level:
            yield ()
            return
        for y in self.elements(level[:-1]):
            state, value = self.run(level[-1], y)
            if state is StepState.SUCCEEDED:
                yield from ((*y, n) for n in range(len(value)))


def without_failures(value: Any) -> Any:
    """Inputs as the recursion writes them."""
    if isinstance(value, Failure):
        return "failed"
    if isinstance(value, dict):
        return {k: without_failures(v) for k, v in value.items()}
    return [without_failures(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("seed", range(120))
def test_a_random_flow_ends_as_plain_recursion_says(seed: int) -> None:
    rng = random.Random(seed)
    steps = random_steps(rng)
    lists = {s.name for s in steps if s.is_list}
    world = World(seed, (rng.choice((0, 0.05, 0.2)), rng.choice((0, 0.05, 0.2))))

    def behave(ctx: StepContext, inputs: dict[str, Any]) -> Any:
        state, value = world.outcome(ctx.step_run.id, ctx.step in lists, without_failures(inputs))
        if state is StepState.FAILED:
            ctx.fail("no")
        if state is StepState.SKIPPED:
            ctx.skip()
        return value

    flow = make_flow(steps, behave)
    run = run_inline(flow)
    want = Recursion(flow.plan(), world).everything()
    assert run.states == {name: state for name, (state, _) in want.items()}
    assert run.outputs == {name: value for name, (state, value) in want.items() if state is StepState.SUCCEEDED}


class Document(BaseModel):
    words: list[str]


def words(**options: Any) -> Flow:
    flow = Flow("words", input=Document, **options)

    @flow.step
    def split(document: Document) -> list[str]:
        return document.words

    @flow.step
    async def measure(ctx: StepContext, word: str = each(split)) -> int:
        await asyncio.sleep(0)
        ctx.log(f"{ctx.step_run} attempt {ctx.attempt} of {ctx.max_attempts}")
        if word == "boom":
            raise ValueError("too loud")
        return len(word)

    @flow.step
    def total(document: Document, sizes: list[int] = gather(measure)) -> int:
        return sum(sizes)

    return flow


@pytest.mark.parametrize("document", [Document(words=["a", "bcd"]), {"words": ["a", "bcd"]}, '{"words":["a","bcd"]}'])
def test_one_result_is_given_bare(document: Any) -> None:
    assert run_inline(words(), document).result == 4


async def test_a_flow_runs_where_a_loop_runs_already() -> None:
    assert run_inline(words(), {"words": ["a"]}).result == 1


def test_several_results_come_by_step() -> None:
    flow = Flow("f")

    @flow.step
    def numbers() -> list[int]:
        return [1, 2, 3]

    @flow.step
    def odd(ctx: StepContext, n: int = each(numbers)) -> int:
        return n if n % 2 else ctx.skip()

    @flow.step
    def other() -> str:
        return "x"

    assert run_inline(flow).result == {"odd": [1, None, 3], "other": "x"}


def test_attempts_follow_at_once_until_one_succeeds() -> None:
    run = run_inline(words(), {"words": ["a", "b"]}, fail={"measure[1]": 2})
    assert run.result == 2
    assert run.attempts["measure-1"] == 3
    assert run.log == ("measure[0] attempt 1 of 3", "measure[1] attempt 3 of 3")


def test_a_step_fails_after_its_last_attempt() -> None:
    run = run_inline(words(retry=Retry(attempts=2)), {"words": ["boom"]})
    assert run.state is RunState.FAILED
    assert run.failures == {"measure-0": Failure("ValueError", "too loud", "measure-0", 2)}
    with pytest.raises(RunFailed, match=r"1 step runs failed: measure\[0\]: ValueError: too loud"):
        _ = run.result


def test_a_given_exception_is_raised_on_every_attempt() -> None:
    run = run_inline(words(), {"words": ["a", "b"]}, fail={"measure": OSError("disk")})
    assert {name: failure.message for name, failure in run.failures.items()} == {"measure-0": "disk", "measure-1": "disk"}
    assert run.attempts == {"split": 1, "measure-0": 3, "measure-1": 3}


def test_a_misspelt_step_to_fail_is_refused() -> None:
    with pytest.raises(UsageError, match=r"fail= names mesure\[0\]; the steps are split, measure, total"):
        run_inline(words(), {"words": []}, fail={"mesure[0]": 1})


def test_a_wrong_input_is_refused() -> None:
    with pytest.raises(InputError):
        run_inline(words(), {"words": 3})


@pytest.mark.parametrize("value", [None, "abc", 5, {}])
def test_a_bad_list_fails_its_producer_for_good(value: Any) -> None:
    flow = Flow("f")

    @flow.step
    def source() -> list[int]:
        return value  # type: ignore[no-any-return]

    @flow.step
    def one(n: int = each(source)) -> int:
        return n

    run = run_inline(flow)
    assert run.states == {"source": StepState.FAILED}
    assert run.failures["source"].message.endswith("where list[int] is declared; a list, a tuple or a generator is accepted")
    assert run.attempts == {"source": 1}


@pytest.mark.parametrize("value", [[], (), (n for n in range(0))])
def test_an_empty_list_ends_at_once_with_an_empty_gather(value: Any) -> None:
    flow = Flow("f")

    @flow.step
    def source() -> list[int]:
        return value  # type: ignore[no-any-return]

    @flow.step
    def one(n: int = each(source)) -> int:
        return n

    @flow.step
    def all_of(ones: list[int] = gather(one)) -> list[int]:
        return ones

    @flow.step
    def last(numbers: list[int] = result(all_of)) -> int:
        return len(numbers)

    run = run_inline(flow)
    assert set(run.states) == {"source", "all_of", "last"}
    assert run.result == 0


def test_recorded_failures_stand_in_their_places_and_name_who_failed() -> None:
    flow = Flow("f", retry=Retry(attempts=1))

    @flow.step
    def numbers() -> list[int]:
        return [1, 0]

    @flow.step
    def inverse(n: int = each(numbers)) -> float:
        return 1 / n

    @flow.step
    def doubled(x: float = result(inverse)) -> float:
        return 2 * x

    @flow.step
    def report(values: list[float | Failure] = gather(doubled, failed="record")) -> list[str]:
        return [str(v) for v in values]

    run = run_inline(flow)
    assert run.state is RunState.SUCCEEDED
    assert run.result == ["2.0", "ZeroDivisionError: division by zero"]
    assert run.states["doubled-1"] is StepState.UPSTREAM_FAILED


def test_stop_leaves_what_was_not_reached_pending() -> None:
    flow = Flow("f", on_failure="stop", retry=Retry(attempts=1))

    @flow.step
    def a() -> int:
        raise ValueError("no")

    @flow.step(after=[a])
    def b() -> int:
        return 1

    @flow.step
    def c(x: int = result(b)) -> int:
        return x

    run = run_inline(flow)
    assert (run.state, run.states) == (RunState.FAILED, {"a": StepState.FAILED})


def test_each_handler_gets_a_copy_of_its_own() -> None:
    flow = Flow("f")

    @flow.step
    def source() -> list[int]:
        return [1]

    @flow.step
    def spoils(numbers: list[int] = result(source)) -> int:
        numbers.append(2)
        return len(numbers)

    @flow.step
    def reads(numbers: list[int] = result(source)) -> int:
        return len(numbers)

    assert run_inline(flow).result == {"spoils": 2, "reads": 1}


def test_an_exception_that_cannot_say_its_text_is_a_failure_like_others() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    flow = Flow("f", retry=Retry(attempts=1))

    @flow.step
    def a() -> int:
        raise Mute

    failure = run_inline(flow).failures["a"]
    assert failure.type.endswith("Mute")
    assert failure.message.endswith("whose text cannot be made: RuntimeError>")


def test_a_chain_of_a_thousand_steps_needs_no_deep_stack() -> None:
    chain = ". ".join(["s0", *(f"s{n}(result s{n - 1})" for n in range(1, 1_000))])
    run = run_inline(make_flow(parse(chain), lambda ctx, inputs: sum(inputs.values(), 1)))
    assert run.result == 1_000
