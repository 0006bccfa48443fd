"""What a run gave: the values of the steps that nothing takes a value from, as plain JSON values.

Lists and large values are read in slices, so no single call asks the server for much.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from omniq_flow.client.client import Client
from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import Plan
from omniq_flow.model.runs import Fact
from omniq_flow.observe.snapshot import RunSnapshot
from omniq_flow.ops.command import Operation, number
from omniq_flow.ops.runs import INPUT, elements, large_value, run_facts, run_outputs

SLICE = 1_000
LARGE_SLICE = 8


def result_of(client: Client, snapshot: RunSnapshot) -> Any:
    """The run's result: one value if one step gives it, else step -> value.

    A step that runs once per element gives the list of its values, nested as its lists are; a step run
    that gave nothing (skipped, failed) counts as None.
    """
    names = snapshot.plan.results
    values = _Values(client, snapshot.header.queue, snapshot.run_id)
    found = {name: values.of_step(snapshot.plan, name) for name in names}
    return found[names[0]] if len(names) == 1 else found


def value_of(client: Client, queue: str, run_id: str, step_run: StepRun) -> Any:
    """The value of one step run, None if it has none."""
    return _Values(client, queue, run_id).read([step_run])[0]


def output_of(client: Client, snapshot: RunSnapshot, wanted: StepRun) -> Any:
    """The value of one step run; of a step that runs once per element, named without one, the list of its values."""
    values = _Values(client, snapshot.header.queue, snapshot.run_id)
    depth = snapshot.plan.by_name[wanted.step].depth
    return values.of_step(snapshot.plan, wanted.step) if depth and not wanted.index else values.read([wanted])[0]


def input_of(client: Client, queue: str, run_id: str) -> Any:
    """The input that a run was started with."""
    (raw,) = client.execute(run_outputs(queue, run_id, (INPUT,)))
    if raw and raw[:1] == b"@":
        raw = b"=" + (client.execute(large_value(queue, run_id, INPUT, number(raw[1:]))) or b"null")
    return json.loads(raw[1:]) if raw else None


class _Values:
    """Reads stored values of one run."""

    def __init__(self, client: Client, queue: str, run_id: str) -> None:
        self._client = client
        self._place = (queue, run_id)

    def of_step(self, plan: Plan, name: str) -> Any:
        shape = self._shape(plan.by_name[name].level)
        runs = [StepRun(name, index) for index in _leaves(shape, ())] if shape is not None else [StepRun(name)]
        return _nest(shape, iter(self.read(runs)))

    def read(self, runs: Sequence[StepRun]) -> list[Any]:
        """Their values in this order."""
        raws = self._sliced([run.id for run in runs], lambda ids: run_outputs(*self._place, ids))
        large = {run: number(raw[1:]) for run, raw in zip(runs, raws, strict=True) if raw and raw[:1] == b"@"}
        texts = self._large(large)
        return [texts[run] if run in texts else self._small(run, raw) for run, raw in zip(runs, raws, strict=True)]

    def _shape(self, level: tuple[str, ...]) -> Any:
        """The lengths of the lists around a step, nested: None without lists, else a list of shapes."""
        if not level:
            return None
        root: list[Any] = []
        places: list[tuple[tuple[int, ...], list[Any]]] = [((), root)]
        for depth, name in enumerate(level, 1):
            facts: list[Fact] = self._sliced([StepRun(name, index).id for index, _ in places], lambda ids: run_facts(*self._place, ids))
            inner: list[tuple[tuple[int, ...], list[Any]]] = []
            for (index, shape), fact in zip(places, facts, strict=True):
                shape += [None if depth == len(level) else [] for _ in range(fact.length)]
                inner += [((*index, n), child) for n, child in enumerate(shape)]
            places = inner
        return root

    def _small(self, run: StepRun, raw: bytes | None) -> Any:
        match raw[:1] if raw else b"":
            case b"=":
                return json.loads(raw[1:]) if raw else None
            case b"#":
                return self._list(run, raw[1:].decode() if raw else "")
            case _:
                return None

    def _list(self, run: StepRun, note: str) -> list[Any]:
        """A list that is mapped: one stored value an element."""
        epoch, _, length = note.partition(":")
        found: list[Any] = []
        for at in range(0, int(length), SLICE):
            indices = range(at, min(at + SLICE, int(length)))
            found += [json.loads(raw) if raw else None for raw in self._client.execute(elements(*self._place, run.id, int(epoch), indices))]
        return found

    def _large(self, epochs: dict[StepRun, int]) -> dict[StepRun, Any]:
        runs = list(epochs)
        found: dict[StepRun, Any] = {}
        for at in range(0, len(runs), LARGE_SLICE):
            piece = runs[at : at + LARGE_SLICE]
            raws = self._client.execute_all([large_value(*self._place, run.id, epochs[run]) for run in piece])
            found |= {run: json.loads(raw) if raw else None for run, raw in zip(piece, raws, strict=True)}
        return found

    def _sliced(self, ids: Sequence[str], query: Callable[[tuple[str, ...]], Operation]) -> list[Any]:
        found: list[Any] = []
        for at in range(0, len(ids), SLICE):
            found += self._client.execute(query(tuple(ids[at : at + SLICE])))
        return found


def _leaves(shape: Any, index: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    if shape is None:
        yield index
        return
    for n, inner in enumerate(shape):
        yield from _leaves(inner, (*index, n))


def _nest(shape: Any, values: Iterator[Any]) -> Any:
    return next(values) if shape is None else [_nest(inner, values) for inner in shape]
