"""C09: groups of groups and chains between them lose a link on the way to the queue: they never end, or give an inner value."""

from __future__ import annotations

import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from omniq_flow.model.names import StepRun
from omniq_flow.model.states import RunState
from omniq_flow.observe.reading import read_run
from omniq_flow.observe.results import result_of
from tests.cases.effects import Effect
from tests.cases.rig import Rig

GRAPHS, PARTS = 300, 3
MOST_STEPS = 25
MOST_NEEDS = 4
MOST_ELEMENTS = 4
HEAD = """
import json, zlib

def mix(step: str, *values: Any) -> int:
    return zlib.crc32(json.dumps([step, *values]).encode())

def work(ctx: StepContext, *values: Any) -> int:
    effect(ctx)
    value = mix(ctx.step, *values)
    effect(ctx, "end")
    return value

def spread(value: int, n: int) -> list[int]:
    return [value + i for i in range(n)]
"""


@dataclass(frozen=True)
class Node:
    """A step of a random graph. One with a size gives a list; one whose first need is `each` runs per element.

    Needs are (how, step): `each` and `beside` take the value of the same element, `result` and `gather` the whole.
    """

    name: str
    needs: tuple[tuple[str, str], ...] = ()
    size: int | None = None

    @property
    def over(self) -> str:
        """The list it runs over."""
        return self.needs[0][1] if self.needs and self.needs[0][0] == "each" else ""


Graph = tuple[Node, ...]


def random_graph(rng: random.Random) -> Graph:
    """A graph in the order of definition; every step but the first needs 1 to 4 of those before it."""
    nodes: list[Node] = []
    for n in range(rng.randint(3, MOST_STEPS)):
        lists = [node.name for node in nodes if node.size is not None]
        over = rng.choice(lists) if lists and rng.random() < 0.4 else ""
        needs = [("each", over)] if over else []
        for other in rng.sample(nodes, min(len(nodes), rng.randint(0 if over else 1, MOST_NEEDS - len(needs)))):
            how = "beside" if over and other.over == over and rng.random() < 0.7 else "gather" if other.over else "result"
            needs.append((how, other.name))
        nodes.append(Node(f"s{n}", tuple(needs), rng.randint(0, MOST_ELEMENTS) if not over and rng.random() < 0.4 else None))
    return tuple(nodes)


def source(name: str, graph: Graph) -> str:
    """The graph as a user would write it; every other handler is async."""
    lists = {node.name for node in graph if node.size is not None}
    lines = [f'{name} = Flow("{name}", queue="case", max_parallel=8)']
    for n, node in enumerate(graph):
        params = [
            f"p{i}: {'list[int]' if how == 'gather' or (how == 'result' and step in lists) else 'int'} = "
            f"{'result' if how == 'beside' else how}({step})"
            for i, (how, step) in enumerate(node.needs)
        ]
        value = f"work({', '.join(['ctx', *(f'p{i}' for i in range(len(params)))])})"
        returns, value = ("int", value) if node.size is None else ("list[int]", f"spread({value}, {node.size})")
        lines.append(f"@{name}.step\n{'async ' * (n % 2)}def {node.name}({', '.join(['ctx: StepContext', *params])}) -> {returns}:")
        lines.append(f"    return {value}")
    return "\n".join(lines) + "\n"


def values_of(graph: Graph, mix: Callable[..., int]) -> dict[str, Any]:
    """Step -> its value, or the list of its elements' values, by plain recursion."""
    values: dict[str, Any] = {}
    for node in graph:
        count = len(values[node.over]) if node.over else 1
        given = [[values[step][i] if how in ("each", "beside") else values[step] for how, step in node.needs] for i in range(count)]
        found = [mix(node.name, *needs) for needs in given]
        values[node.name] = found if node.over else found[0] if node.size is None else [found[0] + i for i in range(node.size)]
    return values


def step_runs(graph: Graph, values: dict[str, Any], name: str) -> list[StepRun]:
    node = next(node for node in graph if node.name == name)
    return [StepRun(name, (i,)) for i in range(len(values[name]))] if node.over else [StepRun(name)]


def edges(graph: Graph, values: dict[str, Any]) -> Iterator[tuple[StepRun, StepRun]]:
    """Every step run with each of those that it needs: (before, after)."""
    for node in graph:
        for after in step_runs(graph, values, node.name):
            for how, step in node.needs:
                before = [StepRun(step, after.index)] if how == "beside" else step_runs(graph, values, step)
                yield from ((one, after) for one in before)


def outcome(graph: Graph, values: dict[str, Any]) -> Any:
    """The run's result: what nobody takes a value from."""
    taken = {step for node in graph for _, step in node.needs}
    found = {node.name: values[node.name] for node in graph if node.name not in taken}
    return next(iter(found.values())) if len(found) == 1 else found


def check_graphs(rig: Rig, graphs: dict[str, Graph]) -> None:
    """Run them all at once and compare each with the recursion."""
    flow = rig.write(HEAD + "".join(source(name, graph) for name, graph in graphs.items()) + f"flow = {next(iter(graphs))}\n")
    module = sys.modules[flow.steps["s0"].handler.__module__]
    rig.worker("-c", "8")
    runs = {name: rig.start(flow=getattr(module, name)) for name in graphs}
    for name, run in runs.items():
        assert rig.ends(run, 20) is RunState.SUCCEEDED, source(name, graphs[name])
    starts, ends = by_run(rig.effects("start")), by_run(rig.effects("end"))
    for name, graph in graphs.items():
        check_run(rig, runs[name], graph, values_of(graph, module.mix), starts[runs[name]], ends[runs[name]])
    assert rig.counters() == []


def by_run(effects: list[Effect]) -> dict[str, list[Effect]]:
    found: defaultdict[str, list[Effect]] = defaultdict(list)
    for effect in effects:
        found[effect.run].append(effect)
    return found


def check_run(rig: Rig, run: str, graph: Graph, values: dict[str, Any], starts: list[Effect], ends: list[Effect]) -> None:
    """Each step run once, none before what it needs, and the result of the leaves."""
    all_runs = [one.id for node in graph for one in step_runs(graph, values, node.name)]
    assert Counter(effect.id for effect in starts) == Counter(all_runs)
    began, ended = {effect.id: effect.at for effect in starts}, {effect.id: effect.at for effect in ends}
    history = {tuple(entry.event.split()[:2]): place for place, entry in enumerate(rig.events(run))}
    for before, after in edges(graph, values):
        assert began[after.id] >= ended[before.id]
        assert history["Q", after.id] > history["D", before.id]
    assert result_of(rig.client, read_run(rig.client, rig.flow.queue, run)) == outcome(graph, values)


@pytest.mark.parametrize("part", range(PARTS))
def test_c09_every_random_graph_ends_as_recursion_says(rig: Rig, part: int) -> None:
    """Each step run of a random graph starts once, after all it needs has committed, and the result is that of the leaves.

    300 graphs in three parts; `tests/oracle` runs thousands.
    """
    rng = random.Random(9 + part)
    graphs = {f"g{n}": random_graph(rng) for n in range(GRAPHS // PARTS)}
    kinds = Counter(how for graph in graphs.values() for node in graph for how, _ in node.needs)
    assert min(kinds[how] for how in ("each", "beside", "result", "gather")) > 50, kinds
    check_graphs(rig, graphs)


def test_c09_chains_between_groups_keep_every_link(rig: Rig) -> None:
    """Group, chain, group; and a join of two joins: both end, and give what their last steps gave."""
    chain = [Node("s0"), Node("s1"), Node("s2", (("result", "s0"), ("result", "s1")))]
    chain += [Node(f"s{n}", (("result", f"s{n - 1}"),)) for n in (3, 4)] + [Node(f"s{n}", (("result", "s4"),)) for n in (5, 6)]
    joins = [Node(f"s{n}") for n in range(4)]
    joins += [Node(f"s{n}", tuple(("result", f"s{m}") for m in needs)) for n, needs in ((4, (0, 1)), (5, (2, 3)), (6, (4, 5)))]
    check_graphs(rig, {"chain": tuple(chain), "joins": tuple(joins)})
