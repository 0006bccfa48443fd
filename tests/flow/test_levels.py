"""Levels: each sentence that refuses, and agreement with the theory's own inference."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings, strategies as st

from omniq_flow.flow.levels import MAX_CONSUMERS, MAX_STEPS, infer, size_faults
from omniq_flow.model.plan import InputKind, InputPlan, StepPlan
from tests.flow.build import parse


def levels(text: str) -> dict[str, tuple[str, ...]]:
    found, faults = infer(parse(text))
    assert not faults, faults
    return found


def refusals(text: str) -> list[str]:
    return [fault.message for fault in infer(parse(text))[1]]


def test_a_step_runs_at_the_deepest_level_among_its_inputs() -> None:
    assert levels(
        "pages[]. glossary. regions[](each pages). read(each regions, result glossary). text(gather read). book(gather read 2)"
    ) == {
        "pages": (),
        "glossary": (),
        "regions": ("pages",),
        "read": ("pages", "regions"),
        "text": ("pages",),
        "book": (),
    }


def test_order_alone_asks_for_no_level() -> None:
    assert levels("a[]. b(each a). c(after b)")["c"] == ()


def test_each_needs_a_list() -> None:
    assert refusals("title. pages(each title)") == ["pages: each(title) needs a list, title returns one value"]


def test_two_chains_do_not_meet() -> None:
    assert refusals("left[]. right[]. merge(each left, each right)") == [
        "merge: each(right) is per element of right, other inputs per element of left; gather one of them first"
    ]


@pytest.mark.parametrize("up", [1, 2])
def test_gather_needs_a_list_around(up: int) -> None:
    assert refusals(f"count. total(gather count {up})") == [
        f"total: gather(count) goes up {up}, but count runs inside 0 lists; did you mean result(count)?"
    ]


def test_three_lists_are_the_limit() -> None:
    text = "book[]. page[](each book). region[](each page). line[](each region). cell(each line)"
    assert refusals(text) == ["cell: runs inside 4 lists (book > page > region > line), 3 is the limit"]
    assert levels(text.rpartition(". ")[0])["line"] == ("book", "page", "region")


def test_a_cycle_is_named_without_what_stands_behind_it() -> None:
    assert refusals("a(result b). b(result a). c(result b). d(after d). e") == [
        "steps wait for each other: a, b",
        "steps wait for each other: d",
    ]


def test_an_unknown_step_is_named() -> None:
    assert refusals("a(result x, after y)") == ["a: result(x) names no step of this flow", "a: after(y) names no step of this flow"]


def test_a_step_behind_a_faulty_one_is_not_blamed() -> None:
    """`broken` has no level, so nothing is said about `behind`, which gathers from it, nor about its own consumer."""
    assert refusals("title. broken(each title). behind(gather broken). last(gather behind)") == [
        "broken: each(title) needs a list, title returns one value"
    ]


def test_a_step_behind_a_faulty_one_is_blamed_for_its_own_mistake() -> None:
    assert refusals("title. broken(each title). own(result broken, gather title)") == [
        "broken: each(title) needs a list, title returns one value",
        "own: gather(title) goes up 1, but title runs inside 0 lists; did you mean result(title)?",
    ]


def test_nobody_is_blamed_for_mapping_what_does_not_say_its_type() -> None:
    assert infer(parse("a. b(each a). c(gather b)"), untyped={"a"})[1] == []


def test_faults_say_which_parameter() -> None:
    [fault] = infer(parse("left[]. right[]. merge(each left, each right)"))[1]
    assert (fault.step, fault.param) == ("merge", "each_right")


def test_a_flow_has_a_thousand_steps_at_most() -> None:
    steps = [StepPlan(f"s{n}") for n in range(MAX_STEPS + 1)]
    assert [f.message for f in size_faults(steps)] == ["the flow has 1001 steps, 1000 is the limit"]
    assert size_faults(steps[1:]) == []


def test_a_step_has_256_consumers_at_most() -> None:
    consumers = [StepPlan(f"s{n}", inputs=(InputPlan("x", "result", "a"),)) for n in range(MAX_CONSUMERS + 1)]
    assert [f.message for f in size_faults([StepPlan("a"), *consumers])] == ["a: 257 steps wait for it, 256 is the limit"]
    assert size_faults([StepPlan("a"), *consumers[1:]]) == []


def reference(steps: Sequence[StepPlan]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The theory's inference as first written down: it goes on behind a fault with what it has."""
    by, level, faults = {s.name: s for s in steps}, dict[str, tuple[str, ...]](), list[str]()
    todo = list(steps)
    while todo:
        for s in [s for s in todo if all(i.step in level for i in s.inputs)]:
            at = []
            for i in s.inputs:
                p, chain = i.step, level[i.step]
                if i.kind == "each" and not by[p].is_list:
                    faults.append(f"{s.name}: each({p}) needs a list, {p} returns one value")
                elif i.kind == "gather" and i.up > len(chain):
                    faults.append(
                        f"{s.name}: gather({p}) goes up {i.up}, but {p} runs inside {len(chain)} lists; did you mean result({p})?"
                    )
                elif i.kind != "after":
                    at.append(((*chain, p) if i.kind == "each" else chain[: len(chain) - i.up] if i.kind == "gather" else chain, i))
            level[s.name] = deepest = max((c for c, _ in at), key=len, default=())
            faults += [
                f"{s.name}: {i.kind}({i.step}) is per element of {c[-1]}, other inputs per element of {deepest[-1]}; "
                "gather one of them first"
                for c, i in at
                if deepest[: len(c)] != c
            ]
            if len(deepest) > 3:
                faults.append(f"{s.name}: runs inside {len(deepest)} lists ({' > '.join(deepest)}), 3 is the limit")
        todo = [s for s in todo if s.name not in level]
    return level, faults


@st.composite
def any_flow(draw: st.DrawFn) -> list[StepPlan]:
    """Up to nine steps whose inputs are earlier steps, wired without regard to the rules."""
    kinds: list[InputKind] = ["result", "each", "each", "gather", "after"]
    steps: list[StepPlan] = []
    for n in range(draw(st.integers(2, 9))):
        count = draw(st.integers(0, 3)) if steps else 0
        inputs = tuple(
            InputPlan(f"p{k}", draw(st.sampled_from(kinds)), draw(st.sampled_from(steps)).name, draw(st.sampled_from([1, 1, 1, 2])))
            for k in range(count)
        )
        steps.append(StepPlan(f"s{n}", (), inputs, draw(st.booleans())))
    return steps


@settings(max_examples=400, deadline=None)
@given(any_flow())
def test_inference_agrees_with_the_theory(steps: list[StepPlan]) -> None:
    """The same levels; the same sentences, except about steps behind a faulty one."""
    got, faults = infer(steps)
    want, sentences = reference(steps)
    said = [fault.message for fault in faults]
    assert bool(said) == bool(sentences)
    assert all(want[name] == level for name, level in got.items())
    if not said:
        assert got == want
    clean = {s.name for s in steps if all(i.step in got for i in s.inputs if i.kind != "after")}
    assert [m for m in said if m.split(":")[0] in clean] == [m for m in sentences if m.split(":")[0] in clean]


def test_a_definition_in_any_order_has_the_same_levels() -> None:
    steps = parse("a[]. b[](each a). c(each b). d(gather c)")
    assert infer(steps[::-1])[0] == infer(steps)[0]
