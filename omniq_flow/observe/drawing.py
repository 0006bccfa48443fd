"""A plan drawn: as text in layers, as text with one line a step where there is no room for layers, and as a Mermaid diagram.

With one line a step, every step that others wait for has a rail, a vertical line at the right. It begins at the step's line,
`┐`, and each step that takes from it is joined to it by an arm to the left: `┤`, or `┘` for the last one. A bare `│`
only passes by. So every edge of the plan is one joint, and wide graphs need no arrows across the page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from omniq_flow.flow.graph import layers
from omniq_flow.model.plan import Plan, StepPlan
from omniq_flow.observe.layered import Drawing, Place, draw_layers

MAP_MARK = "×"
WIDE = 100
"""Columns that a drawing in layers may take."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the drawing: the step, its rails, what it takes."""

    step: str
    label: str
    rails: str
    takes: str


def draw(plan: Plan, most: int = WIDE) -> str:
    """The drawing as text, without a final line break: in layers if `most` columns are enough, and what each step takes."""
    found = draw_layers(plan, lambda name: _label(plan.by_name[name]), most)
    if found is None:
        return draw_rails(plan)
    taking = [(_label(step), _takes(step)) for step in plan.steps if _takes(step)]
    wide = max((len(label) for label, _ in taking), default=0)
    notes = [f"{label:<{wide}}  {takes}" for label, takes in taking]
    return "\n".join([*found.lines, *([""] if notes else []), *notes])


def draw_rails(plan: Plan) -> str:
    """The drawing with one line a step."""
    rows = draw_rows(plan)
    wide = max(len(row.label) for row in rows)
    rails = max(len(row.rails) for row in rows)
    return "\n".join(f"{row.label:<{wide}} {row.rails:<{rails}}  {row.takes}".rstrip() for row in rows)


def rows_drawing(rows: list[Row]) -> Drawing:
    """The drawing with one line a step."""
    wide = max((len(row.label) for row in rows), default=0)
    lines = tuple(f"{row.label:<{wide}} {row.rails}".rstrip() for row in rows)
    return Drawing(lines, {row.step: Place(n, 0, len(row.label)) for n, row in enumerate(rows)})


def draw_rows(plan: Plan, label: Callable[[str], str] | None = None) -> list[Row]:
    """The steps by layers, from those that wait for nothing to those at the end; `label` tells what is written for a step."""
    order = [name for layer in layers(plan) for name in layer]
    last_use = {i.step: n for n, name in enumerate(order) for i in plan.by_name[name].inputs if i.is_edge}
    rails: list[str | None] = []
    rows = []
    for n, name in enumerate(order):
        step = plan.by_name[name]
        sources = {i.step for i in step.inputs if i.is_edge}
        own = _free_rail(rails) if name in last_use else None
        if own is not None:
            rails[own] = name
        ending = {source for source in sources if last_use[source] == n}
        rows.append(Row(name, label(name) if label else _label(step), _line(rails, sources, ending, own), _takes(step)))
        rails = [None if rail in ending else rail for rail in rails]
    return rows


def mermaid(plan: Plan) -> str:
    """A Mermaid flowchart; maps have a double frame, mere order a dotted arrow."""
    lines = ["flowchart TD"]
    for step in plan.steps:
        # The prefix keeps a step named `end` from being read as a word of the language.
        lines.append(f'    s_{step.name}[["{_label(step)}"]]' if step.level else f'    s_{step.name}["{step.name}"]')
    for step in plan.steps:
        for source, kinds in _edges(step).items():
            arrow = "-.->" if kinds == ["after"] else "-->"
            lines.append(f"    s_{source} {arrow}|{', '.join(kinds)}| s_{step.name}")
    return "\n".join(lines)


def _free_rail(rails: list[str | None]) -> int:
    if None not in rails:
        rails.append(None)
    return rails.index(None)


def _line(rails: list[str | None], sources: set[str], ending: set[str], own: int | None) -> str:
    """The rails as they cross one line."""
    joints = [n for n, rail in enumerate(rails) if rail in sources or n == own]
    reach = max(joints, default=-1)
    return "".join(_cell(rail, n, own, reach, rail in sources, rail in ending) for n, rail in enumerate(rails)).rstrip()


def _cell(rail: str | None, n: int, own: int | None, reach: int, is_joined: bool, is_ending: bool) -> str:
    """Two characters: the way to the rail, and the rail."""
    way = "─" if n <= reach else " "
    goes_on = n < reach
    if n == own:
        return way + ("┬" if goes_on else "┐")
    if is_joined:
        return way + (("┴" if goes_on else "┘") if is_ending else ("┼" if goes_on else "┤"))
    if rail is not None:
        return way + "│"
    return way + way


def _label(step: StepPlan) -> str:
    return f"{step.name} {MAP_MARK * step.depth}" if step.level else step.name


def _edges(step: StepPlan) -> dict[str, list[str]]:
    """Producer -> how it is taken, each kind once."""
    found: dict[str, list[str]] = {}
    for i in step.inputs:
        if i.is_edge and i.kind not in found.setdefault(i.step, []):
            found[i.step].append(i.kind)
    return found


def _takes(step: StepPlan) -> str:
    words = [f"{kind} {source}" for source, kinds in _edges(step).items() for kind in kinds]
    return ", ".join(words)
