"""No edge of a plan is missing in its drawing in layers, and none is there that the plan does not have."""

from __future__ import annotations

import random

from hypothesis import given, settings, strategies as st

from omniq_flow.model.plan import Plan
from omniq_flow.observe.layered import Drawing, draw_layers
from tests.observe.flows import plan, step, take
from tests.observe.test_causes import random_plan
from tests.observe.test_drawing import edges, flat_plans

UP, DOWN, LEFT, RIGHT = (-1, 0), (1, 0), (0, -1), (0, 1)
LEADS = {
    "│": {UP, DOWN},
    "─": {LEFT, RIGHT},
    "└": {UP, RIGHT},
    "┘": {UP, LEFT},
    "┴": {UP, LEFT, RIGHT},
    "┌": {DOWN, RIGHT},
    "┐": {DOWN, LEFT},
    "┬": {DOWN, LEFT, RIGHT},
    "├": {UP, DOWN, RIGHT},
    "┤": {UP, DOWN, LEFT},
    "┼": {UP, DOWN, LEFT, RIGHT},
}


def edges_on_paper(drawing: Drawing) -> set[tuple[str, str]]:
    """Read the drawing as a person does: leave each label downwards and follow the lines, down and to both sides."""
    labels = {(p.row, c): name for name, p in drawing.places.items() for c in range(p.column, p.column + p.width)}

    def at(row: int, column: int) -> str:
        line = drawing.lines[row] if row < len(drawing.lines) else ""
        return line[column] if 0 <= column < len(line) else " "

    found = set()
    for name, place in drawing.places.items():
        todo = [
            (place.row + 1, c, DOWN) for c in range(place.column, place.column + place.width) if UP in LEADS.get(at(place.row + 1, c), ())
        ]
        seen = set()
        while todo:
            row, column, way = todo.pop()
            if (row, column, way) in seen:
                continue
            seen.add((row, column, way))
            if (row, column) in labels:
                assert way == DOWN, f"a line runs into the side of {labels[row, column]}"
                found.add((name, labels[row, column]))
                continue
            mark = at(row, column)
            assert mark in LEADS, f"the line from {name} breaks off at line {row}, column {column}: {mark!r}"
            if way in (LEFT, RIGHT) and mark == "│":
                ways = {way}
            else:
                back = (-way[0], -way[1])
                assert back in LEADS[mark], f"the line from {name} is broken at line {row}, column {column}: {mark!r}"
                # Whoever comes from above does not go up again: that is where others come from.
                ways = LEADS[mark] - {back, UP}
            todo += [(row + y, column + x, (y, x)) for y, x in ways]
    return found


def assert_right(drawn: Plan, most: int = 10_000) -> Drawing:
    drawing = draw_layers(drawn, lambda name: f"◌ {name}", most)
    assert drawing is not None
    assert edges_on_paper(drawing) == edges(drawn)
    for name, place in drawing.places.items():
        text = drawing.lines[place.row][place.column : place.column + place.width]
        assert text.strip("─") == f"◌ {name}"
    return drawing


@given(flat_plans())
@settings(max_examples=300, deadline=None)
def test_every_edge_of_a_random_dag_is_drawn(drawn: Plan) -> None:
    assert_right(drawn)


@given(st.integers(0, 10_000))
@settings(max_examples=100, deadline=None)
def test_every_edge_of_a_random_flow_with_maps_is_drawn(seed: int) -> None:
    assert_right(random_plan(random.Random(seed), "q"))


@given(flat_plans())
@settings(max_examples=100, deadline=None)
def test_a_step_stands_below_all_it_waits_for(drawn: Plan) -> None:
    places = assert_right(drawn).places
    assert all(places[a].row < places[b].row for a, b in edges(drawn))


def test_a_wide_fan_and_a_dense_pair_of_layers_are_drawn() -> None:
    ends = [step(f"b{n}", *(take("result", f"a{i}") for i in range(6) if (i + n) % 3)) for n in range(6)]
    assert_right(plan("q", *(step(f"a{n}") for n in range(6)), *ends))


def test_what_has_no_room_is_not_drawn() -> None:
    fan = plan("q", step("a"), *(step(f"step_{n}", take("result", "a")) for n in range(20)))
    assert draw_layers(fan, str, 80) is None
    assert draw_layers(fan, str, 400) is not None


def test_a_diamond_looks_as_people_draw_it() -> None:
    both = (take("result", "bake"), take("result", "boil"))
    drawn = plan("q", step("cut"), step("bake", take("result", "cut")), step("boil", take("result", "cut")), step("eat", *both))
    assert assert_right(drawn).lines == (
        "      ◌ cut",
        "  ┌─────┴───┐",
        "◌ bake    ◌ boil",
        "  └─────┬───┘",
        "      ◌ eat",
    )


def test_an_edge_over_a_layer_passes_it_as_a_rail() -> None:
    drawn = plan("q", step("a"), step("b", take("result", "a")), step("c", take("result", "b"), take("result", "a")))
    drawing = draw_layers(drawn, str, 80)
    assert drawing is not None
    assert edges_on_paper(drawing) == edges(drawn)
    assert "│" in drawing.lines[drawing.places["b"].row]
