"""A flow run in memory, by the definition alone: no server, no worker, no waiting.

Every step run is decided as the theory of levels says, in an order that puts producers first; there are no
gates, counters or queues. So this is what a test of a flow uses, and what the engine is compared with: both
must give every step run the same state and value. Handlers are the real ones and their values go through
JSON. Retries follow at once; time-outs, leases and limits play no part.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast

from omniq_flow.engine.failures import message_of, type_of
from omniq_flow.errors import RunFailed, StepFailed, StepSkipped, UsageError, ValueNotJson, ValueTooLarge
from omniq_flow.flow.context import StepContext
from omniq_flow.flow.definition import Flow
from omniq_flow.flow.graph import layers
from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import InputPlan, Plan, StepPlan
from omniq_flow.model.routes import compile_routes, lists_between
from omniq_flow.model.runs import Failure
from omniq_flow.model.states import RunState, StepState

RUN_ID = "0" * 26
"""An id of the right form; nothing is stored under it."""

Index = tuple[int, ...]
Fail = Mapping[str, int | Exception]


@dataclass(frozen=True)
class InlineRun:
    """How a run in memory ended. Keys are step run ids: `report`, `read-3-7`.

    A step run that is in no `states` does not exist: its list has no such element, or never came to be.
    """

    plan: Plan
    state: RunState
    states: dict[str, StepState]
    outputs: dict[str, Any]
    failures: dict[str, Failure]
    attempts: dict[str, int]
    log: tuple[str, ...]
    results: dict[str, Any] = field(repr=False)

    @property
    def result(self) -> Any:
        """The value of the only step that nobody takes from, or step -> value if there are several.

        Raises `RunFailed` for a run that failed.
        """
        if self.state is not RunState.SUCCEEDED:
            failed = [name for name, state in self.states.items() if state is StepState.FAILED]
            reasons = "; ".join(f"{StepRun.parse(name)}: {self.failures[name]}" for name in failed[:3])
            raise RunFailed(f"{len(failed)} step runs failed: {reasons}")
        return next(iter(self.results.values())) if len(self.results) == 1 else self.results


def run_inline(flow: Flow, input: Any = None, *, fail: Fail | None = None) -> InlineRun:
    """Run a flow in memory and say how every step run ended.

    `input` is a model, a dict or JSON text. `fail` makes attempts fail before their handler is called:
    `{"read[3]": 2}` the first two of one element, `{"read": ValueError("no")}` all attempts of all elements.
    """
    plan = flow.plan()
    run = _Run(flow, plan, flow.input_codec.encode(flow.read_input(input)), _checked(plan, fail or {}))
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return run.everything()
    # Async handlers need a loop of their own, and a thread has only one.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run.everything).result()


def _checked(plan: Plan, fail: Fail) -> dict[StepRun, int | Exception]:
    """A name that no step has would silently test nothing."""
    parsed = {StepRun.parse(name): how for name, how in fail.items()}
    if unknown := [str(step_run) for step_run in parsed if step_run.step not in plan.by_name]:
        raise UsageError(f"fail= names {', '.join(unknown)}; the steps are {', '.join(plan.by_name)}")
    return parsed


@dataclass(frozen=True, slots=True)
class _Taken:
    """What an input sees: a flag (v, n, s, f, or "" for order only), the value, and why it failed."""

    flag: str
    value: Any = None
    cause: Failure | None = None


class _Run:
    def __init__(self, flow: Flow, plan: Plan, document: bytes, fail: dict[StepRun, int | Exception]) -> None:
        self.flow, self.plan, self.document, self.fail = flow, plan, document, fail
        self.routes = compile_routes(plan)
        self.states: dict[StepRun, StepState] = {}
        self.written: dict[StepRun, bytes | list[bytes]] = {}
        self.failures: dict[StepRun, Failure] = {}
        self.attempts: dict[StepRun, int] = {}
        self.log: list[str] = []
        self.is_failed = False

    def everything(self) -> InlineRun:
        with asyncio.Runner() as runner:
            self.runner = runner
            for name in (name for layer in layers(self.plan) for name in layer):
                step = self.plan.by_name[name]
                for index in self.elements(step.level):
                    if not (self.is_failed and self.plan.on_failure == "stop"):
                        self.decide(step, StepRun(name, index))
        return InlineRun(
            plan=self.plan,
            state=RunState.FAILED if self.is_failed else RunState.SUCCEEDED,
            states={s.id: state for s, state in self.states.items()},
            outputs={s.id: self.value(s) for s, state in self.states.items() if state is StepState.SUCCEEDED},
            failures={s.id: failure for s, failure in self.failures.items() if self.states[s] is StepState.FAILED},
            attempts={s.id: n for s, n in self.attempts.items()},
            log=tuple(self.log),
            results={name: self.result_of(self.plan.by_name[name]) for name in self.plan.results},
        )

    def elements(self, level: tuple[str, ...]) -> Iterator[Index]:
        """The indices at which a step of this level runs."""
        if not level:
            yield ()
            return
        for index in self.elements(level[:-1]):
            opener = StepRun(level[-1], index)
            if self.states.get(opener) is StepState.SUCCEEDED:
                yield from ((*index, n) for n in range(len(self.written[opener])))

    def decide(self, step: StepPlan, at: StepRun) -> None:
        taken = {i.param: self.take(step, i, at.index) for i in step.inputs}
        flags = {t.flag for t in taken.values()}
        if "f" in flags:
            self.states[at] = StepState.UPSTREAM_FAILED
            self.failures[at] = next(t.cause for t in taken.values() if t.cause)
        elif "s" in flags or ("n" in flags and "v" not in flags):
            self.states[at] = StepState.SKIPPED
        else:
            self.states[at] = self.work(step, at, {i.param: taken[i.param].value for i in step.inputs if i.kind != "after"})
            self.is_failed |= self.states[at] is StepState.FAILED and not self.routes[step.name].is_recorded

    def take(self, step: StepPlan, i: InputPlan, index: Index) -> _Taken:
        if i.kind == "input":
            return _Taken("", self.flow.input_codec.decode(self.document))
        if i.kind == "context":
            return _Taken("")
        producer = self.plan.by_name[i.step]
        if i.kind == "each":
            elements = self.written[StepRun(i.step, index[: producer.depth])]
            raw = cast("list[bytes]", elements)[index[producer.depth]]
            return _Taken("v", self.flow.codecs[i.step].element.decode(raw))
        above = index[: producer.depth - lists_between(i, producer.level, step.level)]
        found = self.tree(producer, i, above)
        if i.kind == "after":
            return _Taken("f" if found.flag == "f" else "", cause=found.cause)
        return _Taken("n") if found.flag == "s" and i.optional else found

    def tree(self, producer: StepPlan, i: InputPlan, index: Index) -> _Taken:
        """All step runs of a producer below an index, nested as their lists are."""
        is_whole = len(index) == producer.depth
        at = StepRun(producer.name if is_whole else producer.level[len(index)], index)
        state = self.states.get(at, StepState.PENDING)
        if state is StepState.SKIPPED:
            return _Taken("s")
        if state is not StepState.SUCCEEDED:
            return _Taken("f", cause=self.failures.get(at))
        if is_whole:
            return _Taken("v", self.value(at) if i.kind != "after" else None)
        return _collected([self.tree(producer, i, (*index, n)) for n in range(len(self.written[at]))], i)

    def value(self, at: StepRun) -> Any:
        """A fresh copy each time, as every job gets its own."""
        codec, raw = self.flow.codecs[at.step], self.written[at]
        return codec.decode(raw) if isinstance(raw, bytes) else [codec.element.decode(part) for part in raw]

    def result_of(self, step: StepPlan) -> Any:
        """A step's value; of one that runs per element, all values, with None and failures in their places."""
        whole = InputPlan("", "gather", step.name, step.depth, holes=True, record=True)
        found = self.tree(step, whole, ())
        return found.cause if found.flag == "f" else found.value

    def work(self, step: StepPlan, at: StepRun, inputs: dict[str, Any]) -> StepState:
        """Attempts until one succeeds, or none is left."""
        for attempt in range(1, step.options.attempts + 1):
            self.attempts[at] = attempt
            contexts = {i.param: self.context(step, at, attempt) for i in step.inputs if i.kind == "context"}
            try:
                self.written[at] = self.attempt(step, at, attempt, {**inputs, **contexts})
                self.failures.pop(at, None)
                return StepState.SUCCEEDED
            except StepSkipped:
                return StepState.SKIPPED
            except (Exception, asyncio.CancelledError) as error:
                self.failures[at] = Failure(type_of(error), message_of(error), at.id, attempt)
                if isinstance(error, (StepFailed, ValueNotJson, ValueTooLarge)):
                    break
        return StepState.FAILED

    def attempt(self, step: StepPlan, at: StepRun, attempt: int, arguments: dict[str, Any]) -> bytes | list[bytes]:
        how = self.fail.get(at, self.fail.get(StepRun(at.step), 0))
        if isinstance(how, Exception):
            raise how
        if attempt <= how:
            raise RuntimeError("made to fail")
        definition, codec = self.flow.steps[step.name], self.flow.codecs[step.name]
        given = definition.handler(**arguments)
        value = self.runner.run(given) if definition.is_async else given
        return codec.encode_elements(value) if self.routes[step.name].members else codec.encode(value)

    def context(self, step: StepPlan, at: StepRun, attempt: int) -> StepContext:
        return StepContext(
            run_id=RUN_ID,
            flow=self.plan.flow,
            step_run=at,
            attempt=attempt,
            max_attempts=step.options.attempts,
            idempotency_key=f"{RUN_ID}.{at.id}",
            fence=1,
            job_id=f"f.{RUN_ID}.{at.id}.1",
            gid=RUN_ID,
            write_log=self.log.append,
        )


def _collected(parts: list[_Taken], i: InputPlan) -> _Taken:
    """A complete collection, as the input that gathers it sees it."""
    failed = [part for part in parts if part.flag == "f"]
    if failed and not i.record:
        return failed[0]
    if parts and not i.holes and all(part.flag == "s" for part in parts):
        return _Taken("s")
    return _Taken("v", [part.cause if part.flag == "f" else part.value for part in parts if part.flag != "s" or i.holes])
