"""No edge of a plan is missing in its drawing, and none is there that the plan does not have."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings, strategies as st

from omniq_flow.model.plan import Plan
from omniq_flow.observe.drawing import Row, draw, draw_rails, draw_rows, mermaid
from tests.observe.flows import join, nested, pages, plan, step, take
from tests.observe.test_causes import random_plan

OPENS, JOINS, ENDS, PASSES = "┐┬", "┤┼┘┴", "┘┴", "│"


def edges(drawn: Plan) -> set[tuple[str, str]]:
    return {(i.step, s.name) for s in drawn.steps for i in s.inputs if i.is_edge}


def edges_on_paper(rows: list[Row]) -> set[tuple[str, str]]:
    """Read the drawing as a person does: follow each rail from where it opens to where lines join it."""
    rails: dict[int, str] = {}
    found = set()
    for row in rows:
        cells = {at: mark for at, mark in enumerate(row.rails) if mark not in " ─"}
        for at, mark in cells.items():
            if mark in OPENS:
                assert at not in rails, f"{row.step}: a rail opens where another one stands"
                rails[at] = row.step
            elif mark in JOINS:
                assert row.rails[:at].replace("│", "").strip(OPENS + JOINS + "─") == "", f"{row.step}: the arm to the rail is broken"
                found.add((rails[at], row.step))
        assert set(rails) == set(cells), f"{row.step}: a rail is interrupted"
        for at, mark in cells.items():
            if mark in ENDS:
                del rails[at]
    assert rails == {}, "a rail goes nowhere"
    return found


def edges_in_mermaid(text: str) -> set[tuple[str, str]]:
    """Accepts only lines of the grammar that is used."""
    head, *lines = text.split("\n")
    assert head == "flowchart TD"
    nodes, found = set(), set()
    for line in lines:
        if node := re.fullmatch(r' {4}s_(\w+)(?:\["\w+"\]|\[\["\w+ ×+"\]\])', line):
            nodes.add(node[1])
        else:
            edge = re.fullmatch(r" {4}s_(\w+) (?:-->|-\.->)\|[a-z]+(?:, [a-z]+)*\| s_(\w+)", line)
            assert edge, line
            found.add((edge[1], edge[2]))
    assert nodes >= {name for edge in found for name in edge}
    return found


@st.composite
def flat_plans(draw_from: st.DrawFn) -> Plan:
    """DAGs of steps that run once, from chains to fans."""
    count = draw_from(st.integers(1, 14))
    inputs = [draw_from(st.sets(st.integers(0, n - 1), max_size=5)) if n else set() for n in range(count)]
    return plan("q", *(step(f"s{n}", *(take("result", f"s{i}") for i in sorted(inputs[n]))) for n in range(count)))


@given(flat_plans())
@settings(max_examples=300, deadline=None)
def test_every_edge_of_a_random_dag_is_drawn(drawn: Plan) -> None:
    rows = draw_rows(drawn)
    assert edges_on_paper(rows) == edges(drawn)
    assert sorted(row.step for row in rows) == sorted(s.name for s in drawn.steps)
    assert edges_in_mermaid(mermaid(drawn)) == edges(drawn)
    assert len(draw_rails(drawn).split("\n")) == len(drawn.steps)


@pytest.mark.parametrize("seed", range(60))
def test_every_edge_of_a_random_flow_with_maps_is_drawn(seed: int) -> None:
    drawn = random_plan(random.Random(seed), "q")
    assert edges_on_paper(draw_rows(drawn)) == edges(drawn) == edges_in_mermaid(mermaid(drawn))


@given(flat_plans())
@settings(max_examples=100, deadline=None)
def test_a_step_stands_below_all_it_waits_for(drawn: Plan) -> None:
    order = [row.step for row in draw_rows(drawn)]
    assert all(order.index(a) < order.index(b) for a, b in edges(drawn))


def test_a_map_is_one_line() -> None:
    assert draw_rails(pages("q")).split("\n") == [
        "split   ─┐",
        "read ×  ─┴─┐  each split",
        "clean × ─┬─┘  result read",
        "merge   ─┴─┐  gather clean",
        "last    ───┘  result merge",
    ]


def test_lists_within_lists_show_their_depth() -> None:
    assert draw_rails(nested("q")).split("\n") == [
        "pages     ─┐",
        "regions × ─┴─┐  each pages",
        "cell ××   ─┬─┘  each regions",
        "sum ×     ─┤    gather cell",
        "count     ─┘    gather cell",
    ]


def test_an_arm_reaches_its_rail_across_others() -> None:
    assert draw_rails(join("q")).split("\n") == [
        "x1 ─┐",
        "y1 ─│─┐",
        "x2 ─┴─│─┐  result x1",
        "x3 ─┬─│─┘  result x2",
        "j  ─┴─┴─┐  result x3, result y1",
        "k  ─────┘  result j",
    ]


def test_a_step_that_waits_for_nobody_and_nobody_waits_for() -> None:
    assert draw(plan("q", step("alone"))) == "alone"


def test_words_of_mermaid_are_no_trouble_as_names() -> None:
    text = mermaid(plan("q", step("end"), step("graph", take("after", "end"))))
    assert text.split("\n") == ["flowchart TD", '    s_end["end"]', '    s_graph["graph"]', "    s_end -.->|after| s_graph"]


def test_a_drawing_in_layers_tells_below_what_each_step_takes() -> None:
    assert draw(pages("q")).split("\n") == [
        " split",
        "   │",
        " read ×",
        "   │",
        "clean ×",
        "   │",
        " merge",
        "  │",
        " last",
        "",
        "read ×   each split",
        "clean ×  result read",
        "merge    gather clean",
        "last     result merge",
    ]


def test_without_room_for_layers_there_is_one_line_a_step() -> None:
    assert draw(join("q"), 5) == draw_rails(join("q"))
