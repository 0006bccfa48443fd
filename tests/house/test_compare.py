"""The comparison of `benchmarks/` still runs, and its table says what was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.compare.__main__ import measure
from benchmarks.compare.machine import server
from benchmarks.compare.peers import PEERS, chosen
from benchmarks.compare.table import Result, lines
from benchmarks.compare.workloads import TINY

OURS, FLOOR = chosen(["omniq_flow", "floor"], None)[0], next(peer for peer in PEERS if peer.title == "floor")


def result(peer: str, **figures: float) -> Result:
    return Result(peer, "w1", 1, 10, 50, figures)


def test_it_measures_ours_and_the_floor() -> None:
    """Real processes at tiny sizes: some jobs of ours, and the same chains of both."""
    sizes = replace(TINY, jobs=20, runs=2)
    with server() as on:
        found = [measure(on, peer, workload, 1, sizes, 30) for peer, workload in ((OURS, "w1"), (OURS, "w2"), (FLOOR, "w2"))]
    assert [r.trouble for r in found] == [""] * 3
    assert all(value > 0 for r in found for value in r.figures.values())
    table = lines(found, [OURS, FLOOR])
    assert [row.split(" | ")[0] for row in table[2:4]] == ["| omniq_flow", "| floor"]


def test_the_table_says_how_many_times_as_good_ours_is() -> None:
    """Of rates more is better, of times less; the median of the turns counts."""
    turns = [result("omniq_flow", drain_per_s=rate, hop_ms=2.0) for rate in (100, 300, 200)]
    table = lines([*turns, result("saq", drain_per_s=50, hop_ms=1.0)], [OURS, replace(OURS, name="saq")])
    assert table[0] == "|  | drain/s | hop ms |"
    assert table[2:4] == ["| omniq_flow | 200 | 2.00 |", "| saq | 50 (×4) | 1.00 (×0.5) |"]


def test_trouble_is_told_beneath_the_table() -> None:
    table = lines([Result("omniq_flow", "w1", 2, 10, 50, {}, "it stands\nstill")], [OURS])
    assert table[0] == "omniq_flow w1, turn 2: it stands still"


@pytest.mark.parametrize("name", ["nobody", "saq"])
def test_a_peer_that_cannot_be_measured_is_refused(name: str, tmp_path: Path) -> None:
    """One that is not known, and one that is not installed."""
    with pytest.raises(SystemExit, match=name):
        chosen([name], tmp_path)
