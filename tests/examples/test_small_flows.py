"""The flows of the tutorial: each is run as it stands, and its output compared."""

from __future__ import annotations

import pytest

from flows import hello, nested
from omniq_flow.testing import run_inline


@pytest.mark.parametrize(("guest", "name"), [({"name": "Ada"}, "Ada"), ({}, "World")])
def test_hello(guest: dict[str, str], name: str) -> None:
    letter = run_inline(hello.flow, guest).result
    assert letter == hello.Letter(to=name, lines=[f"Hello, {name}!", f"Hello, {name}! Have a good day."])


@pytest.mark.parametrize("text", [nested.WELL, "one", "", "a b\n\nc\nd e f\n\n\ng h i j\n"])
def test_nested_gives_each_stanza_its_own_lines(text: str) -> None:
    """What two maps and two gathers give is what two loops give."""
    expected = [[len(line.split()) for line in stanza.split("\n") if line] for stanza in text.split("\n\n") if stanza]
    measures = run_inline(nested.flow, nested.Poem(text=text)).result
    assert isinstance(measures, nested.Measures)
    assert [(stanza.lines, stanza.words) for stanza in measures.stanzas] == [(len(counts), sum(counts)) for counts in expected]
    assert measures.words == len(text.split())
    assert measures.longest == max((sum(counts) for counts in expected), default=0)


def test_nested_levels() -> None:
    """The plan says what runs inside what."""
    assert {step.name: step.level for step in nested.flow.plan().steps} == {
        "stanzas": (),
        "lines": ("stanzas",),
        "measure": ("stanzas", "lines"),
        "stanza": ("stanzas",),
        "poem": (),
    }
