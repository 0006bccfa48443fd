"""The shape of a flow: who waits for whom, in layers, and what takes longest.

networkx is imported when a function runs: most commands never draw a graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from omniq_flow.model.plan import Plan, StepPlan

if TYPE_CHECKING:
    import networkx as nx


def edges(steps: Iterable[StepPlan]) -> list[tuple[str, str]]:
    """(producer, consumer), each pair once, in the order of definition."""
    return list(dict.fromkeys((i.step, s.name) for s in steps for i in s.inputs if i.is_edge))


def _graph(steps: Iterable[StepPlan]) -> nx.DiGraph[str]:
    import networkx as nx

    steps = tuple(steps)
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(s.name for s in steps)
    graph.add_edges_from(edges(steps))
    return graph


def cycles(steps: Iterable[StepPlan]) -> list[list[str]]:
    """Groups of steps that wait for each other, each in the order of the alphabet."""
    import networkx as nx

    graph = _graph(steps)
    groups = nx.strongly_connected_components(graph)
    return sorted(sorted(group) for group in groups if len(group) > 1 or any(graph.has_edge(s, s) for s in group))


def unreachable(steps: Iterable[StepPlan]) -> list[str]:
    """Steps that can never run: those on a cycle and all behind one."""
    import networkx as nx

    steps = tuple(steps)
    graph = _graph(steps)
    stuck: set[str] = set()
    for name in (name for group in cycles(steps) for name in group):
        stuck |= {name, *nx.descendants(graph, name)}
    return [s.name for s in steps if s.name in stuck]


def layers(plan: Plan) -> list[list[str]]:
    """The steps by generation: each stands one below the lowest that it waits for."""
    import networkx as nx

    place = {s.name: n for n, s in enumerate(plan.steps)}
    return [sorted(layer, key=place.__getitem__) for layer in nx.topological_generations(_graph(plan.steps))]


def critical_path(plan: Plan, durations: Mapping[str, float] | None = None) -> list[str]:
    """The chain of steps that takes longest; without durations every step counts as one."""
    import networkx as nx

    graph = _graph(plan.steps)
    known: Mapping[str, float] = durations or {}
    # A little for each step, so that the chain does not end before a step that took no time.
    lasting = {s.name: known.get(s.name, 0.0 if durations else 1.0) + 1e-9 for s in plan.steps}
    start = object()
    weighted: nx.DiGraph[Any] = nx.DiGraph()
    weighted.add_nodes_from(graph.nodes)
    weighted.add_weighted_edges_from((a, b, lasting[b]) for a, b in graph.edges)
    # The first step has no edge before it, so its own time needs one.
    weighted.add_weighted_edges_from((start, name, lasting[name]) for name in graph.nodes if not graph.in_degree(name))
    return [node for node in nx.dag_longest_path(weighted) if node is not start]


def behind(plan: Plan, step: str) -> set[str]:
    """All steps that wait for this one, directly or not."""
    import networkx as nx

    return set(nx.descendants(_graph(plan.steps), step))


def before(plan: Plan, step: str) -> set[str]:
    """All steps that this one waits for, directly or not."""
    import networkx as nx

    return set(nx.ancestors(_graph(plan.steps), step))
