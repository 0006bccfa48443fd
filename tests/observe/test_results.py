"""A run's result is what its last steps gave, as plain JSON values."""

from __future__ import annotations

from typing import Any

import pytest

from omniq_flow.client.client import Client
from omniq_flow.model.names import StepRun
from omniq_flow.observe.reading import read_run
from omniq_flow.observe.results import result_of, value_of
from tests.observe.drive import SKIP, Bad, Drive
from tests.observe.flows import nested, pages, plan, step, take


@pytest.mark.parametrize(
    "value",
    [
        None,
        False,
        0,
        "",
        [],
        {},
        "text",
        {"a": [1, {"b": None}]},
        2**53 + 1,
        1.5,
        "\u0000😀",
        ["x"] * 3,
    ],
)
def test_one_last_step_gives_its_bare_value(client: Client, queue: str, value: Any) -> None:
    run_id = Drive(client, plan(queue, step("a"), step("b", take("result", "a")))).finished({"b": value})
    assert result_of(client, read_run(client, queue, run_id)) == value


def test_several_last_steps_give_their_values_by_name(client: Client, queue: str) -> None:
    run_id = Drive(client, plan(queue, step("a"), step("b"), step("c", take("after", "a")))).finished({"a": 1, "b": SKIP, "c": [3]})
    assert result_of(client, read_run(client, queue, run_id)) == {"a": 1, "b": None, "c": [3]}


def test_a_large_value_is_read_from_its_own_key(client: Client, queue: str) -> None:
    large = ["é" * 500] * 300
    run_id = Drive(client, plan(queue, step("a"), step("b"))).finished({"a": large, "b": "small"})
    assert result_of(client, read_run(client, queue, run_id)) == {"a": large, "b": "small"}


def test_a_last_step_per_element_gives_a_list_in_input_order(client: Client, queue: str) -> None:
    mapped = plan(queue, step("split", is_list=True), step("read", take("each", "split"), level=("split",)))
    ends: Any = lambda run: list(range(2_500)) if run.step == "split" else run.index[0] * 10  # noqa: E731
    run_id = Drive(client, mapped).finished(ends)
    assert result_of(client, read_run(client, queue, run_id)) == [n * 10 for n in range(2_500)]


def test_skipped_elements_stay_as_holes(client: Client, queue: str) -> None:
    mapped = plan(queue, step("split", is_list=True), step("read", take("each", "split"), level=("split",)))
    ends: Any = lambda run: [1, 2, 3] if run.step == "split" else SKIP if run.index == (1,) else str(run)  # noqa: E731
    assert result_of(client, read_run(client, queue, Drive(client, mapped).finished(ends))) == ["read[0]", None, "read[2]"]


def test_lists_within_lists_keep_their_shape(client: Client, queue: str) -> None:
    sizes = {(0,): 2, (1,): 0, (2,): 1}
    flow = nested(queue)
    leaf = plan(queue, *flow.steps[:3])
    ends: Any = lambda run: sizes[run.index] * ["r"] if run.step == "regions" else [1, 2, 3] if run.step == "pages" else list(run.index)  # noqa: E731
    run_id = Drive(client, leaf).finished(ends)
    assert result_of(client, read_run(client, queue, run_id)) == [[[0, 0], [0, 1]], [], [[2, 0]]]


def test_a_mapped_list_is_read_in_slices(client: Client, queue: str) -> None:
    elements = [{"n": n} for n in range(2_345)]
    run_id = Drive(client, pages(queue)).finished({"split": elements})
    assert value_of(client, queue, run_id, StepRun("split")) == elements
    assert value_of(client, queue, run_id, StepRun("read", (7,))) == "read"


def test_what_failed_or_never_ran_has_no_value(client: Client, queue: str) -> None:
    run_id = Drive(client, plan(queue, step("a"), step("b", take("result", "a")))).finished({"a": Bad("no")})
    assert [value_of(client, queue, run_id, StepRun(name)) for name in ("a", "b")] == [None, None]
