"""The results as one table: a row for each peer, medians, and how many times as good OmniQ Flow is."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.compare.bench import Peer
from benchmarks.compare.peers import OURS

Better = Literal["more", "less"]


@dataclass(frozen=True, slots=True)
class Column:
    figure: str
    title: str
    better: Better
    digits: int = 0


COLUMNS = (
    Column("enqueue_per_s", "enqueue/s", "more"),
    Column("drain_per_s", "drain/s", "more"),
    Column("drain2_per_s", "drain/s, 2 workers", "more"),
    Column("drain_server_us", "server µs/job", "less", 1),
    Column("chain_steps_per_s", "chain, steps/s", "more"),
    Column("chain_server_us", "server µs/step", "less", 1),
    Column("hop_ms", "hop ms", "less", 2),
    Column("fan_s", "fan-out and -in, s", "less", 3),
    Column("pick_up_ms", "pick-up ms", "less", 2),
    Column("pick_up_p95_ms", "pick-up p95 ms", "less", 2),
    Column("idle_trips_per_s", "idle trips/s", "less", 1),
    Column("idle_commands_per_s", "idle commands/s", "less", 1),
    Column("idle_cpu_pct", "idle CPU %", "less", 2),
    Column("worker_mb", "worker MB", "less", 1),
    Column("job_bytes_64", "bytes/job", "less"),
    Column("job_bytes_256", "bytes/job, listpack 256", "less"),
    Column("small_job_bytes_64", "bytes/job of 60 B", "less"),
)
KNOWN = {column.figure for column in COLUMNS}


@dataclass(frozen=True, slots=True)
class Result:
    """What one workload said of one peer, once. `trouble` is empty if it went well."""

    peer: str
    workload: str
    turn: int
    loop_ms: float
    ping_us: float
    figures: dict[str, float]
    trouble: str = ""

    @property
    def json(self) -> dict[str, Any]:
        return {
            "peer": self.peer,
            "workload": self.workload,
            "turn": self.turn,
            "loop_ms": round(self.loop_ms, 2),
            "ping_us": round(self.ping_us, 1),
            **{name: round(value, 3) for name, value in self.figures.items()},
            **({"trouble": self.trouble} if self.trouble else {}),
        }


def medians(results: Iterable[Result]) -> dict[str, dict[str, float]]:
    """Peer -> figure -> median of the turns that went well."""
    found: dict[str, dict[str, list[float]]] = {}
    for result in results:
        of_peer = found.setdefault(result.peer, {})
        for name, value in result.figures.items():
            of_peer.setdefault(name, []).append(value)
    return {peer: {name: statistics.median(values) for name, values in figures.items()} for peer, figures in found.items()}


def ratio(ours: float | None, theirs: float, better: Better) -> float | None:
    """How many times as good ours is; None where that says nothing."""
    if ours is None or ours <= 0 or theirs <= 0:
        return None
    return ours / theirs if better == "more" else theirs / ours


def lines(results: Sequence[Result], peers: Sequence[Peer], ours: str = OURS) -> list[str]:
    """The table in Markdown, then what only some were asked, and what went wrong."""
    found = medians(results)
    columns = [column for column in COLUMNS if any(column.figure in figures for figures in found.values())]
    rows = [["", *(column.title for column in columns)], ["---"] * (len(columns) + 1)]
    for peer in peers:
        figures = found.get(peer.title, {})
        if KNOWN & set(figures):
            rows.append([peer.title, *(_cell(figures, found.get(ours, {}), column, peer.title == ours) for column in columns)])
    text = ["| " + " | ".join(row) + " |" for row in rows] if columns else []
    for peer in peers:
        text += [f"{peer.title}: {name} {value:,.2f}" for name, value in found.get(peer.title, {}).items() if name not in KNOWN | {"ran"}]
    text += [f"{r.peer} {r.workload}, turn {r.turn}: {' '.join(r.trouble.split())}" for r in results if r.trouble]
    return [*text, calibration(results)]


def _cell(figures: dict[str, float], ours: dict[str, float], column: Column, is_ours: bool) -> str:
    value = figures.get(column.figure)
    if value is None:
        return "–"
    text = f"{value:,.{column.digits}f}"
    times = None if is_ours else ratio(ours.get(column.figure), value, column.better)
    return text if times is None else f"{text} (×{times:.2g})" if times < 10 else f"{text} (×{times:,.0f})"


def calibration(results: Sequence[Result]) -> str:
    """How even the machine was: before each measurement the same loop, and PINGs of a client with nothing else to do."""

    def spread(values: list[float], unit: str) -> str:
        return f"{statistics.median(values):.0f} {unit} ({min(values):.0f}–{max(values):.0f})"

    loops, pings = [r.loop_ms for r in results], [r.ping_us for r in results]
    return f"calibration, median (least–most): loop {spread(loops, 'ms')}, PING {spread(pings, 'µs')}, {len(results)} measurements"
