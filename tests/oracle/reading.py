"""The inputs of a taken step run, read as a worker reads them: what came inline, and what it must fetch itself."""

from __future__ import annotations

from dataclasses import dataclass

from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import InputPlan, Plan, StepPlan
from omniq_flow.model.routes import handed_over
from omniq_flow.model.runs import Fact
from omniq_flow.model.states import StepState
from omniq_flow.ops import runs
from omniq_flow.ops.ticks import RawInput
from tests.oracle.executor import Executor
from tests.oracle.world import FAILED, Arg

SLICE = 1_000
SKIPPED = b"~S"


@dataclass(frozen=True)
class Reader:
    """Reads the values of one run."""

    execute: Executor
    plan: Plan
    run_id: str

    def args(self, at: StepRun, raw: tuple[RawInput, ...]) -> tuple[Arg, ...]:
        inputs = handed_over(self.plan.by_name[at.step])
        assert len(raw) == len(inputs), f"{at}: {len(raw)} inputs handed over, {len(inputs)} are declared"
        return tuple(self._arg(i, at.index, value) for i, value in zip(inputs, raw, strict=True))

    def value_of(self, at: StepRun) -> Arg:
        """The value of a step run that succeeded."""
        return self._value(at.id, self._output(at.id))

    def _arg(self, i: InputPlan, x: tuple[int, ...], raw: RawInput) -> Arg:
        if i.kind == "input":
            return self._value(runs.INPUT, self._output(runs.INPUT) if raw == b"?" else _bytes(raw))
        producer = self.plan.by_name[i.step]
        if i.kind == "gather":
            return self._gathered(i, producer, x[: producer.depth - i.up], raw)
        around = StepRun(i.step, x[: producer.depth])
        if i.kind == "each":
            return self._element(around, x[producer.depth]) if raw == b"?" else _inline(raw)
        return self._single(around.id, self._output(around.id) if raw == b"?" else _bytes(raw))

    def _single(self, id_: str, raw: bytes) -> Arg:
        return None if raw == SKIPPED else self._value(id_, raw)

    def _gathered(self, i: InputPlan, producer: StepPlan, y: tuple[int, ...], raw: RawInput) -> Arg:
        if raw == b"?":
            return self._tree(i, producer, y)
        if isinstance(raw, bytes):
            assert raw == SKIPPED, f"{raw!r} for a gather"
            return None
        parts = [self._part(StepRun(producer.name, (*y, n)), value) for n, value in enumerate(raw)]
        return _together(i, parts)

    def _tree(self, i: InputPlan, producer: StepPlan, y: tuple[int, ...]) -> Arg:
        around = StepRun(producer.level[len(y)], y)
        (fact,) = self.execute(runs.run_facts(self.plan.queue, self.run_id, (around.id,)))
        if fact.state is not StepState.SUCCEEDED:
            return None if fact.state is StepState.SKIPPED else FAILED
        if len(y) + 1 < producer.depth:
            return _together(i, [self._tree(i, producer, (*y, n)) for n in range(fact.length)])
        children = [StepRun(producer.name, (*y, n)) for n in range(fact.length)]
        ids = tuple(child.id for child in children)
        outputs = self.execute(runs.run_outputs(self.plan.queue, self.run_id, ids)) if ids else []
        facts = self.execute(runs.run_facts(self.plan.queue, self.run_id, ids)) if ids else []
        return _together(i, [self._part(c, o if o is not None else _absent(f)) for c, o, f in zip(children, outputs, facts, strict=True)])

    def _part(self, at: StepRun, raw: bytes) -> Arg:
        return FAILED if raw[:1] == b"!" or raw == b"~U" else self._single(at.id, raw)

    def _output(self, id_: str) -> bytes:
        output, fact = self.execute(runs.run_outputs(self.plan.queue, self.run_id, (id_,)))[0], Fact()
        if output is None:
            (fact,) = self.execute(runs.run_facts(self.plan.queue, self.run_id, (id_,)))
        return output if output is not None else _absent(fact)

    def _value(self, id_: str, raw: bytes) -> bytes:
        match raw[:1]:
            case b"=":
                return raw[1:]
            case b"@":
                value = self.execute(runs.large_value(self.plan.queue, self.run_id, id_, int(raw[1:])))
                assert value is not None, f"{id_}: its large value is gone"
                return value
            case b"#":
                epoch, _, n = raw[1:].partition(b":")
                return b"[" + b",".join(self._elements(id_, int(epoch), int(n))) + b"]"
            case _:
                raise AssertionError(f"{raw!r} is no value of {id_}")

    def _elements(self, id_: str, epoch: int, n: int) -> list[bytes]:
        found: list[bytes | None] = []
        for start in range(0, n, SLICE):
            page: list[bytes | None] = self.execute(
                runs.elements(self.plan.queue, self.run_id, id_, epoch, range(start, min(n, start + SLICE)))
            )
            found += page
        assert None not in found, f"{id_}: an element of its list is gone"
        return [e for e in found if e is not None]

    def _element(self, at: StepRun, index: int) -> bytes:
        (fact,) = self.execute(runs.run_facts(self.plan.queue, self.run_id, (at.id,)))
        (value,) = self.execute(runs.elements(self.plan.queue, self.run_id, at.id, fact.epoch, range(index, index + 1)))
        assert value is not None, f"{at}: element {index} is gone"
        return value


def _together(i: InputPlan, parts: list[Arg]) -> Arg:
    """A gathered list: skipped parts left out, unless the place is kept; nothing at all where every part was skipped."""
    if parts and not i.holes and all(part is None for part in parts):
        return None
    return tuple(part for part in parts if part is not None or i.holes)


def _absent(fact: Fact) -> bytes:
    return b"~" + fact.state.value.encode()


def _bytes(raw: RawInput) -> bytes:
    assert isinstance(raw, bytes), f"{raw!r} is no single value"
    return raw


def _inline(raw: RawInput) -> bytes:
    assert isinstance(raw, bytes), f"{raw!r} is no inline value"
    assert raw[:1] == b"=", f"{raw!r} is no inline value"
    return raw[1:]
