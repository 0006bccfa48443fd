"""A seeded fault that is in no script any more breaks nothing, and whoever sees it sees nothing."""

from __future__ import annotations

from tests.differential import mutants as of_operations
from tests.oracle import mutants as of_flows


def test_each_seeded_fault_is_a_fault_of_some_script() -> None:
    assert of_operations.stale() == []
    assert of_flows.stale() == []
