"""What a taken step run is handed, brought together: inline values at once, all others read by reference.

A take carries the values as they are stored (`ops/ticks.py`): `=json`, `@epoch` (in a key of its own), `#epoch:n` (a
list stored per element), `!failure`, `~letter` (there is none), `?` (too many or too large to carry). Nearly always all
are inline and `inline` is enough, without any wait. Else a `Reader` fetches the rest: it walks the lists above a gather
from the outside in, level by level, at most 1,000 fields a call, and folds the values back with the rule of collections
(levels §2): skipped members are left out or leave a hole, a recorded failure stands in its element's place.

A value that should be there and is not is an error of the step run, naming the producer; it is never an empty value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omniq_flow.client.client import AsyncClient
from omniq_flow.engine.binding import Bound, Given
from omniq_flow.engine.outcomes import InputUnreadable
from omniq_flow.model.names import StepRun
from omniq_flow.model.plan import InputPlan, Plan
from omniq_flow.model.routes import shared_depth
from omniq_flow.model.runs import Fact, Failure
from omniq_flow.model.states import StepState
from omniq_flow.ops import runs
from omniq_flow.ops.ticks import RawInput, Taken

SLICE = 1_000
PIPELINE = 32
Index = tuple[int, ...]


class _Skipped:
    """Stands in the place of what was skipped until its list is folded."""


SKIPPED = _Skipped()


def inline(bound: Bound, taken: Taken) -> list[Given] | None:
    """All inputs, if the take carried them; None if something has to be read."""
    given: list[Given] = []
    for i, raw in zip(bound.inputs, taken.inputs, strict=True):
        if isinstance(raw, list):
            items = _inline_list(i, raw)
            # Of an optional list only the producer's state tells whether it is empty or absent.
            if items is None or (not items and i.optional):
                return None
            given.append(items)
        elif raw[:1] == b"=":
            given.append(raw[1:])
        elif raw == b"~S" and i.optional:
            given.append(None)
        else:
            return None
    return given


def _inline_list(i: InputPlan, raw: list[bytes]) -> list[Given] | None:
    items: list[Given] = []
    for member in raw:
        mark = member[:1]
        if mark == b"=":
            items.append(member[1:])
        elif member == b"~S":
            items += [None] * i.holes
        elif mark == b"!" and i.record:
            items.append(Failure.parse(member[1:]))
        else:
            return None
    return items


class Reader:
    """Reads the inputs of one step run that were not carried."""

    def __init__(self, client: AsyncClient, queue: str, plan: Plan, bound: Bound, taken: Taken) -> None:
        assert taken.flow is not None
        self._client = client
        self._queue = queue
        self._run_id = taken.flow.run_id
        self._plan = plan
        self._bound = bound
        self._raw = taken.inputs
        self._x: Index = taken.flow.step_run.index

    async def read(self) -> list[Given]:
        """All inputs. Raises `InputUnreadable` for one that is gone, `ServerUnavailable` for trouble on the way."""
        return [await self._input(i, raw) for i, raw in zip(self._bound.inputs, self._raw, strict=True)]

    async def _input(self, i: InputPlan, raw: RawInput) -> Given:
        if i.kind == "gather":
            return await self._gather(i)
        if i.kind == "each":
            return await self._element(i)
        where = StepRun(i.step, self._x[: self._depth(i.step)])
        name = runs.INPUT if i.kind == "input" else where.id
        if isinstance(raw, list) or raw == b"?":
            raw = (await self._outputs([name]))[0] or b""
        value = await self._value(name, raw, i)
        if value is SKIPPED and i.optional:
            return None
        given: Given = self._there(value, name)
        return given

    async def _value(self, name: str, raw: bytes, i: InputPlan) -> Any:
        """One stored value, read to the end; `SKIPPED` for what was skipped."""
        mark, rest = raw[:1], raw[1:]
        if mark == b"=":
            return rest
        if mark == b"@":
            found = await self._client.execute(runs.large_value(self._queue, self._run_id, name, int(rest)))
            return self._there(found, name)
        if mark == b"#":
            epoch, _, length = rest.partition(b":")
            return await self._whole_list(name, int(epoch), int(length))
        if mark == b"!" and i.record:
            return Failure.parse(rest)
        fact = await self._fact(name)
        if fact.state is StepState.SKIPPED:
            return SKIPPED
        if fact.state is StepState.UPSTREAM_FAILED and i.record:
            return await self._culprit(StepRun.parse(name))
        return self._there(None, name)

    async def _whole_list(self, name: str, epoch: int, length: int) -> bytes:
        """A list that was stored per element, as the JSON of the whole."""
        found: list[bytes] = []
        for start in range(0, length, SLICE):
            indices = range(start, min(start + SLICE, length))
            part = await self._client.execute(runs.elements(self._queue, self._run_id, name, epoch, indices))
            found += [self._there(element, f"{name}-{n}") for n, element in zip(indices, part, strict=True)]
        return b"[" + b",".join(found) + b"]"

    async def _element(self, i: InputPlan) -> bytes:
        """My element of a list."""
        depth = self._depth(i.step)
        name, n = StepRun(i.step, self._x[:depth]).id, self._x[depth]
        fact = await self._fact(name)
        found = await self._client.execute(runs.elements(self._queue, self._run_id, name, fact.epoch, range(n, n + 1)))
        element: bytes = self._there(found[0], f"{name}-{n}")
        return element

    async def _gather(self, i: InputPlan) -> Given:
        tree = (await self._trees(i, [self._x[: self._depth(i.step) - i.up]]))[0]
        if tree is SKIPPED and i.optional:
            return None
        items: list[Given] = self._there(tree, i.step)
        return items

    async def _trees(self, i: InputPlan, places: Sequence[Index]) -> list[Any]:
        """What stands below some places of one depth: values at the producer's own, lists of such above it."""
        level = self._plan.by_name[i.step].level
        depth = len(places[0]) if places else len(level)
        if depth == len(level):
            return await self._leaves(i, places)
        lists = [StepRun(level[depth], y) for y in places]
        facts = await self._facts([each.id for each in lists])
        children = [(*y, n) for y, fact in zip(places, facts, strict=True) for n in range(_length(fact))]
        below = await self._trees(i, children)
        trees, start = [], 0
        for each, fact in zip(lists, facts, strict=True):
            parts = below[start : start + _length(fact)]
            start += len(parts)
            trees.append(_folded(i, parts) if fact.state is StepState.SUCCEEDED else await self._instead(i, each, fact))
        return trees

    async def _instead(self, i: InputPlan, step_run: StepRun, fact: Fact) -> Any:
        """What stands for a list that there is not."""
        if fact.state is StepState.SKIPPED:
            return SKIPPED
        if i.record and fact.state in (StepState.FAILED, StepState.UPSTREAM_FAILED):
            return await self._culprit(step_run)
        return self._there(None, step_run.id)

    async def _leaves(self, i: InputPlan, places: Sequence[Index]) -> list[Any]:
        names = [StepRun(i.step, y).id for y in places]
        raws = await self._outputs(names)
        found: dict[int, Any] = await self._large([(n, names[n], raw) for n, raw in enumerate(raws) if raw and raw[:1] == b"@"])
        absent = [n for n, raw in enumerate(raws) if raw is None]
        facts = await self._facts([names[n] for n in absent])
        found |= {n: SKIPPED for n, fact in zip(absent, facts, strict=True) if fact.state is StepState.SKIPPED}
        return [found[n] if n in found else await self._value(names[n], raw or b"", i) for n, raw in enumerate(raws)]

    async def _large(self, wanted: Sequence[tuple[int, str, bytes]]) -> dict[int, bytes]:
        """Values in keys of their own, several a round trip."""
        found: dict[int, bytes] = {}
        for start in range(0, len(wanted), PIPELINE):
            part = wanted[start : start + PIPELINE]
            queries = [runs.large_value(self._queue, self._run_id, name, int(raw[1:])) for _, name, raw in part]
            for (n, name, _), value in zip(part, await self._client.execute_all(queries), strict=True):
                found[n] = self._there(value, name)
        return found

    async def _culprit(self, step_run: StepRun) -> Failure:
        """Why a step run failed, or the failure above it that decided it."""
        seen: set[StepRun] = set()
        while step_run not in seen:
            seen.add(step_run)
            raw = (await self._outputs([step_run.id]))[0]
            if raw is not None and raw[:1] == b"!":
                return Failure.parse(raw[1:])
            step_run = await self._failed_above(step_run) or step_run
        return Failure("UpstreamFailed", "a step above it failed", step_run.id)

    async def _failed_above(self, step_run: StepRun) -> StepRun | None:
        """A failed input of a step run, one that failed itself rather than one that only passes it on."""
        step = self._plan.by_name[step_run.step]
        passed_on: StepRun | None = None
        for i in step.inputs:
            if i.is_edge and not i.record:
                for candidate, fact in await self._members(i, step.level, step_run.index):
                    if fact.state is StepState.FAILED:
                        return candidate
                    if fact.state is StepState.UPSTREAM_FAILED:
                        passed_on = passed_on or candidate
        return passed_on

    async def _members(self, i: InputPlan, level: tuple[str, ...], x: Index) -> list[tuple[StepRun, Fact]]:
        """The step runs behind one input, lists above them included."""
        producer = self._plan.by_name[i.step].level
        shared = shared_depth(producer, level) if i.kind == "after" else len(producer) - (i.up if i.kind == "gather" else 0)
        found: list[tuple[StepRun, Fact]] = []
        places = [x[:shared]]
        for depth in range(shared, len(producer) + 1):
            name = i.step if depth == len(producer) else producer[depth]
            members = [StepRun(name, y) for y in places]
            facts = await self._facts([member.id for member in members])
            found += zip(members, facts, strict=True)
            places = [(*y, n) for y, fact in zip(places, facts, strict=True) for n in range(_length(fact))]
        return found

    async def _outputs(self, names: Sequence[str]) -> list[bytes | None]:
        parts = [names[n : n + SLICE] for n in range(0, len(names), SLICE)]
        return [raw for part in parts for raw in await self._client.execute(runs.run_outputs(self._queue, self._run_id, tuple(part)))]

    async def _facts(self, names: Sequence[str]) -> list[Fact]:
        parts = [names[n : n + SLICE] for n in range(0, len(names), SLICE)]
        return [fact for part in parts for fact in await self._client.execute(runs.run_facts(self._queue, self._run_id, tuple(part)))]

    async def _fact(self, name: str) -> Fact:
        return (await self._facts([name]))[0]

    def _depth(self, step: str) -> int:
        return self._plan.by_name[step].depth if step else 0

    def _there(self, value: Any, name: str) -> Any:
        if value is None or value is SKIPPED:
            shown = name if name == runs.INPUT else str(StepRun.parse(name))
            raise InputUnreadable(f"{self._bound.step.name}: output no longer stored: {shown}", where=shown)
        return value


def _length(fact: Fact) -> int:
    return fact.length if fact.state is StepState.SUCCEEDED else 0


def _folded(i: InputPlan, parts: list[Any]) -> Any:
    """A complete list: skipped members are left out or leave holes; a list of nothing but skipped ones was skipped."""
    if parts and not i.holes and all(part is SKIPPED for part in parts):
        return SKIPPED
    return [None if part is SKIPPED else part for part in parts if i.holes or part is not SKIPPED]
